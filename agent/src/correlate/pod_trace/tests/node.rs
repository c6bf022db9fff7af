//! A node's agent under a fixed clock, and scripts of what it sees. Times are milliseconds after an arbitrary instant.

use std::collections::HashSet;

use super::*;
use crate::{
    correlate::calls::Fate,
    model::{
        attr::{self, Value},
        pod::{Condition, Container, Owner, Phase, Role, State},
        trace::{SpanContext, SpanId, SpanKind, TraceId},
    },
};

pub(super) const MAX_PODS: usize = 8;

/// A whole second, as creation time stamps are.
const ZERO: u64 = 1_700_000_000_000;

pub(super) const POD: u32 = 0;

pub(super) fn uid(pod: u32) -> String {
    format!("00000000-0000-4000-8000-{pod:012x}").replace("00000000-0000", "0f8fad5b-d9cb")
}

pub(super) fn at(ms: u64) -> Nanos<Wall> {
    Nanos::new((ZERO + ms) * 1_000_000)
}

/// One thing that the agent is told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Pod(PodEvent),
    Call(Box<Call>),
    Native(Box<Span>),
}

/// All that is to be seen of a start.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pod: u32,
    /// The number in its name, where that is another pod's.
    namesake: Option<u32>,
    pods: Vec<PodEvent>,
    rest: Vec<Told>,
    next: u64,
}

impl Script {
    pub(super) fn of(pod: u32) -> Self {
        Self {
            pod,
            ..Self::default()
        }
    }

    /// A pod of another one's name.
    pub(super) fn named_as(mut self, pod: u32) -> Self {
        self.namesake = Some(pod);
        self
    }

    fn name(&self) -> String {
        format!("web-{:05x}", self.namesake.unwrap_or(self.pod))
    }

    /// A pod as it is when nothing has happened yet, changed.
    pub(super) fn seen(mut self, ms: u64, change: impl FnOnce(&mut Pod)) -> Self {
        let mut pod = match self.pods.last() {
            Some(PodEvent::Seen { pod, .. }) => (**pod).clone(),
            Some(PodEvent::Gone { .. }) | None => Pod {
                uid: PodUid::parse(&uid(self.pod)).unwrap(),
                namespace: "default".into(),
                name: self.name().into(),
                is_static: false,
                owner: Some(Owner {
                    kind: "ReplicaSet".into(),
                    name: "web".into(),
                }),
                created: at(0),
                deletion: None,
                deletion_grace: None,
                phase: Phase::Pending,
                reason: "".into(),
                message: "".into(),
                conditions: Vec::new(),
                containers: vec![container("main", Role::Main)],
            },
        };
        change(&mut pod);
        self.pods.push(PodEvent::Seen {
            pod: pod.into(),
            at: at(ms),
            listed: false,
        });
        self
    }

    pub(super) fn gone(mut self, ms: u64) -> Self {
        let uid = PodUid::parse(&uid(self.pod)).unwrap();
        self.pods.push(PodEvent::Gone { uid, at: at(ms) });
        self
    }

    /// All of it when it happened, as an agent is told that is not held up.
    pub(super) fn in_time(&self) -> Vec<(u64, Told)> {
        let pods = self.pods.iter().map(|event| Told::Pod(event.clone()));
        let mut told: Vec<(u64, Told)> = pods
            .chain(self.rest.iter().cloned())
            .map(|told| {
                let at = match &told {
                    Told::Pod(PodEvent::Seen { at, .. } | PodEvent::Gone { at, .. }) => *at,
                    Told::Call(call) => call.span.end,
                    Told::Native(span) => span.end,
                };
                (at.count() / 1_000_000 - ZERO, told)
            })
            .collect();
        told.sort_by_key(|(at, _)| *at);
        told
    }

    /// A call that a probe saw, of `service name`, with attributes.
    pub(super) fn call(self, what: &str, times: (u64, u64), attributes: &[(&str, &str)]) -> Self {
        self.call_below(None, what, times, attributes)
    }

    /// A call inside the one that was told of `up` calls before.
    pub(super) fn inner(self, up: u64, what: &str, times: (u64, u64), attributes: &[(&str, &str)]) -> Self {
        let parent = self.next + 1 - up;
        self.call_below(Some(parent), what, times, attributes)
    }

    fn call_below(
        mut self,
        parent: Option<u64>,
        what: &str,
        times: (u64, u64),
        attributes: &[(&str, &str)],
    ) -> Self {
        let mut span = self.span(what, times, attributes);
        span.parent = parent.map(|parent| self.span_id(parent));
        let names_pod = |(key, _): &(&str, &str)| *key == attr::K8S_POD_UID;
        let pod = (parent.is_some() || attributes.iter().any(names_pod)).then(|| uid(self.pod));
        self.rest.push(Told::Call(Box::new(Call {
            span,
            context: None,
            pod: pod.and_then(|pod| PodUid::parse(&pod)),
            kept: None,
            native: None,
            beside: false,
        })));
        self
    }

