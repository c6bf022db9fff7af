//! One question: where did the time between a pod's creation and Ready go?
//!
//! In: states of this node's pods, calls, and native spans of work on pods, in any order, some twice. Out: one trace
//! for each pod's start, whose id is the pod's UID, so that nodes agree on it without talking. The agent on the pod's
//! node writes the root and what the node did; one beside the control plane writes what was done there.
//!
//! Invariant: no clock, no task, no bytes, and nobody's span waits here but our own. What is remembered is bounded: past
//! `Config::max_pods` the pod that was quiet for longest is closed as it is.

mod critical_path;
mod history;
mod identity;
mod metrics;
mod parked;
mod phase;
mod render;
mod start;
mod story;
mod work;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use self::{
    history::is_ready,
    parked::Parked,
    story::{Closing, Story},
    work::{Deed, Key, OWNERS, Place, Work},
};
pub use self::{metrics::Metrics, work::wanted};
use super::calls::Call;
use crate::model::{
    pod::{Phase, Pod, PodEvent, PodUid},
    time::{Nanos, Wall},
    trace::Span,
};

/// Work that cannot be told whose it is waits for as long as components take to report the rest of it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Controllers' work that may have made a pod is remembered for as long.
const RECONCILES_FOR: Duration = Duration::from_mins(5);
const MAX_RECONCILES: usize = 1024;
const MAX_PARKED: usize = 4096;

#[derive(Clone, Debug)]
pub struct Config {
    /// From the end of a start until its trace is written: components report with a delay.
    pub linger: Duration,
    /// A start that takes longer is written as it is.
    pub give_up: Duration,
    /// Starts that are followed at one time.
    pub max_pods: usize,
    /// Pieces of work that are remembered of one start.
    pub max_works: usize,
    /// Traces that are kept for whoever asks.
    pub max_kept: usize,
}

/// The trace of one start.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub pod: PodUid,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// The root comes first, if it is this agent's to write.
    pub spans: Vec<Span>,
    /// Whether the start is still going on.
    pub is_open: bool,
}

/// The starts of this node's pods.
#[derive(Debug)]
pub struct PodTraces {
    config: Config,
    stories: HashMap<PodUid, Story>,
    keys: HashMap<Key, PodUid>,
    parked: Parked,
    reconciles: VecDeque<(Nanos<Wall>, Key, Work)>,
    settled: Settled,
    kept: VecDeque<Arc<Trace>>,
    metrics: Metrics,
}

/// Pods whose start is over: what is done for them now is no part of it.
#[derive(Debug, Default)]
struct Settled {
    pods: HashSet<PodUid>,
    oldest: VecDeque<PodUid>,
}

impl Settled {
    const MAX: usize = 16_384;

    fn insert(&mut self, pod: PodUid) {
        if self.pods.insert(pod) {
            self.oldest.push_back(pod);
        }
        if self.oldest.len() > Self::MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.pods.remove(&oldest);
        }
    }
}

impl PodTraces {
    #[must_use]
    pub fn new(config: Config, metrics: Metrics) -> Self {
        Self {
            config,
            stories: HashMap::new(),
            keys: HashMap::new(),
            parked: Parked::new(MAX_PARKED),
            reconciles: VecDeque::new(),
            settled: Settled::default(),
            kept: VecDeque::new(),
            metrics,
        }
    }

    /// Takes what became known of a pod.
    pub fn pod(&mut self, event: PodEvent) {
        match event {
            PodEvent::Seen { pod, at, listed } => {
                if self.settled.pods.contains(&pod.uid) {
                    return;
                }
                let is_new = !self.stories.contains_key(&pod.uid);
                if is_new && listed && is_past_its_start(&pod) {
                    self.settled.insert(pod.uid);
                    return;
                }
                let mut keys = vec![
                    Key::Pod(pod.uid),
                    Key::Name(Arc::clone(&pod.namespace), Arc::clone(&pod.name)),
                ];
                let ids = pod.containers.iter().map(|container| &container.id);
                keys.extend(ids.filter(|id| !id.is_empty()).cloned().map(Key::Container));
                let uid = pod.uid;
                self.story(uid, at).see(pod, at, listed);
                self.learn(uid, keys, at);
            }
            PodEvent::Gone { uid, at } => {
                if let Some(story) = self.stories.get_mut(&uid) {
                    story.gone(at);
                }
            }
        }
    }

