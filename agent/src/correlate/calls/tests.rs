//! Events in, spans out, rendered as `name < parent`. Only `spans` touches the API.

use proptest::prelude::*;

use super::*;
use crate::model::{
    call::Operation,
    time::Boot,
    trace::{SpanContext, SpanKind},
};

const KUBELET: ProcessId = ProcessId(1);
const CONTAINERD: ProcessId = ProcessId(2);
const NATIVE: SpanContext = SpanContext {
    trace_id: TraceId([0xaa; 16]),
    span_id: SpanId([0xbb; 8]),
    sampled: true,
};

/// Milliseconds after a moment that is late enough for every silence to have passed.
fn at(ms: u64) -> u64 {
    (3_600_000 + ms) * 1_000_000
}

fn begun(process: ProcessId, goroutine: u64, depth: u64, ms: u64, name: &str) -> Begun {
    let (kind, rpc) = match name.split_once(' ') {
        Some(("client", rpc)) => (SpanKind::Client, Some(rpc.into())),
        Some(("server", rpc)) => (SpanKind::Server, Some(rpc.into())),
        _ => (SpanKind::Internal, None),
    };
    Begun {
        id: CallId {
            process,
            goroutine,
            depth,
            start: Nanos::<Boot>::new(at(ms)),
        },
        operation: Arc::new(Operation {
            service: if process == KUBELET {
                "kubelet"
            } else {
                "containerd"
            }
            .into(),
            span: name.into(),
            kind,
            attributes: Vec::new(),
            rpc,
            native: name.starts_with("native").then(|| name.into()),
        }),
        start: Nanos::new(at(ms)),
        context: None,
        captures: Captures::new(),
    }
}

fn with(pod: &str, begun: Begun) -> Begun {
    Begun {
        captures: vec![("k8s.pod.uid".into(), pod.into())],
        ..begun
    }
}

fn within(context: SpanContext, begun: Begun) -> Begun {
    Begun {
        context: Some(context),
        ..begun
    }
}

fn end(of: &Begun, ms: u64) -> CallEvent {
    CallEvent::Ended(Ended {
        id: of.id,
        end: Nanos::new(at(ms)),
        failed: false,
        captures: Captures::new(),
    })
}

fn begin(of: &Begun) -> CallEvent {
    CallEvent::Begun(of.clone())
}

fn calls(max_open: usize) -> Calls {
    let config = Config {
        modes: HashMap::new(),
        max_open,
    };
    Calls::new(config, [7; 16], Nanos::new(0), Metrics::default())
}

fn spans(calls: &mut Calls, events: &[CallEvent]) -> Vec<Span> {
    let mut complete = Vec::new();
    for event in events {
        calls.take(event.clone(), &mut complete);
    }
    let exported = complete.into_iter().filter(|call| call.kept.is_none());
    exported.map(|call| call.span).collect()
}

/// Each span as `name < parent`, in the order of leaving.
fn render(spans: &[Span]) -> Vec<String> {
    let name = |id: SpanId| {
        let of = spans.iter().find(|span| span.span_id == id);
        of.map_or_else(
            || {
                if id == NATIVE.span_id {
                    "native".to_owned()
                } else {
                    "?".to_owned()
                }
            },
            |span| span.name.to_string(),
        )
    };
    spans
        .iter()
        .map(|span| match span.parent {
            Some(parent) => format!("{} < {}", span.name, name(parent)),
            None => span.name.to_string(),
        })
        .collect()
}

fn check(events: &[CallEvent], expected: &[&str]) -> Calls {
    let mut calls = calls(100);
    let found = spans(&mut calls, events);
    assert_eq!(render(&found), expected);
    for span in &found {
        let parent = found.iter().find(|other| Some(other.span_id) == span.parent);
        if let Some(parent) = parent {
            assert_eq!(
                parent.trace_id, span.trace_id,
                "{} is in its parent's trace",
                span.name
            );
        }
    }
    calls
}

#[test]
fn where_all_calls_are_asked_for_those_that_the_component_reports_say_so() {
    let mut calls = calls(100);
    calls.config.modes.insert("kubelet".into(), Mode::Always);
    let [native, other] = ["native sync", "probe"].map(|name| begun(KUBELET, 1, 10, 0, name));
    let served = begun(CONTAINERD, 1, 10, 0, "native run");
    let mut complete = Vec::new();
    for call in [native, other, served] {
        calls.take(begin(&call), &mut complete);
        calls.take(end(&call, 1), &mut complete);
    }
    let beside: Vec<bool> = complete.iter().map(|call| call.beside).collect();
    assert_eq!(beside, [true, false, false]);
}

