//! All that is known of one pod, and the stories that are told of it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Config,
    history::History,
    owner_key,
    plot::{Closing, Plot},
    render, start,
    tree::{Evidence, Times, Told},
    work::{Deed, Key, Place, Verb, Work},
};
use crate::model::{
    attr::{self, Attribute, Value},
    pod::{Pod, PodUid},
    time::{Nanos, Wall},
    trace::{Span, SpanId},
};

/// How long work of the control plane on a pod of another node is followed after the last of it.
const ELSEWHERE_FOR: Duration = Duration::from_mins(10);
/// Without a watch of pods a story is over when nothing was done for the pod for so long.
const QUIET_FOR: Duration = Duration::from_mins(1);

/// A pod of which something is told.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) history: History,
    works: BTreeMap<(Nanos<Wall>, SpanId, bool), Work>,
    /// By what the pod is known.
    pub(super) keys: Vec<Key>,
    /// What is being told.
    pub(super) plots: Vec<Plot>,
    begun: Nanos<Wall>,
    touched: Nanos<Wall>,
    pub(super) gone: Option<Nanos<Wall>>,
    /// Whether calls were lost while it was told.
    pub(super) is_lossy: bool,
    written: HashSet<SpanId>,
}

impl Known {
    pub(super) fn new(plot: Plot, now: Nanos<Wall>) -> Self {
        Self {
            history: History::default(),
            works: BTreeMap::new(),
            keys: Vec::new(),
            plots: vec![plot],
            begun: now,
            touched: now,
            gone: None,
            is_lossy: false,
            written: HashSet::new(),
        }
    }

