//! What one amd64 instruction does to the stack, and to where a value is.
//!
//! In: where a value is after an instruction. Out: where it is before it, or nothing if no one place is
//! known to hold it. Only what compilers do at a function's end is understood; the rest is "unknown".

use iced_x86::{
    Code, ConditionCode, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register as Name,
    UsedMemory,
};

use super::{Register, Want, graph::Graph};

/// Where a value is that will be a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Register(Register),
    /// The eight bytes at SP as it was at entry, plus this.
    Slot(i32),
    Zero,
}

/// How much further down SP is after the instruction; none if it cannot be told.
pub(super) fn deepens(instruction: &Instruction) -> Option<i32> {
    if instruction.is_stack_instruction() {
        return match instruction.code() {
            Code::Push_r64 => Some(8),
            Code::Pop_r64 if instruction.op0_register() != Name::RSP => Some(-8),
            // The callee takes off what the call puts on.
            Code::Call_rel32_64 | Code::Call_rm64 => Some(0),
            _ => None,
        };
    }
    let writes_sp = instruction.op_count() > 0
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().full_register() == Name::RSP;
    match instruction.mnemonic() {
        Mnemonic::Cmp | Mnemonic::Test => Some(0),
        _ if !writes_sp => Some(0),
        Mnemonic::Add if instruction.op1_kind() != OpKind::Register => immediate(instruction).map(|by| -by),
        Mnemonic::Sub if instruction.op1_kind() != OpKind::Register => immediate(instruction),
        _ => None,
    }
}

/// Where what is in `place` after the instruction was before it, with the stack `depth` deep then.
pub(super) fn before(
    place: Place,
    instruction: &Instruction,
    depth: i32,
    info: &mut InstructionInfoFactory,
) -> Option<Place> {
    match place {
        Place::Zero => Some(Place::Zero),
        Place::Register(register) => {
            if sets(register, instruction, info) {
                loaded(register, instruction, depth)
            } else {
                Some(place)
            }
        }
        Place::Slot(slot) => {
            let used = info.info(instruction).used_memory();
            let mut writes = used.iter().filter(|used| writes(used.access()));
            if writes.all(|used| is_apart(used, slot, depth)) {
                Some(place)
            } else {
                stored(slot, instruction, depth)
            }
        }
    }
}

/// Does it write the register, or a part of it?
pub(super) fn sets(register: Register, instruction: &Instruction, info: &mut InstructionInfoFactory) -> bool {
    let used = info.info(instruction).used_registers();
    used.iter()
        .any(|used| writes(used.access()) && number(used.register()) == Some(register))
}

/// May it fault? An access of the stack or of a global does not.
pub(super) fn may_fault(instruction: &Instruction, info: &mut InstructionInfoFactory) -> bool {
    let divides = matches!(instruction.mnemonic(), Mnemonic::Div | Mnemonic::Idiv);
    let safe = |used: &UsedMemory| {
        used.index() == Name::None && matches!(used.base(), Name::RSP | Name::RIP | Name::EIP)
            || used.base() == Name::None && used.index() == Name::None
    };
    divides || !info.info(instruction).used_memory().iter().all(safe)
}

/// The register that is zero where this branch goes (or, if it is a branch on inequality, where it does not).
#[derive(Debug, Clone, Copy)]
pub(super) struct Zero {
    register: Register,
    taken: bool,
}

/// Does the branch at `index` follow a comparison of a whole register with zero, on every way to it?
pub(super) fn zero_at(graph: &Graph, index: usize) -> Option<Zero> {
    /// What compilers put between the two: a few moves at most.
    const REACH: usize = 8;
    let taken = match graph.nodes[index].instruction.condition_code() {
        ConditionCode::e => true,
        ConditionCode::ne => false,
        _ => return None,
    };
    let mut info = InstructionInfoFactory::new();
    let mut between = Vec::new();
    let mut at = index;
    while between.len() < REACH {
        // Only the instruction right above may lead here.
        if graph.before(at) != [at.checked_sub(1)?] {
            return None;
        }
        at -= 1;
        let instruction = &graph.nodes[at].instruction;
        if instruction.rflags_modified() != 0 {
            let register = tested(instruction)?;
            return between
                .iter()
                .all(|&kept| kept != Some(register))
                .then_some(Zero { register, taken });
        }
        let used = info.info(instruction).used_registers();
        between.extend(
            used.iter()
                .filter(|used| writes(used.access()))
                .map(|used| number(used.register())),
        );
    }
    None
}

