//! Calls of functions inside the components, as the probes see them.
//!
//! A call is told twice: when it begins and when it ends, so that whoever joins calls knows those in flight and
//! never has to hold one back for its parent.

use std::sync::Arc;

use super::{
    time::{Boot, Nanos, Wall},
    trace::{SpanContext, SpanKind},
};

/// A function of the catalogue: what all its calls have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// `service.name` of its spans, as the component itself would say.
    pub service: Arc<str>,
    /// The name of its spans.
    pub span: Arc<str>,
    pub kind: SpanKind,
    /// The same for every call.
    pub attributes: Vec<(Arc<str>, Box<str>)>,
    /// The remote procedure that it calls (as a client) or serves (as a server): `service/method`.
    pub rpc: Option<Arc<str>>,
    /// The name of the span by which the component itself reports the same call, where it does.
    pub native: Option<Arc<str>>,
}

/// A process of this node, for as long as it lives; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId(pub u64);

/// What tells a call from all others of this node since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    pub process: ProcessId,
    /// The address of the goroutine's descriptor.
    pub goroutine: u64,
    /// How far into the goroutine's stack the call begins, in bytes: a call inside a call lies deeper.
    pub depth: u64,
    pub start: Nanos<Boot>,
}

/// What was read of a call's arguments or results: attributes of its span.
pub type Captures = Vec<(Arc<str>, Box<str>)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    pub id: CallId,
    pub operation: Arc<Operation>,
    pub start: Nanos<Wall>,
    /// The native span that was current when the function was called.
    pub context: Option<SpanContext>,
    pub captures: Captures,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub id: CallId,
    pub end: Nanos<Wall>,
    /// Whether the function returned an error.
    pub failed: bool,
    pub captures: Captures,
}

/// What becomes known of the calls of this node, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEvent {
    Begun(Begun),
    Ended(Ended),
    /// A call of a hot function that was worth telling only once its duration was known.
    Slow(Begun, Ended),
    /// The process ended; what it had in flight was interrupted.
    Exited(ProcessId, Nanos<Wall>),
}
