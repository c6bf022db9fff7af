//! Random functions in the compiler's manner: a frame, a body of moves, branches and calls, and returns.

use proptest::{prelude::*, sample::select};

use super::super::{Callees, Work};

/// Where the callees of a program are: behind it.
const CALLEES: [(&str, u64); 3] = [
    ("runtime.gopanic", 0x50_0000),
    ("runtime.gcWriteBarrier1", 0x50_0100),
    ("runtime.deferreturn", 0x50_0200),
];
/// What a program may be there for, and another function.
const ORDINARY: u64 = 0x50_0300;
const OTHER: u64 = 0x50_0400;
const ADDRESS: u64 = 0x40_1000;

#[derive(Debug)]
pub(super) struct Program {
    pub(super) code: Vec<u8>,
    pub(super) callees: Callees,
}

#[derive(Debug, Clone)]
enum Step {
    Bytes(&'static [u8]),
    /// A conditional jump to a step: the second byte of its opcode.
    Branch(u8, prop::sample::Index),
    Jump(prop::sample::Index),
    Call(u64),
    Return,
}

/// push rbp; mov rbp, rsp; sub rsp, 40h
const PROLOGUE: &[u8] = &[0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x40];
/// add rsp, 40h; pop rbp; ret
const EPILOGUE: &[u8] = &[0x48, 0x83, 0xc4, 0x40, 0x5d, 0xc3];

const PLAIN: &[&[u8]] = &[
    &[0x90],                                     // nop
    &[0x48, 0x89, 0xd8],                         // mov rax, rbx
    &[0x48, 0x89, 0xc3],                         // mov rbx, rax
    &[0x48, 0x89, 0xc8],                         // mov rax, rcx
    &[0x48, 0x89, 0xc1],                         // mov rcx, rax
    &[0x4c, 0x89, 0xd8],                         // mov rax, r11
    &[0x31, 0xc0],                               // xor eax, eax
    &[0x31, 0xdb],                               // xor ebx, ebx
    &[0x48, 0x8b, 0x44, 0x24, 0x20],             // mov rax, [rsp+20h]
    &[0x48, 0x8b, 0x5c, 0x24, 0x24],             // mov rbx, [rsp+24h]
    &[0x48, 0x89, 0x44, 0x24, 0x20],             // mov [rsp+20h], rax
    &[0x48, 0x89, 0x4c, 0x24, 0x1c],             // mov [rsp+1Ch], rcx
    &[0xc7, 0x44, 0x24, 0x24, 0, 0, 0, 0],       // mov dword [rsp+24h], 0
    &[0x48, 0xc7, 0x44, 0x24, 0x20, 0, 0, 0, 0], // mov qword [rsp+20h], 0
    &[0x48, 0x8d, 0x4c, 0x24, 0x20],             // lea rcx, [rsp+20h]
    &[0x48, 0x89, 0x19],                         // mov [rcx], rbx
    &[0x48, 0x01, 0xc8],                         // add rax, rcx
    &[0x0f, 0xb6, 0xc0],                         // movzx eax, al
    &[0x48, 0x85, 0xc0],                         // test rax, rax
    &[0x48, 0x85, 0xdb],                         // test rbx, rbx
    &[0x48, 0x83, 0xf8, 0x00],                   // cmp rax, 0
    &[0x85, 0xc0],                               // test eax, eax
    &[0x50, 0x48, 0x89, 0xd8, 0x59],             // push rax; mov rax, rbx; pop rcx
    &[0x0f, 0x0b],                               // ud2
];

impl Program {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let step = prop_oneof![
            12 => select(PLAIN).prop_map(Step::Bytes),
            4 => (select(&[0x84, 0x85, 0x8c][..]), any::<prop::sample::Index>())
                .prop_map(|(condition, to)| Step::Branch(condition, to)),
            1 => any::<prop::sample::Index>().prop_map(Step::Jump),
            2 => select(&[0x50_0000, 0x50_0100, 0x50_0200, ORDINARY, ORDINARY, OTHER][..]).prop_map(Step::Call),
            2 => Just(Step::Return),
        ];
        let steps = prop::collection::vec(step, 1..24);
        (steps, any::<bool>()).prop_map(|(mut steps, has_work)| {
            steps.push(Step::Return);
            Self::assemble(&steps, has_work)
        })
    }

    fn assemble(steps: &[Step], has_work: bool) -> Self {
        let length = |step: &Step| match step {
            Step::Bytes(bytes) => bytes.len(),
            Step::Branch(..) => 6,
            Step::Jump(_) | Step::Call(_) => 5,
            Step::Return => EPILOGUE.len(),
        };
        let mut starts = vec![PROLOGUE.len()];
        for step in steps {
            starts.push(starts[starts.len() - 1] + length(step));
        }
        let mut code = PROLOGUE.to_vec();
        for (step, &end) in steps.iter().zip(&starts[1..]) {
            let relative = |target: usize| i32::try_from(target).unwrap() - i32::try_from(end).unwrap();
            let to = |index: &prop::sample::Index| relative(starts[index.index(steps.len())]).to_le_bytes();
            match step {
                Step::Bytes(bytes) => code.extend(*bytes),
                Step::Branch(condition, index) => {
                    code.extend([0x0f, *condition]);
                    code.extend(to(index));
                }
                Step::Jump(index) => {
                    code.push(0xe9);
                    code.extend(to(index));
                }
                Step::Call(address) => {
                    code.push(0xe8);
                    code.extend(relative(usize::try_from(address - ADDRESS).unwrap()).to_le_bytes());
                }
                Step::Return => code.extend(EPILOGUE),
            }
        }
        let callees = Callees::find(|name| Some(CALLEES.iter().find(|(known, _)| *known == name)?.1));
        Self {
            code,
            callees: if has_work {
                callees.until(Work {
                    addresses: vec![ORDINARY],
                    indirect: false,
                })
            } else {
                callees
            },
        }
    }
}
