//! Spans that this agent makes, and the identity that they share with native ones.

use std::{fmt, sync::Arc};

use super::{
    attr::Attribute,
    time::{Nanos, Wall},
};

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

/// The side of a call that a span is, as OpenTelemetry names and orders it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SpanKind {
    #[default]
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

/// Whether the work of a span failed, as far as the component said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StatusCode {
    #[default]
    Unset,
    Ok,
    Error,
}

/// Another span, in this trace or another, that tells of the same work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    pub trace_id: TraceId,
    pub span_id: SpanId,
}

/// A span: made here of what was seen from outside, or the joinable part of one that a component reported.
#[derive(Clone, Debug, PartialEq)]
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
    pub attributes: Vec<Attribute>,
    pub links: Vec<Link>,
}

/// What a span is and when it was, without its attributes: borrowed from wherever it stands.
#[derive(Clone, Copy, Debug)]
pub struct SpanRef<'a> {
    /// `service.name` of who reported it.
    pub service: &'a str,
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent: Option<SpanId>,
    pub name: &'a str,
    pub kind: SpanKind,
    pub start: Nanos<Wall>,
    pub end: Nanos<Wall>,
    pub status: StatusCode,
}

impl Span {
    #[must_use]
    pub fn borrowed(&self) -> SpanRef<'_> {
        SpanRef {
            service: &self.service,
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent: self.parent,
            name: &self.name,
            kind: self.kind,
            start: self.start,
            end: self.end,
            status: if self.error.is_some() {
                StatusCode::Error
            } else {
                StatusCode::Unset
            },
        }
    }
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
