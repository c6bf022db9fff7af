//! The probe `go_call`: calls of chosen Go functions in chosen processes.
//!
//! Two programs serve every function. [`ENTER`] runs where a call begins, [`LEAVE`] where it ends; what
//! they do there is in tables that the agent fills before it attaches them. The attach cookie of a point
//! says which process and which row: see [`cookie`].
//!
//! A slow function yields a [`record::Begin`] and a [`record::End`] per call. A hot one yields them only
//! for calls whose first capture begins with its [`Prefix`]; all its calls count in a
//! [`histogram::Histogram`], and one that takes longer than its threshold yields an `End` alone.

pub mod histogram;
pub mod record;
pub mod register;

use crate::bytes::as_bytes;

/// The name of the probe.
pub const PROBE: &str = "go_call";
/// The program at the entry of a function, and the one at its return.
pub const ENTER: &str = "enter";
pub const LEAVE: &str = "leave";

/// Rows by number: what to do at the entry of a function.
pub const SPECS: &str = "SPECS";
/// Rows by number: what to do at a return point.
pub const RETURNS: &str = "RETURNS";
/// Per CPU, for each row of [`SPECS`].
pub const COUNTS: &str = "COUNTS";
/// Per CPU, by [`Spec::histogram`].
pub const HISTOGRAMS: &str = "HISTOGRAMS";
/// By slot.
pub const PROCESSES: &str = "PROCESSES";
/// Calls that have begun and not ended, by [`Key`].
pub const CALLS: &str = "CALLS";
/// The ring of [`record::Begin`] and [`record::End`].
pub const RECORDS: &str = "RECORDS";

pub const MAX_SPECS: u32 = 1024;
pub const MAX_RETURNS: u32 = 4096;
pub const MAX_HISTOGRAMS: u32 = 64;
pub const MAX_PROCESSES: u32 = 256;
/// Past it the call that was looked at longest ago is forgotten.
pub const MAX_CALLS: u32 = 16_384;
/// A power of two and a multiple of every page size; a record takes half a kilobyte.
pub const RING_SIZE: u32 = 1 << 20;

/// Arguments that are captured of one call, and results.
pub const ENTRY_CAPTURES: usize = 4;
pub const RETURN_CAPTURES: usize = 2;
/// Pointers that a capture may follow.
pub const STEPS: usize = 4;
/// Contexts that are searched for a native span, from the innermost outwards.
pub const CONTEXT_HOPS: usize = 8;
/// Types that hold a native span: the SDK's two, and the API's for remote parents.
pub const SPAN_TYPES: usize = 3;

/// The attach cookie of a point: whose it is, and its row in [`SPECS`] or [`RETURNS`].
///
/// Slots are never used twice, so that what a process leaves behind is no other process's call.
#[must_use]
pub const fn cookie(slot: u32, row: u32) -> u64 {
    (slot as u64) << 32 | row as u64
}

/// Eight bytes that can be read at a probe.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub place: u8,
    /// With [`place::REGISTER`]: a word of the register file, see [`register`].
    pub register: u8,
    pub unused: [u8; 2],
    /// With [`place::STACK`]: added to SP at the probe.
    pub offset: i32,
}

pub mod place {
    /// Nobody knows.
    pub const NONE: u8 = 0;
    /// It is known to be zero.
    pub const ZERO: u8 = 1;
    pub const REGISTER: u8 = 2;
    pub const STACK: u8 = 3;
}

impl Source {
    pub const NONE: Self = Self::at(place::NONE, 0, 0);
    pub const ZERO: Self = Self::at(place::ZERO, 0, 0);

    #[must_use]
    pub const fn register(register: u8) -> Self {
        Self::at(place::REGISTER, register, 0)
    }

    #[must_use]
    pub const fn stack(offset: i32) -> Self {
        Self::at(place::STACK, 0, offset)
    }

    const fn at(place: u8, register: u8, offset: i32) -> Self {
        Self {
            place,
            register,
            unused: [0; 2],
            offset,
        }
    }
}

/// A value that is read of a call: an address, pointers to follow from there, and what lies at the end.
///
/// With address `a` and steps `[x, y]` the value lies at `*(*(a + x) + y) + last`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    pub from: Source,
    /// With [`kind::PAIR`]: where the length is.
    pub length: Source,
    pub kind: u8,
    /// How many of `steps` are followed.
    pub hops: u8,
    pub unused: [u8; 2],
    pub last: i32,
    pub steps: [i32; STEPS],
}

pub mod kind {
    /// Nothing is captured.
    pub const NONE: u8 = 0;
    /// A string or slice of bytes: its pointer and its length lie at the end of the way.
    pub const TEXT: u8 = 1;
    /// A string or slice of bytes: its pointer is `from`, its length is `length`, and there is no way to go.
    pub const PAIR: u8 = 2;
    /// Eight bytes at the end of the way.
    pub const WORD: u8 = 3;
    /// The eight bytes of `from` themselves.
    pub const VALUE: u8 = 4;
}

