//! Holds the points of an amd64 function against runs of its code, for property tests and fuzzing alike.
//!
//! In: a function. Out: nothing, or a panic that says which promise a run broke. Hidden from the
//! documentation: it is public for tests, which are crates of their own.
//!
//! A run knows nothing of graphs and tails. It executes one instruction after the other on registers and
//! memory of its own: moves, comparisons with zero and what moves SP as a processor does, and the rest by
//! leaving anything at all wherever the instruction may write. So each thing that the code can do, some run
//! does too.

use std::collections::HashMap;

use fastrand::Rng;
use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register as Name,
};

use super::{
    super::binary::Arch,
    Callees, Entry, Function, Points, Refused, Register, Source, Want,
    callees::Callee::{Barrier, Consequence, Defers, Diverges, Idle},
};

/// The longest run, in instructions; what loops longer is given up.
const STEPS: usize = 4000;
const SP: Register = Register(4);
const R11: Register = Register(11);
/// What a callee leaves as it was: SP, the frame pointer and the goroutine.
const KEPT: [usize; 3] = [4, 5, 14];

/// Asserts that in each of `runs` runs that return, the entry was passed once and one return point once, that
/// there SP was where the point says, and that what was read for a wanted result is what was returned.
///
/// Returns the points that were checked, and how many of the runs returned.
pub fn check(
    function: &Function<'_>,
    callees: &Callees,
    wants: &[Want],
    runs: usize,
    seed: u64,
) -> Result<(Points, usize), Refused> {
    let points = function.points(callees, wants)?;
    if function.arch != Arch::Amd64 {
        return Ok((points, 0));
    }
    let mut random = Rng::with_seed(seed);
    let code: Vec<Instruction> = Decoder::with_ip(64, function.code, 0, DecoderOptions::NONE)
        .iter()
        .collect();
    let returned = (0..runs).filter(|_| {
        let mut run = Run::new(&code, function.address, callees, random.fork());
        let mut met = Met::default();
        let end = run.go(|run| met.note(run, &points));
        if matches!(end, End::Returned) {
            met.judge(&run, wants, &points);
        }
        matches!(end, End::Returned)
    });
    let returned = returned.count();
    Ok((points, returned))
}

/// What a run met of the points.
#[derive(Debug, Default)]
struct Met {
    entries: Vec<u64>,
    returns: Vec<(u32, u64, Vec<u64>)>,
}

impl Met {
    fn note(&mut self, run: &mut Run<'_>, points: &Points) {
        let offset = run.code[run.at].ip32();
        let sp = run.register(SP);
        let Points {
            entry: Entry { offset: entry, .. },
            returns,
        } = points;
        if offset == *entry {
            self.entries.push(sp);
        }
        if let Some(point) = returns.iter().find(|point| point.offset == offset) {
            let read = |source: &Source| match *source {
                Source::Register(register) => run.register(register),
                Source::Stack(above) => run.load(sp + u64::from(above)),
                Source::Zero => 0,
            };
            let results = point.results.iter().map(read).collect();
            self.returns.push((offset, sp + u64::from(point.frame), results));
        }
    }

    fn judge(&self, run: &Run<'_>, wants: &[Want], points: &Points) {
        let Self { entries, returns } = self;
        assert_eq!(
            returns.len(),
            1,
            "passes of a return point of {points:?}: {returns:?}"
        );
        // Code that no compiler made, or a jump that no table holds, may return with the stack out of balance.
        if run.register(SP) != START {
            return;
        }
        let (offset, entry_sp, results) = &returns[0];
        assert_eq!(entries[..], [START], "SP at each pass of the entry of {points:?}");
        assert_eq!(
            *entry_sp, START,
            "SP from the point at +{offset:#x} of {points:?}"
        );
        for (want, read) in wants.iter().zip(results) {
            let real = run.register(want.register());
            let spared = matches!(want, Want::Pointer(_)) && real == 0;
            assert!(
                *read == real || spared,
                "{want:?} was {read:#x} at +{offset:#x}, and {real:#x} at the end, of {points:?}"
            );
        }
    }
}

/// Where the stack is when a run begins.
const START: u64 = 0x00c0_0010_0000;

struct Run<'a> {
    code: &'a [Instruction],
    address: u64,
    callees: &'a Callees,
    random: Rng,
    info: InstructionInfoFactory,
    at: usize,
    registers: [u64; 16],
    memory: HashMap<u64, u8>,
    /// Was what was compared last equal to zero? None if something else was compared.
    zero: Option<bool>,
}

