//! One question: do the probes see what components report, and when it happened?
//!
//! In: calls that a component reports itself, and its own spans of them. Out: pairs of the two, and what had no partner
//! in time. They are joined by identity: a client's call and its span have the same parent, and the call that serves
//! a request runs inside the native span of that request. A call outside any native span cannot be compared.
//!
//! Invariant: no clock, no task. Past `MAX_OPEN` of either side the oldest is given up.

mod metrics;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

pub use self::metrics::Metrics;
use super::calls::Call;
use crate::model::{
    time::{Nanos, Wall},
    trace::{SpanContext, SpanId, SpanKind, SpanRef, TraceId},
};

/// Calls or spans that wait for the other side.
const MAX_OPEN: usize = 4096;
/// For as long as components take to report, trying again included.
const PATIENCE: Duration = Duration::from_secs(30);

/// A function whose calls a component reports itself: its service, and the name of those spans.
pub type Compared = (Arc<str>, Arc<str>);

/// Who saw a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    Both,
    /// The component alone.
    Native,
    /// A probe alone.
    Probe,
}

/// Both sides, until they have met.
#[derive(Debug)]
pub struct Coverage {
    compared: HashMap<Arc<str>, HashSet<Arc<str>>>,
    waiting: HashMap<Key, Vec<Side>>,
    oldest: VecDeque<(Nanos<Wall>, Key, u64)>,
    next: u64,
    /// Since when each component is compared: what began before the probes were there has no call.
    since: HashMap<Arc<str>, Nanos<Wall>>,
    metrics: Metrics,
}

/// What both sides have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    service: Arc<str>,
    name: Arc<str>,
    trace_id: TraceId,
    /// The native span around a client's call, or the one that a server's call runs in.
    anchor: SpanId,
}

#[derive(Clone, Copy, Debug)]
struct Side {
    /// Tells it from others that wait for the same.
    number: u64,
    is_native: bool,
    start: Nanos<Wall>,
    end: Nanos<Wall>,
}

impl Coverage {
    /// `compared` are the functions whose every call is told.
    #[must_use]
    pub fn new(compared: impl IntoIterator<Item = Compared>, metrics: Metrics) -> Self {
        let mut names: HashMap<Arc<str>, HashSet<Arc<str>>> = HashMap::new();
        for (service, name) in compared {
            names.entry(service).or_default().insert(name);
        }
        Self {
            compared: names,
            waiting: HashMap::new(),
            oldest: VecDeque::new(),
            next: 0,
            since: HashMap::new(),
            metrics,
        }
    }

    /// Takes a call that has ended.
    pub fn call(&mut self, call: &Call, now: Nanos<Wall>) {
        let service = &call.span.service;
        let since = self.since.entry(Arc::clone(service)).or_insert(call.span.start);
        *since = call.span.start.min(*since);
        let (
            Some(name),
            Some(SpanContext {
                trace_id,
                span_id,
                sampled: true,
            }),
        ) = (&call.native, call.context)
        else {
            return;
        };
        if self.names(service).is_none_or(|names| !names.contains(name)) {
            return;
        }
        let key = Key {
            service: Arc::clone(service),
            name: Arc::clone(name),
            trace_id,
            anchor: span_id,
        };
        let side = Side {
            number: self.number(),
            is_native: false,
            start: call.span.start,
            end: call.span.end,
        };
        self.meet(key, side, now);
    }

    /// Takes a component's own span.
    pub fn native(&mut self, span: SpanRef<'_>, now: Nanos<Wall>) {
        let Some((service, names)) = self.compared.get_key_value(span.service) else {
            return;
        };
        let (service, Some(name)) = (Arc::clone(service), names.get(span.name).cloned()) else {
            return;
        };
        let anchor = match span.kind {
            SpanKind::Server => Some(span.span_id),
            _ => span.parent,
        };
        let since = self.since.get(&service);
        let (Some(anchor), true) = (anchor, since.is_some_and(|since| *since < span.start)) else {
            return;
        };
        let key = Key {
            service,
            name,
            trace_id: span.trace_id,
            anchor,
        };
        let side = Side {
            number: self.number(),
            is_native: true,
            start: span.start,
            end: span.end,
        };
        self.meet(key, side, now);
    }

    /// Gives up what has waited too long.
    pub fn tick(&mut self, now: Nanos<Wall>) {
        while let Some((at, ..)) = self.oldest.front() {
            if now.since(at) < PATIENCE && self.oldest.len() <= MAX_OPEN {
                return;
            }
            if let Some((_, key, number)) = self.oldest.pop_front() {
                self.give_up(&key, number);
            }
        }
    }