impl Capture {
    pub const NONE: Self = Self {
        from: Source::NONE,
        length: Source::NONE,
        kind: kind::NONE,
        hops: 0,
        unused: [0; 2],
        last: 0,
        steps: [0; STEPS],
    };
}

/// What the first capture of a hot function begins with in the calls that are told one by one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Bytes, as words because that is how a program compares them; zeros follow.
    words: [u64; Self::MAX / 8],
    length: u64,
}

impl Prefix {
    /// The longest prefix.
    pub const MAX: usize = 24;
    /// No call is told one by one, unless it is slow.
    pub const NONE: Self = Self {
        words: [0; Self::MAX / 8],
        length: 0,
    };

    /// None if it is longer than [`Self::MAX`].
    #[must_use]
    pub fn new(prefix: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..prefix.len())?.copy_from_slice(prefix);
        Some(Self {
            words: words(&bytes),
            length: prefix.len() as u64,
        })
    }

    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether it is this start of a text, cut to its own length and filled up with zeros.
    #[inline(always)]
    #[must_use]
    #[expect(
        clippy::inline_always,
        reason = "in a program every call is a burden to the verifier"
    )]
    pub fn is(&self, start: &[u8; Self::MAX]) -> bool {
        let start = words(start);
        self.words[0] == start[0] && self.words[1] == start[1] && self.words[2] == start[2]
    }
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "in a program every call is a burden to the verifier"
)]
fn words(bytes: &[u8; Prefix::MAX]) -> [u64; Prefix::MAX / 8] {
    let (chunks, _) = bytes.as_chunks();
    [0, 1, 2].map(|at: usize| u64::from_ne_bytes(chunks[at]))
}

/// What to do when a function is entered.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The row of [`HISTOGRAMS`] of a hot function; [`SLOW`] says that it is none.
    pub histogram: u32,
    pub unused: u32,
    /// Nanoseconds past which any call of a hot function is told.
    pub threshold: u64,
    /// The data word of its `context.Context`, if it has one.
    pub context: Source,
    pub prefix: Prefix,
    pub captures: [Capture; ENTRY_CAPTURES],
}

/// [`Spec::histogram`] of a function whose calls are all told.
pub const SLOW: u32 = u32::MAX;

/// What to do at a return point.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    /// The row of the function in [`SPECS`].
    pub spec: u32,
    /// What to add to SP here for SP at the function's entry.
    pub frame: u32,
    /// The type word of the error that it returns, if it does: zero says that there is none.
    pub error: Source,
    pub captures: [Capture; RETURN_CAPTURES],
}

/// What the programs must know of a process as a whole.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub span_types: [SpanType; SPAN_TYPES],
}

/// A Go type whose values hold an OpenTelemetry `SpanContext`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanType {
    /// Of the pointer type's description in this process, zero if the executable has no such type.
    pub address: u64,
    /// From the start of the value to its `SpanContext`.
    pub context: u32,
    pub unused: u32,
}

/// Which call: the same at its entry and at its return, whatever thread runs it and wherever its stack
/// has moved meanwhile.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub slot: u32,
    pub spec: u32,
    /// The address of the goroutine's descriptor.
    pub goroutine: u64,
    /// From SP at the function's entry to the top of the goroutine's stack.
    pub depth: u64,
}

/// A call in flight.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Nanoseconds since boot.
    pub start: u64,
    /// Whether its `Begin` was written: then its `End` is too.
    pub told: u64,
}

/// What happened at the points of one function, on one CPU.
///
/// `entries` = `matched` + `overwritten` + `not_kept` + calls in flight + calls forgotten by the bound
/// of [`MAX_CALLS`]. `returns` = `matched` + `unmatched`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub entries: u64,
    pub returns: u64,
    /// Returns whose entry is known.
    pub matched: u64,
    /// Returns of calls that had begun before the probe was there, or were forgotten.
    pub unmatched: u64,
    /// Entries at the key of a call that never returned: it was unwound by a panic.
    pub overwritten: u64,
    /// Entries that the table of calls in flight had no room for.
    pub not_kept: u64,
    /// Hits of either kind without a goroutine: they count as nothing else.
    pub stray: u64,
    /// Captures that could not be read.
    pub unread: u64,
    /// Records that the ring had no room for.
    pub lost_begins: u64,
    pub lost_ends: u64,
}

as_bytes! {
    Source: 8,
    Capture: 40,
    Prefix: 32,
    Spec: 216,
    Return: 96,
    Process: 48,
    SpanType: 16,
    Key: 24,
    InFlight: 16,
    Counts: 80,
}