    pub(super) fn see(&mut self, pod: Arc<Pod>, at: Nanos<Wall>, listed: bool) {
        self.touch(at);
        if pod.deletion.is_some() && !self.plots.iter().any(|plot| matches!(plot, Plot::Stop { .. })) {
            self.plots.push(Plot::Stop { seen: at });
        }
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
            self.is_lossy = true;
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
    pub(super) fn creation(&self) -> Option<Times> {
        let works = self.works();
        let evidence = self.evidence(&works, &[], self.touched);
        start::creation(&evidence).map(|seen| (seen.start(), seen.end()))
    }

    /// Whether the trace of a story is to be written by now, and why.
    pub(super) fn closing(&self, plot: &Plot, config: &Config, now: Nanos<Wall>) -> Option<Closing> {
        if !self.is_local() {
            if now.since(&self.touched) >= ELSEWHERE_FOR {
                return Some(Closing::Quiet);
            }
            let settled = now.since(&self.touched) >= config.linger && self.is_bound();
            return settled.then_some(Closing::Part);
        }
        if let Some((at, closing)) = plot.end(self) {
            return (now.since(&at) >= config.linger).then_some(closing);
        }
        if self.history.pod().is_none() && now.since(&self.touched) >= QUIET_FOR {
            return Some(Closing::Quiet);
        }
        (now.since(&self.begun) >= config.give_up).then_some(Closing::GivenUp)
    }

    fn is_bound(&self) -> bool {
        let bound = |work: &Work| {
            matches!(work.deed, Deed::BindingCycle | Deed::Request(Verb::Bind)) && work.span.error.is_none()
        };
        self.works.values().any(bound) || !self.written.is_empty()
    }

    /// The kind of the controller that made the pod; empty if none did, or none is known.
    pub(super) fn owner_kind(&self) -> Arc<str> {
        let owner = self.history.pod().and_then(|pod| pod.owner.as_ref());
        owner.map_or_else(|| "".into(), |owner| Arc::clone(&owner.kind))
    }

    fn works(&self) -> Vec<Work> {
        self.works.values().cloned().collect()
    }

    fn evidence<'a>(
        &'a self,
        works: &'a [Work],
        reconciles: &'a [&'a Work],
        now: Nanos<Wall>,
    ) -> Evidence<'a> {
        Evidence {
            history: &self.history,
            works,
            reconciles,
            is_local: self.is_local(),
            now,
        }
    }

    /// The trace of a story as it is known by now.
    pub(super) fn render(
        &self,
        uid: PodUid,
        plot: &Plot,
        reconciles: &[&Work],
        (closing, now): (Closing, Nanos<Wall>),
    ) -> (Vec<Span>, Told) {
        let works = self.works();
        let last = works.iter().map(|work| work.span.end).max();
        let now = if closing == Closing::Quiet {
            last.unwrap_or(now)
        } else {
            now
        };
        let told = plot.tell(&self.evidence(&works, reconciles, now), self);
        let title = plot.title(uid);
        let below = render::below(&title, &told, &works);
        if !self.is_local() {
            return (below, told);
        }
        let attributes = self.attributes(uid, plot, &told, closing);
        let mut root = render::root(&title, &told, attributes);
        root.error = self.error(&told, closing);
        root.links = plot.links(uid);
        (std::iter::once(root).chain(below).collect(), told)
    }

    /// Calls that were to be found in the pod's traces alone, and are in none of those that were written.
    pub(super) fn left_over(&self) -> Vec<Span> {
        let here = self.works.values().filter(|work| work.place == Place::Here);
        here.filter(|work| !self.written.contains(&work.span.span_id))
            .map(|work| work.span.clone())
            .collect()
    }

    /// Takes note that the calls in a written trace need not be written again.
    pub(super) fn written(&mut self, told: &Told) {
        let works = self.works.values();
        let is_in = |work: &&Work| work.place == Place::Here && render::is_in(told, work);
        self.written
            .extend(works.filter(is_in).map(|work| work.span.span_id));
    }

    fn attributes(&self, uid: PodUid, plot: &Plot, told: &Told, closing: Closing) -> Vec<Attribute> {
        let mut attributes: Vec<Attribute> = Vec::new();
        let mut say = |key: &str, value: Value| attributes.push((key.into(), value));
        say(attr::K8S_POD_UID, uid.to_string().as_str().into());
        for key in &self.keys {
            if let Key::Name(namespace, name) = key {
                say(attr::K8S_NAMESPACE_NAME, (&**namespace).into());
                say(attr::K8S_POD_NAME, (&**name).into());
                break;
            }
        }
        let owner = self.history.pod().and_then(|pod| pod.owner.as_ref());
        if let Some(owner) = owner
            && let Some(key) = owner_key(&owner.kind)
        {
            say(key, (&*owner.name).into());
        }
        say(attr::INNERSPAN_OUTCOME, closing.as_str().into());
        let reasons = plot.reasons(told, &self.history);
        if !reasons.is_empty() {
            say(attr::INNERSPAN_HELD_UP_BY, reasons.join(", ").as_str().into());
        }
        let unknown = self.unknown(closing);
        if !unknown.is_empty() {
            say(attr::INNERSPAN_INCOMPLETE, unknown.join(", ").as_str().into());
        }
        attributes.extend(plot.attributes(told, self));
        attributes
    }

    /// What a trace cannot show.
    fn unknown(&self, closing: Closing) -> Vec<&'static str> {
        let mut unknown = Vec::new();
        if self.history.pod().is_none() {
            unknown.push("the pods of this node are not watched");
        } else if self.history.begins_in_the_middle() {
            unknown.push("the agent came in the middle of it");
        }
        if self.is_lossy {
            unknown.push("there was no room for some of the work");
        }
        match closing {
            Closing::Evicted => unknown.push("too many pods were starting"),
            Closing::Shutdown => unknown.push("the agent ended in the middle of it"),
            _ => {}
        }
        unknown
    }

    /// Why it did not come to a good end: what the pod's status says, or else what failed last.
    fn error(&self, told: &Told, closing: Closing) -> Option<Box<str>> {
        if closing.is_good() {
            return None;
        }
        if let Some(trouble) = self.history.trouble(told.times.1) {
            return Some(trouble.into());
        }
        let failed = told.phases.iter().rev().find(|phase| phase.error.is_some());
        if let Some(phase) = failed {
            let error = phase.error.as_deref().unwrap_or_default();
            let said = format!("{} failed: {error}", phase.name);
            return Some(said.trim_end_matches(": ").into());
        }
        if closing == Closing::Ended {
            return None;
        }
        let last = told.phases.iter().max_by_key(|phase| (phase.end, phase.start));
        let during = last.map_or("nothing that was seen", |phase| phase.name);
        Some(format!("{} during {during}", closing.as_str().replace('_', " ")).into())
    }
}