#[test]
fn a_call_inside_a_call_of_its_goroutine_is_its_child() {
    let outer = begun(KUBELET, 1, 100, 0, "sync");
    let inner = begun(KUBELET, 1, 200, 1, "volumes");
    let beside = begun(KUBELET, 2, 300, 1, "other");
    check(
        &[
            begin(&outer),
            begin(&inner),
            begin(&beside),
            end(&inner, 2),
            end(&beside, 3),
            end(&outer, 4),
        ],
        &["volumes < sync", "other", "sync"],
    );
}

#[test]
fn a_call_that_calls_itself_nests() {
    let outer = begun(KUBELET, 1, 100, 0, "walk");
    let inner = begun(KUBELET, 1, 200, 1, "walk");
    let calls = check(
        &[begin(&outer), begin(&inner), end(&inner, 2), end(&outer, 3)],
        &["walk < walk", "walk"],
    );
    assert!(calls.open.is_empty() && calls.stacks.is_empty());
}

#[test]
fn the_call_that_serves_is_a_child_of_the_call_that_asked() {
    let client = with("a", begun(KUBELET, 1, 100, 0, "client cri/Run"));
    let other = with("b", begun(KUBELET, 2, 100, 0, "client cri/Run"));
    let server = with("a", begun(CONTAINERD, 1, 50, 1, "server cri/Run"));
    check(
        &[
            begin(&client),
            begin(&other),
            begin(&server),
            end(&server, 5),
            end(&client, 6),
            end(&other, 7),
        ],
        &[
            "server cri/Run < client cri/Run",
            "client cri/Run",
            "client cri/Run",
        ],
    );
}

#[test]
fn a_parent_is_not_guessed_among_several() {
    let clients = [1, 2].map(|goroutine| with("a", begun(KUBELET, goroutine, 100, 0, "client cri/Run")));
    let server = with("a", begun(CONTAINERD, 1, 50, 1, "server cri/Run"));
    let calls = check(
        &[
            begin(&clients[0]),
            begin(&clients[1]),
            begin(&server),
            end(&server, 5),
        ],
        &["server cri/Run"],
    );
    assert_eq!(calls.metrics.of(Fate::Ambiguous), 1);
}

#[test]
fn one_client_call_is_served_once() {
    let client = with("a", begun(KUBELET, 1, 100, 0, "client cri/Run"));
    let servers = [1, 2].map(|goroutine| with("a", begun(CONTAINERD, goroutine, 50, 1, "server cri/Run")));
    check(
        &[
            begin(&client),
            begin(&servers[0]),
            begin(&servers[1]),
            end(&servers[0], 2),
            end(&servers[1], 3),
            end(&client, 4),
        ],
        &[
            "server cri/Run < client cri/Run",
            "server cri/Run",
            "client cri/Run",
        ],
    );
}

#[test]
fn a_native_span_around_a_call_is_its_parent() {
    let outer = within(NATIVE, begun(KUBELET, 1, 100, 0, "sync"));
    let inner = within(NATIVE, begun(KUBELET, 1, 200, 1, "volumes"));
    check(
        &[begin(&outer), begin(&inner), end(&inner, 2), end(&outer, 3)],
        &["volumes < sync", "sync < native"],
    );
}

#[test]
fn a_native_span_between_two_calls_is_the_parent_of_the_inner_one() {
    let above = SpanContext {
        span_id: SpanId([1; 8]),
        ..NATIVE
    };
    let outer = within(above, begun(KUBELET, 1, 100, 0, "sync"));
    let inner = within(NATIVE, begun(KUBELET, 1, 200, 1, "volumes"));
    check(
        &[begin(&outer), begin(&inner), end(&inner, 2), end(&outer, 3)],
        &["volumes < native", "sync < ?"],
    );
}

#[test]
fn what_the_component_reports_itself_is_counted_and_not_exported() {
    let reported = within(NATIVE, begun(KUBELET, 1, 100, 0, "native cri"));
    let calls = check(&[begin(&reported), end(&reported, 1)], &[]);
    assert_eq!(calls.metrics.of(Fate::Native), 1);
}

#[test]
fn a_component_that_falls_silent_is_spoken_for_within_ten_seconds_and_left_alone_again() {
    let mut calls = calls(100);
    let kubelet: Arc<str> = "kubelet".into();
    let exported = |calls: &mut Calls, ms| {
        let call = begun(KUBELET, 1, 100, ms, "native sync");
        spans(calls, &[begin(&call), end(&call, ms + 1)]).len()
    };
    assert_eq!(exported(&mut calls, 0), 1);
    calls.native(&kubelet, Nanos::new(at(1_000)));
    assert_eq!(exported(&mut calls, 2_000), 0);
    assert_eq!(exported(&mut calls, 8_999), 0);
    assert_eq!(exported(&mut calls, 9_000), 1);
    calls.native(&kubelet, Nanos::new(at(12_000)));
    assert_eq!(exported(&mut calls, 12_001), 0);
}