    /// Takes a call that has ended. True if it is to be found in the trace of its pod alone, and nowhere else.
    pub fn call(&mut self, call: &Call, now: Nanos<Wall>) -> bool {
        let span = &call.span;
        let deed = Deed::of(&span.service, &span.name, span.kind);
        let Some(deed) = deed.or(call.pod.map(|_| Deed::Detail)) else {
            return false;
        };
        let place = match (call.kept, call.context) {
            (Some(_), _) => Place::Nowhere,
            (None, Some(context)) if context.sampled => Place::Elsewhere,
            (None, _) => Place::Here,
        };
        let mut work = Work {
            deed,
            span: span.clone(),
            place,
            is_native: false,
        };
        let keys = work.keys(call.pod);
        // What does not name its pod goes out at once: who it is about may be known only later.
        if place == Place::Here && call.pod.is_none() {
            work.place = Place::Elsewhere;
        }
        let is_detail = deed == Deed::Detail && work.place != Place::Here;
        let is_here = work.place == Place::Here;
        !is_detail && self.file(work, keys, now) && is_here
    }

    /// Takes a native span of work on a pod: one that [`wanted`] asks for, with the attributes that it names.
    pub fn native(&mut self, span: Span, now: Nanos<Wall>) {
        let Some(deed) = Deed::of(&span.service, &span.name, span.kind) else {
            return;
        };
        let work = Work {
            deed,
            span,
            place: Place::Elsewhere,
            is_native: true,
        };
        let keys = work.keys(None);
        self.file(work, keys, now);
    }

    /// Writes what is complete by now.
    pub fn tick(&mut self, now: Nanos<Wall>, spans: &mut Vec<Span>) {
        self.parked.expire(now, PATIENCE);
        while let Some((at, ..)) = self.reconciles.front() {
            if self.reconciles.len() <= MAX_RECONCILES && now.since(at) < RECONCILES_FOR {
                break;
            }
            self.reconciles.pop_front();
        }
        let mut due: Vec<(Nanos<Wall>, PodUid, Closing)> = self
            .stories
            .iter()
            .filter_map(|(uid, story)| Some((story.touched(), *uid, story.closing(&self.config, now)?)))
            .collect();
        let surplus = self
            .stories
            .len()
            .saturating_sub(self.config.max_pods + due.len());
        if surplus > 0 {
            let waiting = |uid: &PodUid| !due.iter().any(|(_, known, _)| known == uid);
            let mut quiet: Vec<_> = self
                .stories
                .iter()
                .filter(|(uid, _)| waiting(uid))
                .map(|(uid, story)| (story.touched(), *uid, Closing::Evicted))
                .collect();
            quiet.sort_unstable_by_key(|(touched, uid, _)| (*touched, *uid));
            due.extend(quiet.into_iter().take(surplus));
        }
        due.sort_unstable_by_key(|(touched, uid, _)| (*touched, *uid));
        for (_, uid, closing) in due {
            self.close(uid, closing, now, spans);
        }
    }

    /// Writes everything as it is: the agent ends.
    pub fn finish(&mut self, now: Nanos<Wall>, spans: &mut Vec<Span>) {
        let mut open: Vec<PodUid> = self.stories.keys().copied().collect();
        open.sort_unstable();
        for uid in open {
            self.close(uid, Closing::Shutdown, now, spans);
        }
    }

    /// The traces of pods of this name, or UID, from the latest start on: those kept, and those that still go on.
    #[must_use]
    pub fn find(&self, matches: impl Fn(&Trace) -> bool, now: Nanos<Wall>) -> Vec<Arc<Trace>> {
        let open = self
            .stories
            .iter()
            .map(|(uid, story)| Arc::new(self.trace(*uid, story, Closing::Open, now)));
        let mut found: Vec<_> = open.chain(self.kept.iter().cloned()).collect();
        found.retain(|trace| matches(trace));
        found.sort_by_key(|trace| std::cmp::Reverse(trace.spans.first().map(|root| root.start)));
        found
    }

    fn pod_of(&self, keys: &[Key]) -> Option<PodUid> {
        let named = keys.iter().find_map(|key| match key {
            Key::Pod(uid) => Some(*uid),
            _ => None,
        });
        named.or_else(|| keys.iter().find_map(|key| self.keys.get(key)).copied())
    }

    fn story(&mut self, uid: PodUid, now: Nanos<Wall>) -> &mut Story {
        self.stories.entry(uid).or_insert_with(|| Story::new(now))
    }

    /// Puts a piece of work to its pod's, or aside until it is known whose it is. False if it is not remembered.
    fn file(&mut self, work: Work, keys: Vec<Key>, now: Nanos<Wall>) -> bool {
        if work.deed == Deed::Reconcile {
            let owner = keys.into_iter().find(|key| matches!(key, Key::Owner(..)));
            if let Some(owner) = owner {
                self.reconciles.push_back((now, owner, work));
            }
            return false;
        }
        let Some(uid) = self.pod_of(&keys) else {
            self.parked.put(work, keys, now);
            return false;
        };
        if self.settled.pods.contains(&uid) {
            return false;
        }
        let max_works = self.config.max_works;
        if !self.story(uid, now).add(work, max_works, now) {
            self.metrics.work_dropped();
            return false;
        }
        self.learn(uid, keys, now);
        true
    }

