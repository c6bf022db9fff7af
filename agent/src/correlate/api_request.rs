//! One question: what did an API request wait for, down to etcd?
//!
//! In: the API server's own spans of requests and of its calls of etcd, as they were reported: calls before the request
//! that they were made for. Out: of each request how long it took and how much of that was etcd.
//!
//! Invariant: no clock, no task. What is remembered is the times of calls whose request has not been reported yet; past
//! `MAX_OPEN` traces the oldest is forgotten, as are calls that no request was reported for.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::model::{
    time::{Nanos, Wall, covered},
    trace::{SpanKind, SpanRef, TraceId},
};

/// Traces whose request is not known yet.
const MAX_OPEN: usize = 8192;
/// Calls of one request that are told apart; a list in pages has one for each page.
const MAX_CALLS: usize = 256;

/// From when to when.
type Times = (Nanos<Wall>, Nanos<Wall>);

/// What a request waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anatomy<'a> {
    /// `http.request.method`.
    pub method: &'a str,
    /// `http.route`: the path with names left out.
    pub route: &'a str,
    pub total: Duration,
    /// The time in which at least one call of etcd was under way.
    pub etcd: Duration,
}

/// The calls of etcd that belong to requests still to be reported.
#[derive(Debug, Default)]
pub struct ApiRequests {
    open: HashMap<TraceId, Vec<Times>>,
    oldest: VecDeque<TraceId>,
}

impl ApiRequests {
    /// Takes a span of the API server; tells of the request if it was one.
    pub fn take<'a>(&mut self, span: SpanRef<'a>) -> Option<Anatomy<'a>> {
        match span.kind {
            SpanKind::Client if span.name.starts_with("etcdserverpb.KV/") => {
                self.call(span.trace_id, (span.start, span.end));
                None
            }
            SpanKind::Server => {
                let (method, route) = span
                    .name
                    .split_once(' ')
                    .filter(|(_, route)| route.starts_with('/'))?;
                let calls = self.open.remove(&span.trace_id).unwrap_or_default().into_iter();
                let calls = calls.map(|(start, end)| (start.max(span.start), end.min(span.end)));
                Some(Anatomy {
                    method,
                    route,
                    total: span.end.since(&span.start),
                    etcd: covered(calls.collect()),
                })
            }
            _ => None,
        }
    }

    fn call(&mut self, trace_id: TraceId, times: Times) {
        let calls = self.open.entry(trace_id).or_insert_with(|| {
            self.oldest.push_back(trace_id);
            Vec::new()
        });
        if calls.len() < MAX_CALLS {
            calls.push(times);
        }
        while self.open.len() > MAX_OPEN {
            let Some(oldest) = self.oldest.pop_front() else {
                return;
            };
            self.open.remove(&oldest);
        }
        // Requests that were reported are dropped here in passing.
        if self.oldest.len() > 2 * MAX_OPEN {
            let open = &self.open;
            self.oldest.retain(|trace_id| open.contains_key(trace_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::trace::{SpanId, StatusCode};

    fn span(trace: u8, name: &str, kind: SpanKind, start: u64, end: u64) -> SpanRef<'_> {
        SpanRef {
            service: "apiserver",
            trace_id: TraceId([trace; 16]),
            span_id: SpanId([1; 8]),
            parent: None,
            name,
            kind,
            start: Nanos::new(start),
            end: Nanos::new(end),
            status: StatusCode::Unset,
        }
    }

    #[test]
    fn a_request_waited_for_the_calls_of_its_own_trace() {
        let mut requests = ApiRequests::default();
        for (trace, start, end) in [(1, 10, 30), (1, 20, 40), (2, 0, 100), (1, 60, 70)] {
            let call = span(trace, "etcdserverpb.KV/Txn", SpanKind::Client, start, end);
            assert_eq!(requests.take(call), None);
        }
        let name = "POST /api/v1/namespaces/{:namespace}/pods";
        let anatomy = requests.take(span(1, name, SpanKind::Server, 0, 65));
        let expected = Anatomy {
            method: "POST",
            route: "/api/v1/namespaces/{:namespace}/pods",
            total: Duration::from_nanos(65),
            etcd: Duration::from_nanos(35),
        };
        assert_eq!(anatomy, Some(expected));
        let again = requests.take(span(1, name, SpanKind::Server, 0, 65)).unwrap();
        assert_eq!(again.etcd, Duration::ZERO);
        assert_eq!(requests.take(span(2, "GET", SpanKind::Server, 0, 65)), None);
    }

    proptest! {
        #[test]
        fn no_request_waits_longer_than_it_takes_and_memory_is_bounded(
            spans in prop::collection::vec((any::<u16>(), 0_u64..100, 0_u64..100, any::<bool>()), 0..500)
        ) {
            let mut requests = ApiRequests::default();
            for (trace, one, other, is_call) in spans {
                let (name, kind) = if is_call {
                    ("etcdserverpb.KV/Range", SpanKind::Client)
                } else {
                    ("GET /api", SpanKind::Server)
                };
                let mut reported = span(0, name, kind, one.min(other), one.max(other));
                reported.trace_id = TraceId([u8::try_from(trace % 50).unwrap(); 16]);
                if let Some(anatomy) = requests.take(reported) {
                    prop_assert!(anatomy.etcd <= anatomy.total);
                }
                prop_assert!(requests.open.len() <= MAX_OPEN);
            }
        }
    }
}
