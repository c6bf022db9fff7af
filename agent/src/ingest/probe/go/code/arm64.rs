//! Points of an arm64 function.
//!
//! In: its code. Out: the entry behind the check for stack space, and every RET. Nothing better than RET is
//! looked for: here the kernel simulates RET itself in the trap of its breakpoint
//! (hook: 4.10.. `arch/arm64/kernel/probes/decode-insn.c:arm_probe_decode_insn`).
//!
//! All instructions have four bytes, so the few that matter are told by their bits, which the Arm
//! Architecture Reference Manual (DDI 0487, C4.1 "A64 instruction set encoding") lays down.

use super::{Entry, EntryKind, Points, Refused, Return, Want};

const RET: u32 = 0xd65f_03c0;
/// `ret` by any register, with or without authentication of the address.
const ANY_RET: Pattern = Pattern {
    mask: 0xffff_0000,
    bits: 0xd65f_0000,
};
/// `b.ls` and `b.lo`: there is too little stack.
const BRANCH_LS: Pattern = Pattern {
    mask: 0xff00_001f,
    bits: 0x5400_0009,
};
const BRANCH_LO: Pattern = Pattern {
    mask: 0xff00_001f,
    bits: 0x5400_0003,
};

/// What the check for stack space is made of: it writes R16, R17 and R27, which hold no argument, and flags.
///
/// hook: Go 1.17 to 1.26 `cmd/internal/obj/arm64/obj7.go`, `stacksplit`
const CHECK: &[Pattern] = &[
    // ldr x16, [x28, #constant]
    Pattern {
        mask: 0xffc0_03ff,
        bits: 0xf940_0390,
    },
    // sub or subs x17, sp, #constant
    Pattern {
        mask: 0xdf80_03ff,
        bits: 0xd100_03f1,
    },
    // sub or subs x17, sp, x27
    Pattern {
        mask: 0xdfff_ffff,
        bits: 0xcb3b_63f1,
    },
    // movz, movn or movk x27, #constant
    Pattern {
        mask: 0x9f80_001f,
        bits: 0x9280_001b,
    },
    // orr x27, xzr, #constant
    Pattern {
        mask: 0xff80_03ff,
        bits: 0xb200_03fb,
    },
    // cmp sp, x16
    Pattern {
        mask: 0xffff_ffff,
        bits: 0xeb30_63ff,
    },
    // cmp x17, x16
    Pattern {
        mask: 0xffff_ffff,
        bits: 0xeb10_023f,
    },
];

#[derive(Debug, Clone, Copy)]
struct Pattern {
    mask: u32,
    bits: u32,
}

impl Pattern {
    fn matches(self, word: u32) -> bool {
        word & self.mask == self.bits
    }
}

pub(super) fn points(code: &[u8], wants: &[Want]) -> Result<Points, Refused> {
    let (words, rest) = code.as_chunks::<4>();
    let end = offset(words.len());
    if !rest.is_empty() {
        return Err(Refused::Undecodable(end));
    }
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let mut targets = Vec::new();
    let mut literals = Vec::new();
    let mut returns = Vec::new();
    for (index, &word) in words.iter().enumerate() {
        let at = offset(index);
        if ANY_RET.matches(word) {
            returns.push((at, word));
        }
        if let Some(by) = jump(word) {
            let target = at.checked_add_signed(by).filter(|&target| target < end);
            targets.push((target.ok_or(Refused::Leaves(at))?, at));
        }
        if let Some(by) = literal(word) {
            literals.extend(at.checked_add_signed(by));
        }
    }
    // Constants lie between the instructions, and may look like any: each is read by some instruction.
    let is_constant = |at: u32| literals.iter().any(|&literal| literal == at || literal + 4 == at);
    if let Some(&(at, _)) = returns.iter().find(|&&(at, word)| word != RET || is_constant(at)) {
        return Err(Refused::Return(at));
    }
    let entry = entry(&words);
    match targets.iter().find(|&&(target, _)| target == entry.offset) {
        Some(&(_, jump)) => Err(Refused::Loop(jump)),
        None => Ok(Points {
            entry,
            returns: returns.iter().map(|&(at, _)| Return::ret(at, wants)).collect(),
        }),
    }
}

/// What follows the check for stack space: SP and the arguments are still as at entry, and the way back from
/// having grown the stack goes to the check.
fn entry(words: &[u32]) -> Entry {
    let is_short = |word| BRANCH_LS.matches(word) || BRANCH_LO.matches(word);
    let is_check = |word| is_short(word) || CHECK.iter().any(|pattern| pattern.matches(word));
    let check = words.iter().take_while(|&&word| is_check(word)).count();
    match words[..check].iter().rposition(|&word| BRANCH_LS.matches(word)) {
        Some(last) => Entry {
            offset: offset(last + 1),
            kind: EntryKind::Checked,
        },
        None => Entry {
            offset: 0,
            kind: EntryKind::Start,
        },
    }
}

/// Code is bounded far below what four bytes count.
fn offset(index: usize) -> u32 {
    u32::try_from(index * 4).unwrap_or(u32::MAX)
}

/// How far a jump goes: `b`, `b.cond`, `cbz`, `cbnz`, `tbz` or `tbnz`. (`bl` calls.)
fn jump(word: u32) -> Option<i32> {
    match word {
        _ if word & 0xfc00_0000 == 0x1400_0000 => Some(signed(word, 0, 26)),
        _ if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 => {
            Some(signed(word, 5, 19))
        }
        _ if word & 0x7e00_0000 == 0x3600_0000 => Some(signed(word, 5, 14)),
        _ => None,
    }
}

/// How far away the constant is that the instruction reads: `ldr` or `ldrsw` of a literal.
fn literal(word: u32) -> Option<i32> {
    (word & 0x3b00_0000 == 0x1800_0000).then(|| signed(word, 5, 19))
}

/// A signed count of instructions, `bits` wide from bit `low`, in bytes.
fn signed(word: u32, low: u32, bits: u32) -> i32 {
    let shift = 32 - low - bits;
    ((word << shift).cast_signed() >> (32 - bits)) * 4
}
