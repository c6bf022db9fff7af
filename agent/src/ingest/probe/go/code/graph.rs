//! The ways through an amd64 function: its instructions, and which may follow which.
//!
//! In: the bytes. Out: every instruction in order, with its successors and predecessors, or why the bytes
//! are not a whole function. Each way that the code can go is there; some may be that it never goes.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction};

use super::{
    Function, Refused,
    callees::{Callee, Callees},
};

/// What an instruction does to the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    /// To the instruction of this index.
    Jump(usize),
    /// There, or to the next.
    Branch(usize),
    Call(Callee),
    Ret,
    /// A jump through a table: to any instruction.
    Anywhere,
    Stop,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) instruction: Instruction,
    pub(super) flow: Flow,
    /// Does the kernel emulate it in the trap of its breakpoint?
    pub(super) emulated: bool,
}

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// Indices of the instructions that may run right before, by the index of the one after.
    before: Vec<Vec<usize>>,
}

impl Graph {
    pub(super) fn decode(function: &Function<'_>, callees: &Callees) -> Result<Self, Refused> {
        let mut nodes: Vec<Node> = Vec::new();
        // Addresses within the function are offsets: what is found holds wherever the file is mapped.
        let mut decoder = Decoder::with_ip(64, function.code, 0, DecoderOptions::NONE);
        while decoder.can_decode() {
            let start = decoder.position();
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                return Err(Refused::Undecodable(instruction.ip32()));
            }
            nodes.push(Node {
                instruction,
                flow: Flow::Next,
                emulated: function.code.get(start..decoder.position()).is_some_and(emulated),
            });
        }
        let length = decoder.ip();
        for index in 0..nodes.len() {
            let flow = flow(&nodes, index, length, function.address, callees)?;
            nodes[index].flow = flow;
        }
        let mut graph = Self {
            before: vec![Vec::new(); nodes.len()],
            nodes,
        };
        for index in 0..graph.nodes.len() {
            for after in graph.after(index) {
                graph.before[after].push(index);
            }
        }
        Ok(graph)
    }

    pub(super) fn has(&self, flow: Flow) -> bool {
        self.nodes.iter().any(|node| node.flow == flow)
    }

    pub(super) fn before(&self, index: usize) -> &[usize] {
        &self.before[index]
    }

    /// The instructions that may run right after this one; none for a jump to anywhere.
    pub(super) fn after(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        let next = (index + 1 < self.nodes.len()).then_some(index + 1);
        let (one, other) = match self.nodes[index].flow {
            Flow::Jump(target) => (Some(target), None),
            Flow::Branch(target) => (Some(target), next.filter(|&next| next != target)),
            Flow::Call(Callee::Diverges) | Flow::Ret | Flow::Anywhere | Flow::Stop => (None, None),
            Flow::Next | Flow::Call(_) => (next, None),
        };
        one.into_iter().chain(other)
    }
}

impl Flow {
    /// May the runtime go on here after a panic that this function recovered?
    pub(super) fn resumes(self) -> bool {
        self == Self::Call(Callee::Defers)
    }
}

impl Node {
    pub(super) fn offset(&self) -> u32 {
        self.instruction.ip32()
    }
}

fn flow(nodes: &[Node], index: usize, length: u64, address: u64, callees: &Callees) -> Result<Flow, Refused> {
    let instruction = &nodes[index].instruction;
    let offset = instruction.ip32();
    let target = || {
        let target = instruction.near_branch_target();
        if target >= length {
            return Err(Refused::Leaves(offset));
        }
        nodes
            .binary_search_by_key(&target, |node| node.instruction.ip())
            .map_err(|_between| Refused::Misaligned(offset))
    };
    let last = index + 1 == nodes.len();
    Ok(match instruction.flow_control() {
        FlowControl::UnconditionalBranch => Flow::Jump(target()?),
        FlowControl::ConditionalBranch => Flow::Branch(target()?),
        FlowControl::Call if instruction.is_call_near() => {
            Flow::Call(callees.at(address.wrapping_add(instruction.near_branch_target())))
        }
        FlowControl::IndirectCall => Flow::Call(callees.indirect()),
        FlowControl::Return if instruction.code() == Code::Retnq && instruction.len() == 1 => Flow::Ret,
        FlowControl::Return => return Err(Refused::Return(offset)),
        FlowControl::IndirectBranch => Flow::Anywhere,
        FlowControl::Exception | FlowControl::Interrupt => Flow::Stop,
        FlowControl::Next if last => return Err(Refused::Leaves(offset)),
        // Of these, system calls go on, and transactions do not occur in Go.
        FlowControl::Next | FlowControl::Call | FlowControl::XbeginXabortXend => Flow::Next,
    })
}

/// Does the kernel emulate it in the trap of its breakpoint?
///
/// Mirrors the kernel byte by byte, for a decoder that is more generous than the kernel would make a point
/// that is single-stepped. The longer NOPs are left out: kernels before 6.18 do not know them.
///
/// hook: 4.16.. `arch/x86/kernel/uprobes.c:branch_setup_xol_ops`, `push_setup_xol_ops`
fn emulated(code: &[u8]) -> bool {
    match code {
        [0x90 | 0x50..=0x57] | [0x66, 0x90] | [0x41, 0x50..=0x57] | [0x70..=0x7f | 0xeb, _] => true,
        [0xe8 | 0xe9, rest @ ..] | [0x0f, 0x80..=0x8f, rest @ ..] => rest.len() == 4,
        _ => false,
    }
}