    /// Nothing is left to give up of what has met its partner.
    fn give_up(&mut self, key: &Key, number: u64) {
        let Some(sides) = self.waiting.get_mut(key) else {
            return;
        };
        let Some(place) = sides.iter().position(|side| side.number == number) else {
            return;
        };
        let side = sides.remove(place);
        if sides.is_empty() {
            self.waiting.remove(key);
        }
        let seen = if side.is_native { Seen::Native } else { Seen::Probe };
        self.metrics.count(&key.service, &key.name, seen);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn names(&self, service: &str) -> Option<&HashSet<Arc<str>>> {
        self.compared.get(service)
    }

    fn meet(&mut self, key: Key, side: Side, now: Nanos<Wall>) {
        let sides = self.waiting.entry(key.clone()).or_default();
        let partner = sides.iter().position(|other| {
            other.is_native != side.is_native && other.start <= side.end && side.start <= other.end
        });
        let Some(partner) = partner else {
            sides.push(side);
            self.oldest.push_back((now, key, side.number));
            return;
        };
        let other = sides.remove(partner);
        if sides.is_empty() {
            self.waiting.remove(&key);
        }
        let lengths = [side, other].map(|side| side.end.since(&side.start));
        self.metrics.count(&key.service, &key.name, Seen::Both);
        self.metrics
            .differ(&key.service, &key.name, lengths[0].abs_diff(lengths[1]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trace::{Span, StatusCode};

    const RUN: &str = "runtime.v1.RuntimeService/RunPodSandbox";
    const TRACE: TraceId = TraceId([1; 16]);

    fn call(kind: SpanKind, context: u8, start: u64, end: u64) -> Call {
        Call {
            span: Span {
                service: "kubelet".into(),
                trace_id: TRACE,
                span_id: SpanId([9; 8]),
                parent: None,
                name: "x".into(),
                kind,
                start: Nanos::new(start),
                end: Nanos::new(end),
                error: None,
                attributes: Vec::new(),
                links: Vec::new(),
            },
            context: Some(SpanContext {
                trace_id: TRACE,
                span_id: SpanId([context; 8]),
                sampled: true,
            }),
            pod: None,
            kept: None,
            native: Some(RUN.into()),
            beside: false,
        }
    }

    fn native(kind: SpanKind, parent: u8, id: u8, start: u64, end: u64) -> SpanRef<'static> {
        SpanRef {
            service: "kubelet",
            name: RUN,
            kind,
            trace_id: TRACE,
            span_id: SpanId([id; 8]),
            parent: Some(SpanId([parent; 8])),
            start: Nanos::new(start),
            end: Nanos::new(end),
            status: StatusCode::Unset,
        }
    }

    fn coverage() -> Coverage {
        let mut coverage = Coverage::new([("kubelet".into(), RUN.into())], Metrics::default());
        // The probes are there from the beginning.
        let mut first = call(SpanKind::Client, 1, 0, 0);
        first.context = None;
        coverage.call(&first, Nanos::default());
        coverage
    }

    fn counts(coverage: &Coverage) -> [u64; 3] {
        [Seen::Both, Seen::Native, Seen::Probe].map(|seen| coverage.metrics.of("kubelet", RUN, seen))
    }

    #[test]
    fn a_client_and_its_span_have_one_parent_and_a_server_runs_in_its_span() {
        let mut coverage = coverage();
        let now = Nanos::new(1);
        coverage.call(&call(SpanKind::Client, 4, 10, 20), now);
        coverage.native(native(SpanKind::Client, 4, 5, 11, 19), now);
        coverage.native(native(SpanKind::Server, 5, 6, 12, 18), now);
        coverage.call(&call(SpanKind::Server, 6, 13, 17), now);
        assert_eq!(counts(&coverage), [2, 0, 0]);
        assert!(coverage.waiting.is_empty());
    }

    #[test]
    fn what_has_no_partner_in_time_is_counted() {
        let mut coverage = coverage();
        coverage.call(&call(SpanKind::Client, 4, 10, 20), Nanos::new(1));
        coverage.native(native(SpanKind::Client, 4, 5, 30, 40), Nanos::new(1));
        coverage.native(native(SpanKind::Client, 4, 7, 50, 60), Nanos::new(1));
        coverage.tick(Nanos::new(1_000_000_000));
        assert_eq!(counts(&coverage), [0, 0, 0]);
        coverage.tick(Nanos::new(31_000_000_000));
        assert_eq!(counts(&coverage), [0, 2, 1]);
        assert!(coverage.waiting.is_empty() && coverage.oldest.is_empty());
    }
}
