//! One walk over a request: is it valid, and how many items of each component does it hold?
//!
//! In: the bytes of an `Export{Trace,Metrics,Logs}ServiceRequest`. Out: a [`Scan`]. Every message that OTLP
//! defines is checked completely, so that whoever reads the bytes next finds what prost would find; nothing
//! is allocated and nothing is kept.
//!
//! Spans with broken ids or times are counted and pass, as OTLP asks receivers to be lenient.

mod attributes;
mod logs;
mod metrics;
mod traces;

use super::wire::{Depth, Malformed, Reader};
use crate::model::{Component, Signal, Tally};

/// What a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) tally: Tally,
    /// How many `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`.
    pub(super) resources: usize,
    pub(super) irregular: Irregularities,
}

/// What is wrong with a span that passes all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Irregular {
    /// Not 16 bytes, or all zero.
    TraceId,
    /// Not 8 bytes, or all zero.
    SpanId,
    /// It ends before it starts.
    Times,
}

impl Irregular {
    pub(super) const ALL: [Self; 3] = [Self::TraceId, Self::SpanId, Self::Times];

    #[must_use]
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::Times => "times",
        }
    }
}

/// How many spans are irregular, and how; one span can be so in several ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Irregularities([u64; Irregular::ALL.len()]);

impl Irregularities {
    #[must_use]
    pub(super) fn of(&self, kind: Irregular) -> u64 {
        self.0[kind as usize]
    }

    pub(super) fn note(&mut self, kind: Irregular, is_so: bool) {
        self.0[kind as usize] += u64::from(is_so);
    }
}

/// Checks a request and counts what it holds.
pub(super) fn scan(signal: Signal, request: &[u8]) -> Result<Scan, Malformed> {
    let mut found = Scan::default();
    let depth = Depth::root();
    let mut fields = Reader::new(request);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => envelope(signal, fields.read_bytes(field)?, depth.below()?, &mut found)?,
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(found)
}

/// `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`: alike up to what their scopes hold.
fn envelope(signal: Signal, message: &[u8], depth: Depth, found: &mut Scan) -> Result<(), Malformed> {
    // The resource may stand behind the scopes, so the items wait until its end for their component.
    let (mut component, mut items) = (Component::Other, 0);
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => {
                let service = attributes::resource(fields.read_bytes(field)?, depth.below()?)?;
                component = service.map_or(component, Component::of_service);
            }
            2 => {
                items += scope(
                    signal,
                    fields.read_bytes(field)?,
                    depth.below()?,
                    &mut found.irregular,
                )?;
            }
            3 => drop(fields.read_text(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    found.tally.add(component, items);
    found.resources += 1;
    Ok(())
}

/// `ScopeSpans`, `ScopeMetrics` or `ScopeLogs`; returns the number of items.
fn scope(
    signal: Signal,
    message: &[u8],
    depth: Depth,
    irregular: &mut Irregularities,
) -> Result<u64, Malformed> {
    let mut items = 0;
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => attributes::scope(fields.read_bytes(field)?, depth.below()?)?,
            2 => {
                let (item, below) = (fields.read_bytes(field)?, depth.below()?);
                items += match signal {
                    Signal::Traces => traces::span(item, below, irregular).map(|()| 1)?,
                    Signal::Metrics => metrics::metric(item, below)?,
                    Signal::Logs => logs::record(item, below).map(|()| 1)?,
                };
            }
            3 => drop(fields.read_text(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests;
