//! One question: where did the time between a pod's creation and Ready go?
//!
//! In: states of this node's pods, calls, and native spans of work on pods, in any order, some twice. Out: one trace
//! for each pod's start, whose id is the pod's UID, so that nodes agree on it without talking. The agent on the pod's
//! node writes the root and what the node did; one beside the control plane writes what was done there. A pod's stop,
//! and a restart of one of its containers, are told in the same way, each in a trace of its own.
//!
//! Invariant: no clock, no task, no bytes, and nobody's span waits here but our own. What is remembered is bounded: past
//! `Config::max_pods` the pod that was quiet for longest is closed as it is.

mod critical_path;
mod history;
mod identity;
mod known;
mod metrics;
mod parked;
mod phase;
mod plot;
mod render;
mod restart;
mod start;
mod stop;
mod tree;
mod work;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use self::{
    history::is_ready,
    known::Known,
    parked::Parked,
    plot::{Closing, Plot},
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

/// One trace of a pod.
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
    pods: HashMap<PodUid, Known>,
    keys: HashMap<Key, PodUid>,
    parked: Parked,
    reconciles: VecDeque<(Nanos<Wall>, Key, Work)>,
    settled: Settled,
    kept: VecDeque<Arc<Trace>>,
    metrics: Metrics,
}

/// Pods whose start is over, with the last state of those on this node: what is done for them now is no part of it.
#[derive(Debug, Default)]
struct Settled {
    pods: HashMap<PodUid, Option<Arc<Pod>>>,
    oldest: VecDeque<PodUid>,
}

impl Settled {
    const MAX: usize = 16_384;

    fn insert(&mut self, uid: PodUid, pod: Option<Arc<Pod>>) {
        if self.pods.insert(uid, pod).is_none() {
            self.oldest.push_back(uid);
        }
        if self.oldest.len() > Self::MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.pods.remove(&oldest);
        }
    }

    fn contains(&self, uid: PodUid) -> bool {
        self.pods.contains_key(&uid)
    }
}

impl PodTraces {
    #[must_use]
    pub fn new(config: Config, metrics: Metrics) -> Self {
        Self {
            config,
            pods: HashMap::new(),
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
            PodEvent::Seen { pod, at, listed } => self.see(pod, at, listed),
            PodEvent::Gone { uid, at } => {
                if let Some(known) = self.pods.get_mut(&uid) {
                    known.gone(at);
                } else if let Some(settled) = self.settled.pods.get_mut(&uid) {
                    *settled = None;
                }
            }
        }
    }

