//! What the programs say of calls, in the agent's terms.
//!
//! In: the bytes of one record. Out: the begin or the end of a call, as values. Captured bytes are handed
//! on as they were read: what a text must look like is known where it was asked for.

use abi::go_call::{
    Key,
    record::{self, Head, Native, flag, outcome, state},
};

use crate::model::{
    time::{Boot, Nanos},
    trace::{SpanContext, SpanId, TraceId},
};

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Begin(Begin),
    End(End),
}

/// A call: no two have all of this in common, and its begin and its end have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Call {
    /// The attachment that saw it: [`Attachment::slot`](super::attach::Attachment::slot).
    pub slot: u32,
    /// Its function: [`Attachment::function`](super::attach::Attachment::function).
    pub row: u32,
    /// The address of the goroutine's descriptor.
    pub goroutine: u64,
    /// How far in the goroutine's stack it began, in bytes: a call within it lies deeper.
    pub depth: u64,
    pub start: Nanos<Boot>,
}

/// A call has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    pub call: Call,
    pub thread: u32,
    /// An earlier call of this function, by this goroutine and at this depth, never returned: either a
    /// panic unwound it, or the entry point was passed twice for one call because the stack grew.
    pub overwrites: bool,
    /// The component's own span that was current.
    pub native: Option<SpanContext>,
    /// One for each capture of the function's `Spec`.
    pub captures: Vec<Captured>,
}

/// A call has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub call: Call,
    pub thread: u32,
    pub end: Nanos<Boot>,
    /// It was not told that this call had begun: a hot function's, worth telling because it took long.
    pub is_alone: bool,
    /// Whether it returned an error, if the function returns one.
    pub failed: Option<bool>,
    /// One for each capture of the return point.
    pub captures: Vec<Captured>,
}

/// A value that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Captured {
    /// Nothing was asked for.
    Nothing,
    /// It could not be read.
    Unread,
    Bytes {
        /// A text, or eight bytes of a word.
        bytes: Box<[u8]>,
        /// Whether the text is longer than what is kept of it.
        is_cut: bool,
    },
}

impl Record {
    /// None if it is no record of these programs.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if let Ok(bytes) = bytes.try_into() {
            let begin = record::Begin::from_bytes(bytes);
            return (begin.head.kind == record::BEGIN).then(|| Self::Begin(Begin::of(&begin)));
        }
        let end = record::End::from_bytes(bytes.try_into().ok()?);
        (end.head.kind == record::END).then(|| Self::End(End::of(&end)))
    }
}

impl Begin {
    fn of(record: &record::Begin) -> Self {
        Self {
            call: Call::of(&record.head),
            thread: record.head.thread,
            overwrites: record.head.flags & flag::OVERWRITES != 0,
            native: span_context(&record.native),
            captures: record.captures.iter().map(Captured::of).collect(),
        }
    }
}

impl End {
    fn of(record: &record::End) -> Self {
        Self {
            call: Call::of(&record.head),
            thread: record.head.thread,
            end: Nanos::new(record.end),
            is_alone: record.head.flags & flag::ALONE != 0,
            failed: match record.outcome {
                outcome::SUCCESS => Some(false),
                outcome::ERROR => Some(true),
                _ => None,
            },
            captures: record.captures.iter().map(Captured::of).collect(),
        }
    }
}

impl Call {
    fn of(head: &Head) -> Self {
        let Key {
            slot,
            spec,
            goroutine,
            depth,
        } = head.key;
        Self {
            slot,
            row: spec,
            goroutine,
            depth,
            start: Nanos::new(head.start),
        }
    }
}

impl Captured {
    fn of(record: &record::Captured) -> Self {
        match record.state {
            state::NONE => Self::Nothing,
            state::READ => {
                let length = usize::try_from(record.length).unwrap_or(usize::MAX);
                let kept = record.bytes.get(..length);
                Self::Bytes {
                    bytes: kept.unwrap_or(&record.bytes).into(),
                    is_cut: kept.is_none(),
                }
            }
            _ => Self::Unread,
        }
    }

    /// The whole of it as text, if it is text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Bytes { bytes, is_cut: false } => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

/// None if there was no span, or one that is not valid.
fn span_context(native: &Native) -> Option<SpanContext> {
    const SAMPLED: u32 = 1;
    let Native {
        trace_id: [first, second],
        span_id,
        trace_flags,
        found,
    } = *native;
    if found == 0 || first | second == 0 || span_id == 0 {
        return None;
    }
    let mut trace_id = [0; 16];
    let (words, _) = trace_id.as_chunks_mut();
    words.copy_from_slice(&[first.to_ne_bytes(), second.to_ne_bytes()]);
    Some(SpanContext {
        trace_id: TraceId(trace_id),
        span_id: SpanId(span_id.to_ne_bytes()),
        sampled: trace_flags & SAMPLED != 0,
    })
}

#[cfg(test)]
mod tests;