    /// Remembers by what else a pod is known, and takes up the work that waited for this.
    fn learn(&mut self, uid: PodUid, keys: Vec<Key>, now: Nanos<Wall>) {
        let mut new = keys;
        while let Some(key) = new.pop() {
            if matches!(key, Key::Owner(..)) || self.keys.contains_key(&key) {
                continue;
            }
            let waiting = self.parked.take(&key);
            self.story(uid, now).keys.push(key.clone());
            self.keys.insert(key, uid);
            for (work, keys) in waiting {
                let max_works = self.config.max_works;
                if !self.story(uid, now).add(work, max_works, now) {
                    self.metrics.work_dropped();
                }
                new.extend(keys);
            }
        }
    }

    fn close(&mut self, uid: PodUid, closing: Closing, now: Nanos<Wall>, spans: &mut Vec<Span>) {
        let Some(story) = self.stories.get(&uid) else {
            return;
        };
        let trace = self.trace(uid, story, closing, now);
        if closing == Closing::Part {
            // What was done elsewhere goes on: only what is new is written.
            if let Some(story) = self.stories.get_mut(&uid) {
                spans.extend(trace.spans.into_iter().filter(|span| story.is_unwritten(span)));
            }
            return;
        }
        let Some(mut story) = self.stories.remove(&uid) else {
            return;
        };
        for key in &story.keys {
            self.keys.remove(key);
        }
        let is_local = story.is_local();
        self.metrics.closed(closing, is_local);
        self.settled.insert(uid);
        if is_local {
            spans.extend(trace.spans.iter().cloned());
            self.kept.push_back(Arc::new(trace));
            while self.kept.len() > self.config.max_kept {
                self.kept.pop_front();
            }
        } else {
            spans.extend(trace.spans.into_iter().filter(|span| story.is_unwritten(span)));
        }
    }

    fn trace(&self, uid: PodUid, story: &Story, closing: Closing, now: Nanos<Wall>) -> Trace {
        let name = self.name_of(story);
        let reconciles = self.reconciles_of(story, name.as_ref());
        let spans = story.render(uid, &reconciles, closing, now);
        let (namespace, name) = name.unwrap_or_default();
        Trace {
            pod: uid,
            namespace,
            name,
            spans,
            is_open: closing == Closing::Open,
        }
    }

    fn name_of(&self, story: &Story) -> Option<(Arc<str>, Arc<str>)> {
        story.keys.iter().find_map(|key| match key {
            Key::Name(namespace, name) => Some((Arc::clone(namespace), Arc::clone(name))),
            _ => None,
        })
    }

    /// What controllers did for the objects that own a pod: by its owner's name, or by its own where the owner is not
    /// known, which begins with its owner's.
    fn reconciles_of(&self, story: &Story, name: Option<&(Arc<str>, Arc<str>)>) -> Vec<&Work> {
        let Some((namespace, name)) = name else {
            return Vec::new();
        };
        let owner = story.history.pod().and_then(|pod| pod.owner.as_ref());
        let is_of = |kind: &str, object: &str| match owner {
            Some(owner) => *owner.kind == *kind && *owner.name == *object,
            None => kind != "Deployment" && is_made_from(name, object),
        };
        let begun = story.creation();
        let mut found: Vec<&Work> = self
            .reconciles
            .iter()
            .filter(|(_, key, work)| {
                matches!(key, Key::Owner(kind, space, object) if space == namespace && is_of(kind, object))
                    && begun.is_none_or(|(start, end)| work.span.start <= end && start <= work.span.end)
            })
            .map(|(_, _, work)| work)
            .collect();
        found.sort_by_key(|work| (work.span.start, work.span.span_id));
        found.dedup_by_key(|work| work.span.span_id);
        found
    }
}

/// Whether a pod of this name may have been made for an object of that one: `OBJECT-x7k2p`, `OBJECT-0`.
fn is_made_from(pod: &str, object: &str) -> bool {
    let suffix = pod.strip_prefix(object).and_then(|rest| rest.strip_prefix('-'));
    suffix.is_some_and(|suffix| !suffix.is_empty() && !suffix.contains('-'))
}

/// Whether a pod that was there before the agent has its start behind it.
fn is_past_its_start(pod: &Pod) -> bool {
    is_ready(pod)
        || pod.deletion.is_some()
        || matches!(pod.phase, Phase::Succeeded | Phase::Failed)
        || pod.containers.iter().any(|container| container.restarts > 0)
}

/// The attribute that names an owner of this kind.
fn owner_key(kind: &str) -> Option<&'static str> {
    OWNERS
        .iter()
        .find(|(known, _)| *known == kind)
        .map(|(_, key)| *key)
}

#[cfg(test)]
mod tests;