    fn see(&mut self, pod: Arc<Pod>, at: Nanos<Wall>, listed: bool) {
        let uid = pod.uid;
        if let Some(settled) = self.settled.pods.get_mut(&uid) {
            let last = settled.replace(Arc::clone(&pod));
            let plots = last.as_deref().map_or(Vec::new(), |last| plots(last, &pod, at));
            if plots.is_empty() {
                return;
            }
            let mut known = Known::new(Plot::Start, at);
            known.plots = plots;
            if let Some(last) = last {
                known.see(last, Nanos::default(), false);
            }
            self.settled.pods.remove(&uid);
            self.pods.insert(uid, known);
        } else if !self.pods.contains_key(&uid) && listed && is_past_its_start(&pod) {
            self.settled.insert(uid, Some(pod));
            return;
        }
        let mut keys = vec![
            Key::Pod(uid),
            Key::Name(Arc::clone(&pod.namespace), Arc::clone(&pod.name)),
        ];
        let ids = pod.containers.iter().map(|container| &container.id);
        keys.extend(ids.filter(|id| !id.is_empty()).cloned().map(Key::Container));
        self.known(uid, at).see(pod, at, listed);
        self.learn(uid, keys, at);
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

    /// Calls were lost: whatever is being told may miss some.
    pub fn note_loss(&mut self) {
        for known in self.pods.values_mut() {
            known.is_lossy = true;
        }
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
        let mut due = Vec::new();
        for (uid, known) in &self.pods {
            for plot in &known.plots {
                if let Some(closing) = known.closing(plot, &self.config, now) {
                    due.push((known.touched(), *uid, plot.clone(), closing));
                }
            }
        }
        due.sort_by_key(|(touched, uid, ..)| (*touched, *uid));
        for (_, uid, plot, closing) in due {
            self.close(uid, &plot, closing, now, spans);
        }
        self.bound(now, spans);
    }

    /// Closes what was quiet for longest, where there is too much.
    fn bound(&mut self, now: Nanos<Wall>, spans: &mut Vec<Span>) {
        let surplus = self.pods.len().saturating_sub(self.config.max_pods);
        if surplus == 0 {
            return;
        }
        let mut quiet: Vec<_> = self
            .pods
            .iter()
            .map(|(uid, known)| (known.touched(), *uid))
            .collect();
        quiet.sort_unstable();
        for (_, uid) in quiet.into_iter().take(surplus) {
            self.close_all(uid, Closing::Evicted, now, spans);
        }
    }

    fn close_all(&mut self, uid: PodUid, closing: Closing, now: Nanos<Wall>, spans: &mut Vec<Span>) {
        let plots = self
            .pods
            .get(&uid)
            .map_or(Vec::new(), |known| known.plots.clone());
        for plot in plots {
            self.close(uid, &plot, closing, now, spans);
        }
    }

    /// Writes everything as it is: the agent ends.
    pub fn finish(&mut self, now: Nanos<Wall>, spans: &mut Vec<Span>) {
        let mut open: Vec<PodUid> = self.pods.keys().copied().collect();
        open.sort_unstable();
        for uid in open {
            self.close_all(uid, Closing::Shutdown, now, spans);
        }
    }

    /// The traces of pods of this name, or UID, from the latest start on: those kept, and those that still go on.
    #[must_use]
    pub fn find(&self, matches: impl Fn(&Trace) -> bool, now: Nanos<Wall>) -> Vec<Arc<Trace>> {
        let open = self.pods.iter().filter(|(_, known)| known.is_local());
        let open = open.flat_map(|(uid, known)| {
            let plots = known.plots.iter();
            plots.map(|plot| Arc::new(self.trace(*uid, known, plot, (Closing::Open, now))))
        });
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

    /// A pod that was not known is one that starts.
    fn known(&mut self, uid: PodUid, now: Nanos<Wall>) -> &mut Known {
        self.pods
            .entry(uid)
            .or_insert_with(|| Known::new(Plot::Start, now))
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
        let uid = self.pod_of(&keys).filter(|uid| !self.settled.contains(*uid));
        let Some(uid) = uid else {
            // It may be the beginning of the pod's stop.
            self.parked.put(work.elsewhere(), keys, now);
            return false;
        };
        let max_works = self.config.max_works;
        if !self.known(uid, now).add(work, max_works, now) {
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
            self.known(uid, now).keys.push(key.clone());
            self.keys.insert(key, uid);
            for (work, keys) in waiting {
                let max_works = self.config.max_works;
                if !self.known(uid, now).add(work, max_works, now) {
                    self.metrics.work_dropped();
                }
                new.extend(keys);
            }
        }
    }

    fn close(&mut self, uid: PodUid, plot: &Plot, closing: Closing, now: Nanos<Wall>, spans: &mut Vec<Span>) {
        let Some(known) = self.pods.get(&uid) else {
            return;
        };
        let trace = self.trace(uid, known, plot, (closing, now));
        let is_local = known.is_local();
        let Some(known) = self.pods.get_mut(&uid) else {
            return;
        };
        if is_local {
            self.metrics.closed(plot, closing);
            spans.extend(trace.spans.iter().cloned());
            self.kept.push_back(Arc::new(trace));
            while self.kept.len() > self.config.max_kept {
                self.kept.pop_front();
            }
        } else {
            // What was done elsewhere goes on: only what is new is written.
            let new = trace.spans.into_iter().filter(|span| known.is_unwritten(span));
            spans.extend(new);
        }
        known.written(plot, now);
        if closing == Closing::Part {
            return;
        }
        known.plots.retain(|open| open != plot);
        if known.plots.is_empty()
            && let Some(known) = self.pods.remove(&uid)
        {
            for key in &known.keys {
                self.keys.remove(key);
            }
            spans.extend(known.left_over());
            let last = known.history.last().filter(|_| known.gone.is_none());
            self.settled.insert(uid, last);
        }
    }

    fn trace(&self, uid: PodUid, known: &Known, plot: &Plot, at: (Closing, Nanos<Wall>)) -> Trace {
        let name = name_of(known);
        let reconciles = self.reconciles_of(known, name.as_ref());
        let spans = known.render(uid, plot, &reconciles, at);
        let (namespace, name) = name.unwrap_or_default();
        Trace {
            pod: uid,
            namespace,
            name,
            spans,
            is_open: at.0 == Closing::Open,
        }
    }

    /// What controllers did for the objects that own a pod: by its owner's name, or by its own where the owner is not
    /// known, which begins with its owner's.
    fn reconciles_of(&self, known: &Known, name: Option<&(Arc<str>, Arc<str>)>) -> Vec<&Work> {
        let Some((namespace, name)) = name else {
            return Vec::new();
        };
        let owner = known.history.pod().and_then(|pod| pod.owner.as_ref());
        let is_of = |kind: &str, object: &str| match owner {
            Some(owner) => *owner.kind == *kind && *owner.name == *object,
            None => kind != "Deployment" && is_made_from(name, object),
        };
        let begun = known.creation();
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

/// The pod's namespace and name.
fn name_of(known: &Known) -> Option<(Arc<str>, Arc<str>)> {
    known.keys.iter().find_map(|key| match key {
        Key::Name(namespace, name) => Some((Arc::clone(namespace), Arc::clone(name))),
        _ => None,
    })
}

/// Whether a pod of this name may have been made for an object of that one: `OBJECT-x7k2p`, `OBJECT-0`.
fn is_made_from(pod: &str, object: &str) -> bool {
    let suffix = pod.strip_prefix(object).and_then(|rest| rest.strip_prefix('-'));
    suffix.is_some_and(|suffix| !suffix.is_empty() && !suffix.contains('-'))
}

/// What begins when a pod that had started is as it is now.
fn plots(last: &Pod, pod: &Pod, at: Nanos<Wall>) -> Vec<Plot> {
    let mut plots = Vec::new();
    if pod.deletion.is_some() {
        plots.push(Plot::Stop { seen: at });
    }
    for (before, container) in last.containers.iter().zip(&pod.containers) {
        if let Some(end) = &container.last_end
            && container.restarts > before.restarts
        {
            plots.push(Plot::Restart {
                container: Arc::clone(&container.name),
                run: container.restarts,
                ended: end.finished,
            });
        }
    }
    plots
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
