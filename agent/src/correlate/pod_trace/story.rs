//! One pod's start as it is told: what is known, when it is over, and the trace of it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    Config,
    history::History,
    owner_key, render,
    render::{Title, seconds},
    start::{Evidence, Start},
    work::{Deed, Key, Verb, Work},
};
use crate::model::{
    attr::{self, Attribute, Value},
    pod::{Pod, PodUid},
    time::{Nanos, Wall},
    trace::{Span, SpanId},
};

/// The name of the root.
const POD_START: &str = "pod start";

/// How long work of the control plane on a pod of another node is followed after the last of it.
const ELSEWHERE_FOR: std::time::Duration = std::time::Duration::from_mins(10);
/// Without a watch of pods a start is over when nothing was done for it for so long.
const QUIET_FOR: std::time::Duration = std::time::Duration::from_secs(60);

/// Why a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Closing {
    /// The pod became ready.
    Ready,
    /// It ran to its end, or failed for good.
    Ended,
    /// It was deleted before it was ready.
    Deleted,
    /// It was not ready in time.
    GivenUp,
    /// Nothing more was heard of it.
    Quiet,
    /// Too many pods were starting.
    Evicted,
    /// The agent ends.
    Shutdown,
    /// What the control plane did for a pod of another node, as far as it is done.
    Part,
    /// It is not over: somebody asked.
    Open,
}

impl Closing {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Ended => "ended",
            Self::Deleted => "deleted",
            Self::GivenUp => "given_up",
            Self::Quiet => "quiet",
            Self::Evicted => "evicted",
            Self::Shutdown => "shutdown",
            Self::Part => "part",
            Self::Open => "open",
        }
    }
}

/// What is known of one pod's start.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) history: History,
    works: BTreeMap<(Nanos<Wall>, SpanId, bool), Work>,
    /// By what the pod is known.
    pub(super) keys: Vec<Key>,
    begun: Nanos<Wall>,
    touched: Nanos<Wall>,
    gone: Option<Nanos<Wall>>,
    written: HashSet<SpanId>,
}

impl Story {
    pub(super) fn new(now: Nanos<Wall>) -> Self {
        Self {
            history: History::default(),
            works: BTreeMap::new(),
            keys: Vec::new(),
            begun: now,
            touched: now,
            gone: None,
            written: HashSet::new(),
        }
    }

    pub(super) fn see(&mut self, pod: Arc<Pod>, at: Nanos<Wall>, listed: bool) {
        self.touch(at);
        self.history.add(pod, at, listed);
    }

    pub(super) fn gone(&mut self, at: Nanos<Wall>) {
        self.gone = Some(at);
        self.touch(at);
    }

    /// False if there is no room.
    pub(super) fn add(&mut self, work: Work, max_works: usize, now: Nanos<Wall>) -> bool {
        let key = (work.span.start, work.span.span_id, work.is_native);
        if self.works.contains_key(&key) {
            return true;
        }
        if self.works.len() >= max_works {
            return false;
        }
        self.works.insert(key, work);
        self.touch(now);
        true
    }

    pub(super) fn touched(&self) -> Nanos<Wall> {
        self.touched
    }

    fn touch(&mut self, now: Nanos<Wall>) {
        self.touched = self.touched.max(now);
    }

    /// Whether the pod is on this node, so that the root is ours to write.
    pub(super) fn is_local(&self) -> bool {
        self.history.pod().is_some()
            || self
                .works
                .values()
                .any(|work| work.span.service.as_ref() == "kubelet")
    }

    /// True once for each span.
    pub(super) fn is_unwritten(&mut self, span: &Span) -> bool {
        self.written.insert(span.span_id)
    }

    /// From the start of the write that made the pod to its end, as far as it was seen.
    pub(super) fn creation(&self) -> Option<(Nanos<Wall>, Nanos<Wall>)> {
        let evidence = Evidence {
            history: &self.history,
            works: &self.works(),
            reconciles: &[],
            now: self.touched,
        };
        evidence.creation().map(|seen| (seen.start(), seen.end()))
    }

    /// Whether the trace is to be written by now, and why.
    pub(super) fn closing(&self, config: &Config, now: Nanos<Wall>) -> Option<Closing> {
        let is_past = |at: Nanos<Wall>, wait| (now.since(&at) >= wait).then_some(());
        if !self.is_local() {
            return if now.since(&self.touched) >= ELSEWHERE_FOR {
                Some(Closing::Quiet)
            } else {
                let settled = now.since(&self.touched) >= config.linger && self.is_bound();
                settled.then_some(Closing::Part)
            };
        }
        let history = &self.history;
        let ends = [
            (history.ready(), Closing::Ready),
            (history.ended(), Closing::Ended),
            (self.gone.or(history.deleted()), Closing::Deleted),
        ];
        let (end, closing) = ends
            .into_iter()
            .find_map(|(at, closing)| Some((at?, closing)))
            .unwrap_or_else(|| {
                if history.pod().is_none() && now.since(&self.touched) >= QUIET_FOR {
                    (self.touched, Closing::Quiet)
                } else {
                    (now, Closing::GivenUp)
                }
            });
        match closing {
            Closing::GivenUp => is_past(self.begun, config.give_up),
            // The last work may be reported after the end, and may itself be late.
            _ => is_past(end, config.linger),
        }
        .map(|()| closing)
    }