/// The one place that holds a value whichever way a branch goes: `taken` where it goes, `next` where not.
pub(super) fn join(want: Want, taken: Place, next: Place, zero: Option<Zero>) -> Option<Place> {
    let (equal, unequal) = match zero {
        Some(Zero { taken: false, .. }) => (next, taken),
        _ => (taken, next),
    };
    let compared = zero.map(|zero| Place::Register(zero.register));
    match (equal, unequal, want) {
        (one, other, _) if one == other => Some(one),
        (Place::Zero, other, _) if Some(other) == compared => Some(other),
        (one, Place::Zero, _) if Some(one) == compared => Some(Place::Zero),
        (Place::Zero, other, Want::Pointer(_)) | (other, Place::Zero, Want::Pointer(_)) => Some(other),
        _ => None,
    }
}

/// The general register that `test r, r` or `cmp r, 0` compares with zero.
fn tested(instruction: &Instruction) -> Option<Register> {
    let register = instruction.op0_register();
    let whole = register.is_gpr64() && instruction.op0_kind() == OpKind::Register;
    let with_zero = match instruction.mnemonic() {
        Mnemonic::Test => {
            instruction.op1_kind() == OpKind::Register && instruction.op1_register() == register
        }
        Mnemonic::Cmp => immediate(instruction) == Some(0),
        _ => false,
    };
    (whole && with_zero).then(|| number(register)).flatten()
}

/// Where the instruction takes from what it writes to the register.
fn loaded(register: Register, instruction: &Instruction, depth: i32) -> Option<Place> {
    let target = instruction.op0_register();
    let whole = target.is_gpr64() && number(target) == Some(register);
    match instruction.code() {
        Code::Mov_r64_rm64 | Code::Mov_rm64_r64 if whole && instruction.op1_kind() == OpKind::Register => {
            number(instruction.op1_register()).map(Place::Register)
        }
        Code::Mov_r64_rm64 if whole => slot(instruction, depth).map(Place::Slot),
        // Writing the lower half clears the upper.
        Code::Xor_r32_rm32 | Code::Xor_rm32_r32 | Code::Xor_r64_rm64 | Code::Xor_rm64_r64 => {
            let itself = instruction.op1_kind() == OpKind::Register && instruction.op1_register() == target;
            (itself && number(target) == Some(register)).then_some(Place::Zero)
        }
        Code::Mov_r32_imm32 | Code::Mov_rm64_imm32 | Code::Mov_r64_imm64
            if number(target) == Some(register) =>
        {
            (immediate(instruction) == Some(0)).then_some(Place::Zero)
        }
        _ => None,
    }
}

/// Where the instruction takes from what it writes to all of the slot.
fn stored(wanted: i32, instruction: &Instruction, depth: i32) -> Option<Place> {
    let whole = instruction.op0_kind() == OpKind::Memory && slot(instruction, depth) == Some(wanted);
    match instruction.code() {
        Code::Mov_rm64_r64 if whole => number(instruction.op1_register()).map(Place::Register),
        Code::Mov_rm64_imm32 if whole && immediate(instruction) == Some(0) => Some(Place::Zero),
        _ => None,
    }
}

/// The slot that `[rsp + constant]` names.
fn slot(instruction: &Instruction, depth: i32) -> Option<i32> {
    let plain = instruction.memory_base() == Name::RSP
        && instruction.memory_index() == Name::None
        && instruction.segment_prefix() == Name::None;
    let displacement = i32::try_from(instruction.memory_displacement64().cast_signed()).ok()?;
    plain.then(|| displacement.checked_sub(depth)).flatten()
}

/// Is the access known not to touch the slot? A pointer may point to any slot, a global to none.
fn is_apart(used: &UsedMemory, slot: i32, depth: i32) -> bool {
    if used.index() != Name::None {
        return false;
    }
    match used.base() {
        Name::RIP | Name::EIP => true,
        Name::RSP => {
            let size = i64::try_from(used.memory_size().size()).unwrap_or(i64::MAX);
            let start = used.displacement().cast_signed().saturating_sub(i64::from(depth));
            let slot = i64::from(slot);
            size > 0 && (start.saturating_add(size) <= slot || slot + 8 <= start)
        }
        _ => false,
    }
}

fn immediate(instruction: &Instruction) -> Option<i32> {
    let operand = instruction.op_count().checked_sub(1)?;
    i32::try_from(instruction.try_immediate(operand).ok()?.cast_signed()).ok()
}

fn writes(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

fn number(register: Name) -> Option<Register> {
    let full = register.full_register();
    full.is_gpr64()
        .then(|| u8::try_from(full.number()).ok().map(Register))
        .flatten()
}
