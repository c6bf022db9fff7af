//! What the programs write into the ring: the begin and the end of calls.

use super::{ENTRY_CAPTURES, Key, RETURN_CAPTURES};
use crate::bytes::as_bytes;

/// The bytes of a captured text that are kept.
pub const TEXT: usize = 128;

/// [`Head::kind`] of a [`Begin`] and of an [`End`].
pub const BEGIN: u32 = 1;
pub const END: u32 = 2;

/// [`Head::flags`].
pub mod flag {
    /// Of a `Begin`: an older call of the same key never returned.
    pub const OVERWRITES: u32 = 1;
    /// Of an `End`: it stands alone, for a call of a hot function that took longer than its threshold.
    pub const ALONE: u32 = 2;
}

/// How every record begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: u32,
    pub flags: u32,
    pub key: Key,
    /// Nanoseconds since boot at which the call began; with the key it names the call.
    pub start: u64,
    /// The thread that passed the probe.
    pub thread: u32,
    pub unused: u32,
}

/// A call has begun.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    pub head: Head,
    pub native: Native,
    pub captures: [Captured; ENTRY_CAPTURES],
}

/// A call has ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub head: Head,
    /// Nanoseconds since boot.
    pub end: u64,
    /// One of [`outcome`].
    pub outcome: u32,
    pub unused: u32,
    pub captures: [Captured; RETURN_CAPTURES],
}

/// [`End::outcome`].
pub mod outcome {
    /// The function returns no error, or it could not be read.
    pub const UNKNOWN: u32 = 0;
    pub const SUCCESS: u32 = 1;
    pub const ERROR: u32 = 2;
}

/// The native span that was current when the call began, if one was found: an OpenTelemetry `SpanContext`.
///
/// The ids are bytes; they are words here, in the order in which they lie in memory, because that is how a
/// program copies them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Native {
    pub trace_id: [u64; 2],
    pub span_id: u64,
    pub trace_flags: u32,
    /// Whether the rest means anything.
    pub found: u32,
}

/// A captured value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    /// One of [`state`].
    pub state: u32,
    /// Of the whole text; the first [`TEXT`] bytes of it are kept.
    pub length: u32,
    /// Only as much of it means anything as `length` says.
    pub bytes: [u8; TEXT],
}

/// [`Captured::state`].
pub mod state {
    /// Nothing was asked for.
    pub const NONE: u32 = 0;
    pub const READ: u32 = 1;
    /// A pointer led nowhere, or a length is absurd.
    pub const UNREAD: u32 = 2;
}

as_bytes! {
    Head: 48,
    Begin: 624,
    End: 336,
    Native: 32,
    Captured: 136,
}
