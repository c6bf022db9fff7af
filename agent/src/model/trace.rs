//! Spans that this agent makes, and the identity that they share with native ones.

use std::{fmt, sync::Arc};

use super::time::{Nanos, Wall};

/// The 16 bytes that all spans of one trace carry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

/// The 8 bytes of one span, unique in its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub [u8; 8]);

/// What a native span hands on to the work below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanContext {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// Whether the component exports the spans of this trace.
    pub sampled: bool,
}

/// The side of a call that a span is, as OpenTelemetry names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SpanKind {
    #[default]
    Internal,
    Client,
    Server,
}

/// A span that no component reported: made here, of what was seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// `service.name`: the component that did the work.
    pub service: Arc<str>,
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent: Option<SpanId>,
    pub name: Arc<str>,
    pub kind: SpanKind,
    pub start: Nanos<Wall>,
    pub end: Nanos<Wall>,
    /// Why the work failed, if it did; empty if that is all that is known.
    pub error: Option<Box<str>>,
    pub attributes: Vec<(Arc<str>, Box<str>)>,
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