    /// A span that a component reported: the first of a trace is the root of the others.
    pub(super) fn native(
        mut self,
        trace: u8,
        what: &str,
        times: (u64, u64),
        attributes: &[(&str, &str)],
    ) -> Self {
        let mut span = self.span(what, times, attributes);
        span.trace_id = TraceId([trace; 16]);
        let mut natives = self.rest.iter().filter_map(|told| match told {
            Told::Native(span) => Some(span),
            _ => None,
        });
        let root = natives.find(|native| native.trace_id == span.trace_id);
        span.parent = root.map(|root| root.span_id);
        self.rest.push(Told::Native(Box::new(span)));
        self
    }

    /// Marks the last thing told as failed.
    pub(super) fn failed(mut self, message: &str) -> Self {
        match self.rest.last_mut() {
            Some(Told::Call(call)) => call.span.error = Some(message.into()),
            Some(Told::Native(span)) => span.error = Some(message.into()),
            _ => {}
        }
        self
    }

    /// Says of the last call that its component reports it too: it was seen below this native span.
    pub(super) fn kept(mut self, trace: u8) -> Self {
        if let Some(Told::Call(call)) = self.rest.last_mut() {
            call.kept = Some(Fate::Native);
            call.span.trace_id = TraceId([trace; 16]);
            call.context = Some(SpanContext {
                trace_id: call.span.trace_id,
                span_id: SpanId([trace; 8]),
                sampled: true,
            });
        }
        self
    }

    fn span_id(&self, number: u64) -> SpanId {
        SpanId((u64::from(self.pod) << 32 | number).to_be_bytes())
    }

    fn span(&mut self, what: &str, (start, end): (u64, u64), attributes: &[(&str, &str)]) -> Span {
        self.next += 1;
        let (service, name) = what.split_once(' ').unwrap();
        let (name, kind) = match name.split_once(' ') {
            Some(("client", name)) => (name, SpanKind::Client),
            Some(("server", name)) => (name, SpanKind::Server),
            _ => (name, SpanKind::Internal),
        };
        let own = uid(self.pod);
        let fill = |value: &str| value.replace("UID", &own).replace("POD", &self.name());
        Span {
            service: service.into(),
            trace_id: TraceId((u128::from(self.pod) << 64 | u128::from(self.next)).to_be_bytes()),
            span_id: self.span_id(self.next),
            parent: None,
            name: name.into(),
            kind,
            start: at(start),
            end: at(end),
            error: None,
            attributes: attributes
                .iter()
                .map(|(key, value)| ((*key).into(), Value::from(&*fill(value))))
                .collect(),
            links: Vec::new(),
        }
    }

    /// All of it in one of many orders: states of the pod come in theirs, as a watch tells them.
    pub(super) fn in_order(&self, order: u64) -> Vec<Told> {
        let mut rest = self.rest.clone();
        let mut state = order;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        if order > 0 {
            for index in (1..rest.len()).rev() {
                rest.swap(index, random(index + 1));
            }
        }
        // Native spans are sent again by a component that got no answer.
        let natives = rest
            .iter()
            .filter(|told| matches!(told, Told::Native(_)))
            .cloned();
        let again: Vec<Told> = natives.take(usize::try_from(order).unwrap_or(0)).collect();
        rest.extend(again);
        for event in self.pods.iter().rev() {
            let place = if order == 0 { 0 } else { random(rest.len() + 1) };
            let first_pod = rest.iter().position(|told| matches!(told, Told::Pod(_)));
            let place = place.min(first_pod.unwrap_or(rest.len()));
            rest.insert(place, Told::Pod(event.clone()));
        }
        rest
    }

    /// What some services did, and all the rest.
    pub(super) fn apart(self, is_theirs: impl Fn(&str) -> bool) -> (Vec<Told>, Vec<Told>) {
        self.in_order(0).into_iter().partition(|told| match told {
            Told::Pod(_) => false,
            Told::Call(call) => is_theirs(&call.span.service),
            Told::Native(span) => is_theirs(&span.service),
        })
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        let calls = self.rest.iter().filter_map(|told| match told {
            Told::Call(call) => Some((**call).clone()),
            _ => None,
        });
        calls.collect()
    }
}

pub(super) fn container(name: &str, role: Role) -> Container {
    Container {
        name: name.into(),
        role,
        image: "image:1".into(),
        is_probed: false,
        id: "".into(),
        state: State::Waiting {
            reason: "".into(),
            message: "".into(),
        },
        last_end: None,
        restarts: 0,
        is_ready: false,
    }
}

pub(super) fn waits(container: &mut Container, reason: &str, message: &str) {
    container.state = State::Waiting {
        reason: reason.into(),
        message: message.into(),
    };
}