enum End {
    Returned,
    /// A panic, a fault, a way out of the function, or too long.
    Lost,
}

impl<'a> Run<'a> {
    fn new(code: &'a [Instruction], address: u64, callees: &'a Callees, random: Rng) -> Self {
        let mut run = Self {
            code,
            address,
            callees,
            random,
            info: InstructionInfoFactory::new(),
            at: 0,
            registers: [START; 16],
            memory: HashMap::new(),
            zero: None,
        };
        run.call_returns();
        run
    }

    fn go(&mut self, mut note: impl FnMut(&mut Self)) -> End {
        for _ in 0..STEPS {
            if self.at >= self.code.len() {
                break;
            }
            note(self);
            let instruction = self.code[self.at];
            if instruction.code() == Code::Retnq {
                return End::Returned;
            }
            match self.step(&instruction) {
                Some(next) => self.at = next,
                None => break,
            }
        }
        End::Lost
    }

    /// Does what the instruction does; the index of what runs next, if the run goes on.
    fn step(&mut self, instruction: &Instruction) -> Option<usize> {
        let next = Some(self.at + 1);
        match instruction.flow_control() {
            FlowControl::UnconditionalBranch => self.index(instruction.near_branch_target()),
            FlowControl::ConditionalBranch => {
                let taken = match (instruction.condition_code(), self.zero) {
                    (ConditionCode::e, Some(zero)) => zero,
                    (ConditionCode::ne, Some(zero)) => !zero,
                    _ => self.random.bool(),
                };
                if taken {
                    self.index(instruction.near_branch_target())
                } else {
                    next
                }
            }
            FlowControl::IndirectBranch => Some(self.random.usize(..self.code.len())),
            FlowControl::Call | FlowControl::IndirectCall => self.call(instruction),
            FlowControl::Next => self.execute(instruction).then_some(self.at + 1),
            _ => None,
        }
    }

    fn call(&mut self, instruction: &Instruction) -> Option<usize> {
        let callee = if instruction.is_call_near() {
            self.callees
                .at(self.address.wrapping_add(instruction.near_branch_target()))
        } else {
            self.callees.indirect()
        };
        self.zero = None;
        match callee {
            Barrier => self.registers[usize::from(R11.0)] = self.anything(),
            Idle | Consequence | Defers | Diverges => {
                self.call_returns();
                // It may panic, and the panic be recovered; but there is no call to grow the stack that does.
                let panics = callee == Diverges || self.register(SP) != START && self.random.u8(..) < 16;
                if panics {
                    return self.code.iter().position(|call| self.defers(call));
                }
            }
        }
        Some(self.at + 1)
    }

    fn defers(&self, call: &Instruction) -> bool {
        call.is_call_near()
            && self
                .callees
                .at(self.address.wrapping_add(call.near_branch_target()))
                == Defers
    }

    /// A call leaves anything in the registers, and in the memory that it may reach.
    fn call_returns(&mut self) {
        self.memory.clear();
        for register in 0..self.registers.len() {
            if !KEPT.contains(&register) {
                self.registers[register] = self.anything();
            }
        }
    }

