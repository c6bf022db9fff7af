//! Where to probe one Go function: at which instruction a call of it begins, and at which it ends.
//!
//! In: the machine code of one function that the Go compiler made, bounded by its table of functions.
//! Out: one entry and a few return points, as offsets from the function's start and so the same wherever
//! the file is mapped, or the reason why there are none. Must not know files, processes or eBPF.
//!
//! Invariant: each call that returns passes the entry once and exactly one return point once. The code
//! is untrusted: whatever it is, the work is bounded, and in doubt the answer is a refusal.

use std::fmt;

mod amd64;
mod arm64;
mod callees;
mod graph;
#[doc(hidden)]
pub mod oracle;
mod tail;
#[cfg(test)]
mod tests;
mod value;

pub use self::callees::{Callees, Work};
use super::binary::Arch;

/// The longest function that is looked at; the longest of the catalogue has 15 KiB.
const MAX_CODE: usize = 256 << 10;
/// The most return points of one function; the most seen in the catalogue are 16.
const MAX_RETURNS: usize = 64;

/// The machine code of one function.
#[derive(Debug, Clone, Copy)]
pub struct Function<'a> {
    pub code: &'a [u8],
    /// Where the linker put it: calls of other functions are known by their address.
    pub address: u64,
    pub arch: Arch,
}

/// A general register by its number in the instruction set: on amd64 0 is AX, 1 CX, 2 DX, 3 BX, 4 SP,
/// 5 BP, 6 SI, 7 DI, then 8 to 15; on arm64 the number is in the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u8);

/// A result of the function that is in a register when it returns, and that the return probe shall read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The value itself, whatever it is: the word of an error that says whether there is one.
    Value(Register),
    /// A pointer that matters only where the function returns one. Where it returns nil, the point may
    /// yield another pointer: generated stubs that fail return nil for the answer they had allocated.
    Pointer(Register),
}

/// Where the probes of a function go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points {
    pub entry: Entry,
    /// By offset, ascending, never empty.
    pub returns: Vec<Return>,
}

/// The instruction that is about to run once when a call has begun, with the arguments in their registers
/// and SP as it was on the function's first instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub offset: u32,
    pub kind: EntryKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Behind the check for stack space: not passed again when the stack has grown and the function starts over.
    Checked,
    /// The first instruction, of a function that has no such check or none that was recognised.
    Start,
}

/// An instruction that is about to run once when a call is about to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    pub offset: u32,
    /// What to add to SP here for SP at the function's entry; 0 on an instruction that returns.
    pub frame: u32,
    pub kind: ReturnKind,
    /// For each wanted result, in the order asked, where it is now.
    pub results: Vec<Source>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnKind {
    /// An instruction that the kernel emulates: a hit costs no single step.
    Early,
    /// The instruction that returns.
    Ret,
}

/// Where a result can be read at a return point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Register(Register),
    /// Eight bytes at SP plus this.
    Stack(u32),
    /// It is known to be zero.
    Zero,
}

/// Why a function cannot be probed. Offsets count from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("its code has {0} bytes, more than {MAX_CODE}")]
    Long(usize),
    #[error("no instruction can be decoded at +{0:#x}")]
    Undecodable(u32),
    #[error("the jump at +{0:#x} goes between two instructions")]
    Misaligned(u32),
    #[error("the jump at +{0:#x} leaves the function, which may return from elsewhere")]
    Leaves(u32),
    #[error("it returns in an unusual way at +{0:#x}")]
    Return(u32),
    #[error("it never returns")]
    Endless,
    #[error("it returns at {0} places, more than {MAX_RETURNS}")]
    Returns(usize),
    #[error(
        "its first instruction is also the target of the jump at +{0:#x}, so it may run more than once per call"
    )]
    Loop(u32),
    #[error("the goroutine is not in its register throughout: see the instruction at +{0:#x}")]
    Goroutine(u32),
}

impl Function<'_> {
    /// Finds the points of this function at which each of `wants` can be read.
    pub fn points(&self, callees: &Callees, wants: &[Want]) -> Result<Points, Refused> {
        if self.code.len() > MAX_CODE {
            return Err(Refused::Long(self.code.len()));
        }
        let points = match self.arch {
            _ if self.code.is_empty() => return Err(Refused::Endless),
            Arch::Amd64 => amd64::points(self, callees, wants)?,
            Arch::Arm64 => arm64::points(self.code, wants)?,
        };
        match points.returns.len() {
            0 => Err(Refused::Endless),
            count if count > MAX_RETURNS => Err(Refused::Returns(count)),
            _ => Ok(points),
        }
    }
}

impl Want {
    fn register(self) -> Register {
        match self {
            Self::Value(register) | Self::Pointer(register) => register,
        }
    }
}

impl Return {
    /// The point on an instruction that returns: there every result is in its register.
    fn ret(offset: u32, wants: &[Want]) -> Self {
        let results = wants
            .iter()
            .map(|want| Source::Register(want.register()))
            .collect();
        Self {
            offset,
            frame: 0,
            kind: ReturnKind::Ret,
            results,
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}