#[test]
fn right_after_the_start_every_component_is_taken_to_trace() {
    let mut calls = Calls::new(calls(1).config, [7; 16], Nanos::new(at(0)), Metrics::default());
    let early = begun(KUBELET, 1, 100, 7_999, "native sync");
    let late = begun(KUBELET, 1, 100, 8_000, "native sync");
    assert_eq!(spans(&mut calls, &[begin(&early), end(&early, 8_000)]).len(), 0);
    assert_eq!(spans(&mut calls, &[begin(&late), end(&late, 8_001)]).len(), 1);
}

#[test]
fn a_trace_that_the_component_does_not_sample_is_left_out() {
    let unsampled = SpanContext {
        sampled: false,
        ..NATIVE
    };
    let call = within(unsampled, begun(KUBELET, 1, 100, 0, "volumes"));
    let calls = check(&[begin(&call), end(&call, 1)], &[]);
    assert_eq!(calls.metrics.of(Fate::Unsampled), 1);
}

#[test]
fn what_a_panic_left_behind_is_nobodys_parent() {
    let recovered = begun(KUBELET, 1, 100, 0, "outer");
    let lost = begun(KUBELET, 1, 200, 1, "panics");
    let next = begun(KUBELET, 1, 200, 2, "next");
    let calls = check(
        &[
            begin(&recovered),
            begin(&lost),
            begin(&next),
            end(&next, 3),
            end(&recovered, 4),
            end(&lost, 5),
        ],
        &["next < outer", "outer"],
    );
    assert_eq!(calls.metrics.of(Fate::Unwound), 1);
    assert_eq!(calls.metrics.of(Fate::Unmatched), 1);
}

#[test]
fn calls_of_a_process_that_ends_are_interrupted() {
    let outer = begun(KUBELET, 1, 100, 0, "sync");
    let inner = begun(KUBELET, 1, 200, 1, "volumes");
    let mut calls = calls(100);
    let found = spans(
        &mut calls,
        &[
            begin(&outer),
            begin(&inner),
            CallEvent::Exited(KUBELET, Nanos::new(at(9))),
        ],
    );
    assert_eq!(render(&found), ["sync", "volumes < sync"]);
    assert!(
        found
            .iter()
            .all(|span| span.error.is_some() && span.end == Nanos::new(at(9)))
    );
    assert!(calls.open.is_empty() && calls.stacks.is_empty());
}

proptest! {
    /// Whatever happens in whatever order: nothing is invented, every call has one fate, memory is bounded.
    #[test]
    fn every_call_has_one_fate(
        script in prop::collection::vec((0_u64..3, 1_u64..4, 0_u64..6, 0_u8..10), 0..200)
    ) {
        const MAX_OPEN: usize = 8;
        let mut calls = calls(MAX_OPEN);
        let (mut begins, mut ends, mut known) = (0, 0, Vec::new());
        let mut found = Vec::new();
        for (step, (process, goroutine, depth, action)) in script.into_iter().enumerate() {
            let names = ["client a/b", "server a/b", "work"];
            let name = names[usize::try_from(process).unwrap()];
            let call = begun(ProcessId(process), goroutine, depth, step as u64, name);
            match action {
                0..5 => {
                    begins += 1;
                    calls.take(begin(&call), &mut found);
                    known.push(call);
                }
                5..9 if !known.is_empty() => {
                    let call = known.swap_remove(step % known.len());
                    ends += 1;
                    calls.take(end(&call, step as u64), &mut found);
                }
                _ => calls.take(CallEvent::Exited(ProcessId(process), Nanos::new(at(step as u64))), &mut found),
            }
            prop_assert!(calls.open.len() <= MAX_OPEN);
            prop_assert!(calls.oldest.len() <= 2 * 64 + 1);
        }
        let count = |fate| calls.metrics.of(fate);
        prop_assert_eq!(
            begins,
            calls.open.len() as u64 + count(Fate::Exported) + count(Fate::Unwound) + count(Fate::Evicted)
        );
        prop_assert!(count(Fate::Unmatched) <= ends);
        prop_assert_eq!(found.len() as u64, count(Fate::Exported));
        let mut ids: Vec<SpanId> = found.iter().map(|call| call.span.span_id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), found.len());
    }
}