pub(super) fn runs(container: &mut Container) {
    container.state = State::Running { since: at(0) };
}

pub(super) fn is(pod: &mut Pod, kind: &str, is_true: bool, reason: &str, message: &str) {
    pod.conditions.retain(|condition| &*condition.kind != kind);
    pod.conditions.push(Condition {
        kind: kind.into(),
        is_true,
        since: at(0),
        reason: reason.into(),
        message: message.into(),
    });
}

/// Runs, and is ready.
pub(super) fn ready(pod: &mut Pod) {
    pod.containers
        .iter_mut()
        .filter(|container| container.role == Role::Main)
        .for_each(runs);
    is(pod, "Ready", true, "", "");
}

/// An agent whose clock is told.
pub(super) struct Node {
    pub(super) traces: PodTraces,
    now: u64,
}

impl Node {
    pub(super) fn new() -> Self {
        let config = Config {
            linger: Duration::from_secs(12),
            give_up: Duration::from_mins(10),
            max_pods: MAX_PODS,
            max_works: 256,
            max_kept: 4,
        };
        Self {
            traces: PodTraces::new(config, Metrics::default()),
            now: 0,
        }
    }

    pub(super) fn feed(&mut self, told: &[Told]) {
        for told in told {
            match told.clone() {
                Told::Pod(event) => self.traces.pod(event),
                Told::Call(call) => drop(self.traces.call(&call, at(self.now))),
                Told::Native(span) => self.traces.native(*span, at(self.now)),
            }
        }
    }

    pub(super) fn tick(&mut self, later: u64) -> Vec<Span> {
        self.now += later;
        let mut spans = Vec::new();
        self.traces.tick(at(self.now), &mut spans);
        spans
    }

    /// Feeds everything when it happens, and lets time pass in between.
    pub(super) fn run_slowly(&mut self, script: &Script) -> Vec<Span> {
        self.run_in_time(script.in_time())
    }

    pub(super) fn run_in_time(&mut self, told: Vec<(u64, Told)>) -> Vec<Span> {
        let mut spans = Vec::new();
        for (at, told) in told {
            while self.now + 1_000 < at {
                spans.extend(self.tick(1_000));
            }
            self.now = self.now.max(at);
            self.feed(&[told]);
        }
        spans.extend(self.run(&[]));
        spans
    }

    /// Feeds all, and lets time pass until everything is written.
    pub(super) fn run(&mut self, told: &[Told]) -> Vec<Span> {
        self.feed(told);
        let mut spans = Vec::new();
        for _ in 0..2_000 {
            spans.extend(self.tick(1_000));
        }
        assert!(self.traces.pods.is_empty());
        spans
    }
}

/// Each span as `  name start..end`, a part below the whole; `!` and a word where it failed.
pub(super) fn lines(spans: &[Span]) -> Vec<String> {
    fn descend(spans: &[Span], parent: Option<SpanId>, depth: usize, lines: &mut Vec<String>) {
        let mut children: Vec<&Span> = spans.iter().filter(|span| span.parent == parent).collect();
        children.sort_by_key(|span| (span.start, span.end, span.name.clone()));
        for child in children {
            let ms = |at: Nanos<Wall>| at.count() / 1_000_000 - ZERO;
            let error = child
                .error
                .as_ref()
                .map_or(String::new(), |error| format!(" ! {error}"));
            let indent = "  ".repeat(depth);
            let line = format!(
                "{indent}{} {}..{}{error}",
                child.name,
                ms(child.start),
                ms(child.end)
            );
            lines.push(line.trim_end().to_owned());
            descend(spans, Some(child.span_id), depth + 1, lines);
        }
    }
    let mut found = Vec::new();
    descend(spans, None, 0, &mut found);
    found
}

/// One root, every parent there, every part within its whole, and sums that add up.
pub(super) fn tree(spans: &[Span]) {
    let roots: Vec<&Span> = spans.iter().filter(|span| span.parent.is_none()).collect();
    let ids: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    assert_eq!((roots.len(), ids.len()), (1, spans.len()), "{:#?}", lines(spans));
    for span in spans {
        assert_eq!(span.trace_id, roots[0].trace_id);
        let Some(parent) = span.parent else { continue };
        let parent = spans.iter().find(|other| other.span_id == parent);
        let parent = parent.unwrap_or_else(|| panic!("{} has no parent", span.name));
        assert!(
            parent.start <= span.start && span.end <= parent.end,
            "{span:?} {parent:?}"
        );
    }
    let sums = roots[0].attributes.iter().filter_map(|(key, value)| match value {
        Value::Number(number) if key.starts_with("innerspan.critical_path.") => Some(*number),
        _ => None,
    });
    let whole = roots[0].end.since(&roots[0].start).as_secs_f64();
    assert!((sums.sum::<f64>() - whole).abs() < 1e-9);
}