    fn is_bound(&self) -> bool {
        let bound = |work: &Work| {
            matches!(work.deed, Deed::BindingCycle | Deed::Request(Verb::Bind)) && work.span.error.is_none()
        };
        self.works.values().any(bound) || !self.written.is_empty()
    }

    fn works(&self) -> Vec<Work> {
        self.works.values().cloned().collect()
    }

    /// The trace as it is known by now.
    pub(super) fn render(
        &self,
        uid: PodUid,
        reconciles: &[&Work],
        closing: Closing,
        now: Nanos<Wall>,
    ) -> Vec<Span> {
        let works = self.works();
        let evidence = Evidence {
            history: &self.history,
            works: &works,
            reconciles,
            now: if closing == Closing::Quiet {
                self.last_end(now)
            } else {
                now
            },
        };
        let start = evidence.start();
        let title = Title {
            pod: uid,
            name: POD_START,
            trace_id: uid.trace_id(),
        };
        let below = render::below(title, &start.phases, &works);
        if !self.is_local() {
            return below;
        }
        let mut spans = vec![self.root(title, &start, closing)];
        spans.extend(below);
        spans
    }

    fn last_end(&self, now: Nanos<Wall>) -> Nanos<Wall> {
        self.works.values().map(|work| work.span.end).max().unwrap_or(now)
    }

    fn root(&self, title: Title, start: &Start, closing: Closing) -> Span {
        let mut attributes: Vec<Attribute> =
            vec![(attr::K8S_POD_UID.into(), title.pod.to_string().as_str().into())];
        let mut say = |key: &str, value: Value| attributes.push((key.into(), value));
        for key in &self.keys {
            if let Key::Name(namespace, name) = key {
                say(attr::K8S_NAMESPACE_NAME, (&**namespace).into());
                say(attr::K8S_POD_NAME, (&**name).into());
                break;
            }
        }
        if let Some(pod) = self.history.pod() {
            if let Some(owner) = &pod.owner
                && let Some(key) = owner_key(&owner.kind)
            {
                say(key, (&*owner.name).into());
            }
            if let Some(started) = self.history.started().filter(|at| *at <= start.end) {
                let whole = started.count().saturating_sub(start.start.count());
                say("innerspan.pod_start.end_to_end", Value::Number(seconds(whole)));
                let counted = whole.saturating_sub(start.excluded);
                say("innerspan.pod_start.sli", Value::Number(seconds(counted)));
                let rounded = start.start.count().saturating_sub(pod.created.count());
                say(
                    "innerspan.pod_start.creation_rounding",
                    Value::Number(seconds(rounded)),
                );
            }
        }
        let reasons = self.history.reasons();
        if !reasons.is_empty() {
            say(
                "innerspan.pod_start.held_up_by",
                reasons.join(", ").as_str().into(),
            );
        }
        say("innerspan.pod_start.outcome", closing.as_str().into());
        let unknown = self.unknown(closing);
        if !unknown.is_empty() {
            say("innerspan.incomplete", unknown.join(", ").as_str().into());
        }
        let mut root = render::root(title, (start.start, start.end), &start.phases, attributes);
        root.error = self.error(start, closing);
        root
    }

    /// What this trace cannot show.
    fn unknown(&self, closing: Closing) -> Vec<&'static str> {
        let mut unknown = Vec::new();
        if self.history.pod().is_none() {
            unknown.push("the pods of this node are not watched");
        } else if self.history.begins_in_the_middle() {
            unknown.push("the agent came in the middle of the start");
        }
        match closing {
            Closing::Evicted => unknown.push("too many pods were starting"),
            Closing::Shutdown => unknown.push("the agent ended in the middle of the start"),
            _ => {}
        }
        unknown
    }

    /// Why the pod did not become ready: what its status says, or else what failed last.
    fn error(&self, start: &Start, closing: Closing) -> Option<Box<str>> {
        if matches!(
            closing,
            Closing::Ready | Closing::Open | Closing::Quiet | Closing::Shutdown | Closing::Part
        ) {
            return None;
        }
        if let Some(trouble) = self.history.trouble() {
            return Some(trouble.into());
        }
        let failed = start.phases.iter().rev().find(|phase| phase.error.is_some());
        match failed {
            Some(phase) => {
                let error = phase.error.as_deref().unwrap_or_default();
                Some(
                    format!("{} failed: {error}", phase.name)
                        .trim_end_matches(": ")
                        .into(),
                )
            }
            None if closing == Closing::Ended => None,
            None => {
                let last = start.phases.iter().max_by_key(|phase| (phase.end, phase.start));
                Some(last.map_or("it was never begun".into(), |phase| {
                    format!("it was in {}", phase.name).into()
                }))
            }
        }
    }
}
