//! Points of an amd64 function.
//!
//! In: its code. Out: the entry behind the check for stack space, and the returns that [`tail`] finds,
//! or every RET. What the kernel emulates in the breakpoint's own trap costs 0.6 microseconds; the rest it
//! single-steps, which a hypervisor sees as an exit for each hit and which costs 19 in a virtual machine.

use iced_x86::{Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register as Name};

use super::{
    Entry, EntryKind, Function, Points, Refused, Register, Return, Want,
    callees::{Callee, Callees},
    graph::{Flow, Graph},
    tail, value,
};

/// The register that holds the goroutine from entry to return.
pub(super) const GOROUTINE: Register = Register(14);

pub(super) fn points(function: &Function<'_>, callees: &Callees, wants: &[Want]) -> Result<Points, Refused> {
    let mut graph = Graph::decode(function, callees)?;
    if callees.has_work() && !graph.has(Flow::Call(Callee::Consequence)) {
        graph = Graph::decode(function, &callees.to_the_end())?;
    }
    keeps_goroutine(&graph)?;
    let entry = entry(&graph)?;
    let early = tail::returns(&graph, entry.offset, wants);
    let returns = early.unwrap_or_else(|| {
        let rets = graph.nodes.iter().filter(|node| node.flow == Flow::Ret);
        rets.map(|node| Return::ret(node.offset(), wants)).collect()
    });
    Ok(Points { entry, returns })
}

/// Is this code in Go's own calling convention? Assembly uses the goroutine's register as it likes, and the
/// wrappers of the old convention, which bear the name of what they wrap, load it first.
///
/// After a call into assembly, compiled code loads it again from the thread's storage: it is the same then.
fn keeps_goroutine(graph: &Graph) -> Result<(), Refused> {
    let mut info = InstructionInfoFactory::new();
    let mut called = false;
    for (index, node) in graph.nodes.iter().enumerate() {
        called |= matches!(node.flow, Flow::Call(_));
        let reloads = || {
            let next = graph.nodes.get(index + 1).map(|next| &next.instruction);
            called && (loads_goroutine(&node.instruction) || next.is_some_and(loads_goroutine))
        };
        if value::sets(GOROUTINE, &node.instruction, &mut info) && !reloads() {
            return Err(Refused::Goroutine(node.offset()));
        }
    }
    Ok(())
}

/// `mov r14, fs:[...]`
fn loads_goroutine(instruction: &Instruction) -> bool {
    instruction.code() == Code::Mov_r64_rm64
        && instruction.op0_register() == Name::R14
        && instruction.op1_kind() == OpKind::Memory
        && instruction.segment_prefix() == Name::FS
}

/// The `push rbp` of the prologue, if nothing but the check for stack space comes before it: that leaves the
/// arguments and SP alone, writes R12 at most, and goes back to the function's start once the stack has grown.
///
/// hook: Go 1.17 to 1.26 `cmd/internal/obj/x86/obj6.go`, `stacksplit`
fn entry(graph: &Graph) -> Result<Entry, Refused> {
    for (index, node) in graph.nodes.iter().enumerate() {
        let instruction = &node.instruction;
        if instruction.code() == Code::Push_r64 && instruction.op0_register() == Name::RBP {
            let only_from_above = graph.before(index).iter().all(|&before| before + 1 == index);
            if !only_from_above {
                break;
            }
            return Ok(Entry {
                offset: node.offset(),
                kind: EntryKind::Checked,
            });
        }
        let checks = match instruction.mnemonic() {
            Mnemonic::Cmp => true,
            Mnemonic::Jb | Mnemonic::Jbe => instruction.flow_control() == FlowControl::ConditionalBranch,
            Mnemonic::Lea | Mnemonic::Mov | Mnemonic::Sub => {
                instruction.op0_kind() == OpKind::Register && instruction.op0_register() == Name::R12
            }
            _ => false,
        };
        if !checks {
            break;
        }
    }
    match graph.before(0).first() {
        Some(&jump) => Err(Refused::Loop(graph.nodes[jump].offset())),
        None => Ok(Entry {
            offset: 0,
            kind: EntryKind::Start,
        }),
    }
}