    /// False if SP is lost.
    fn execute(&mut self, instruction: &Instruction) -> bool {
        let register = |operand| Register(number(instruction.op_register(operand)));
        let immediate = || instruction.immediate(instruction.op_count() - 1);
        let from_register = instruction.op_count() > 1 && instruction.op1_kind() == OpKind::Register;
        let whole = instruction.op_count() > 0 && instruction.op0_register().is_gpr64();
        match (instruction.code(), instruction.mnemonic()) {
            (Code::Mov_r64_rm64 | Code::Mov_rm64_r64, _) if from_register && whole => {
                self.set(register(0), self.register(register(1)));
            }
            (Code::Mov_r64_rm64, _) if instruction.segment_prefix() == Name::None => {
                let value = self.load(self.operand_address(instruction));
                self.set(register(0), value);
            }
            (Code::Mov_rm64_r64, _) if instruction.segment_prefix() == Name::None => {
                self.store(self.operand_address(instruction), self.register(register(1)));
            }
            (Code::Mov_rm64_imm32, _) if whole => self.set(register(0), immediate()),
            (Code::Mov_rm64_imm32, _) => self.store(self.operand_address(instruction), immediate()),
            (Code::Lea_r64_m, _) => self.set(register(0), self.operand_address(instruction)),
            (Code::Push_r64, _) => {
                let value = self.register(register(0));
                self.set(SP, self.register(SP).wrapping_sub(8));
                self.store(self.register(SP), value);
            }
            (Code::Pop_r64, _) => {
                let value = self.load(self.register(SP));
                self.set(SP, self.register(SP).wrapping_add(8));
                self.set(register(0), value);
            }
            (_, Mnemonic::Add | Mnemonic::Sub)
                if whole && instruction.op1_kind() != OpKind::Memory && !from_register =>
            {
                let adds = instruction.mnemonic() == Mnemonic::Add;
                let by = if adds {
                    immediate()
                } else {
                    immediate().wrapping_neg()
                };
                self.set(register(0), self.register(register(0)).wrapping_add(by));
                self.zero = None;
            }
            (_, Mnemonic::Xor)
                if from_register && instruction.op0_register() == instruction.op1_register() =>
            {
                match instruction.op0_register() {
                    name if name.is_gpr64() || name.is_gpr32() => self.set(register(0), 0),
                    _ => return self.anywhere(instruction),
                }
                self.zero = Some(true);
            }
            (Code::Test_rm64_r64, _) if from_register && register(0) == register(1) => {
                self.zero = Some(self.register(register(0)) == 0);
            }
            (_, Mnemonic::Cmp) if whole && !from_register && instruction.op1_kind() != OpKind::Memory => {
                self.zero = Some(self.register(register(0)) == immediate());
            }
            (Code::Mov_r32_imm32, _) => self.set(register(0), u64::from(instruction.immediate32())),
            _ => return self.anywhere(instruction),
        }
        true
    }

    /// The instruction leaves anything in what it writes.
    fn anywhere(&mut self, instruction: &Instruction) -> bool {
        let used = self.info.info(instruction).clone();
        if instruction.rflags_modified() != 0 {
            self.zero = None;
        }
        let writes = |access| {
            !matches!(
                access,
                OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
            )
        };
        for memory in used.used_memory().iter().filter(|memory| writes(memory.access())) {
            let value = |name: Name| self.named(name);
            let start = value(memory.base())
                .wrapping_add(value(memory.index()).wrapping_mul(u64::from(memory.scale())))
                .wrapping_add(memory.displacement());
            for byte in 0..memory.memory_size().size() as u64 {
                let value = self.random.u8(..);
                self.memory.insert(start.wrapping_add(byte), value);
            }
        }
        let written = used.used_registers().iter().filter(|used| writes(used.access()));
        for register in written.filter(|used| used.register().full_register().is_gpr64()) {
            let register = Register(number(register.register().full_register()));
            if register == SP {
                return false;
            }
            let value = self.anything();
            self.set(register, value);
        }
        true
    }

    /// Often zero: branches ask for it.
    fn anything(&mut self) -> u64 {
        if self.random.bool() {
            0
        } else {
            self.random.u64(..)
        }
    }

    fn operand_address(&self, instruction: &Instruction) -> u64 {
        self.named(instruction.memory_base())
            .wrapping_add(
                self.named(instruction.memory_index())
                    .wrapping_mul(u64::from(instruction.memory_index_scale())),
            )
            .wrapping_add(instruction.memory_displacement64())
    }

    /// The displacement of an access by the program counter is its address.
    fn named(&self, name: Name) -> u64 {
        if name.is_gpr64() {
            self.registers[usize::from(number(name))]
        } else {
            0
        }
    }

    fn register(&self, register: Register) -> u64 {
        self.registers[usize::from(register.0)]
    }

    fn set(&mut self, register: Register, value: u64) {
        self.registers[usize::from(register.0)] = value;
    }

    fn load(&mut self, address: u64) -> u64 {
        if !(0..8).any(|byte| self.memory.contains_key(&address.wrapping_add(byte))) {
            let value = self.anything();
            self.store(address, value);
        }
        let random = &mut self.random;
        let memory = &mut self.memory;
        let bytes = std::array::from_fn(|byte| {
            *memory
                .entry(address.wrapping_add(byte as u64))
                .or_insert_with(|| random.u8(..))
        });
        u64::from_le_bytes(bytes)
    }

    fn store(&mut self, address: u64, value: u64) {
        for (byte, value) in (0..).zip(value.to_le_bytes()) {
            self.memory.insert(address.wrapping_add(byte), value);
        }
    }

    fn index(&self, target: u64) -> Option<usize> {
        self.code.binary_search_by_key(&target, Instruction::ip).ok()
    }
}

fn number(name: Name) -> u8 {
    u8::try_from(name.full_register().number() & 15).unwrap_or(0)
}
