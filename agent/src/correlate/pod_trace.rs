//! One question: where did the time between a pod's creation and Ready go?
//!
//! In: states of this node's pods, calls, and native spans of work on pods, in any order, some twice. Out: one trace
//! for each pod's start, whose id is the pod's UID, so that nodes agree on it without talking. The agent on the pod's
//! node writes the root and what the node did; one beside the control plane writes what was done there. A pod's stop,
//! and a restart of one of its containers, are told in the same way, each in a trace of its own.
//!
//! Invariant: no clock, no task, no bytes, and nobody's span waits here but our own. What is remembered is bounded: past
//! `Config::max_pods` the pod that was quiet for longest is closed as it is.

mod asked;
mod history;
mod identity;
mod kept;
mod known;
mod latency;
mod measure;
mod metrics;
mod parked;
mod phase;
mod plot;
mod reconciles;
mod render;
mod restart;
mod settled;
mod start;
mod stop;
mod tree;
mod work;

use std::{collections::HashMap, sync::Arc, time::Duration};

pub use self::{
    asked::{Candidate, Summary},
    measure::Measure,
    metrics::Metrics,
    work::wanted,
};
use self::{
    kept::Kept,
    known::Known,
    parked::Parked,
    plot::{Closing, Plot},
    reconciles::Reconciles,
    settled::{Settled, is_past_its_start, plots},
    tree::Told,
    work::{Deed, Key, OWNERS, Place, Work},
};
use super::calls::Call;
use crate::model::{
    pod::{Pod, PodEvent, PodUid},
    time::{Nanos, Wall},
    trace::Span,
};

/// Work that cannot be told whose it is waits for as long as components take to report the rest of it.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_PARKED: usize = 8192;

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
    /// How the story ended; `open` if it still goes on.
    pub outcome: &'static str,
}

/// The starts of this node's pods.
#[derive(Debug)]
pub struct PodTraces {
    config: Config,
    pods: HashMap<PodUid, Known>,
    /// A name may be that of several pods: one goes, and the next one comes.
    keys: HashMap<Key, Vec<PodUid>>,
    parked: Parked,
    reconciles: Reconciles,
    settled: Settled,
    kept: Kept,
    measures: Vec<Measure>,
    metrics: Metrics,
}

impl PodTraces {
    #[must_use]
    pub fn new(config: Config, metrics: Metrics) -> Self {
        Self {
            config,
            pods: HashMap::new(),
            keys: HashMap::new(),
            parked: Parked::new(MAX_PARKED),
            reconciles: Reconciles::default(),
            settled: Settled::default(),
            kept: Kept::default(),
            measures: Vec::new(),
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
            (None, _) if call.beside => Place::Elsewhere,
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
        self.reconciles.expire(now);
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

    /// What was measured since this was asked last: of stories that came to an end of their own.
    pub fn take_measures(&mut self) -> Vec<Measure> {
        std::mem::take(&mut self.measures)
    }

    /// The pods that work with these keys may be for: one, unless it is told by a name that several have had.
    fn pods_of(&self, keys: &[Key]) -> Vec<PodUid> {
        if let Some(uid) = named(keys) {
            return vec![uid];
        }
        let mut pods: Vec<PodUid> = keys
            .iter()
            .filter_map(|key| self.keys.get(key))
            .flatten()
            .copied()
            .collect();
        pods.sort_unstable();
        pods.dedup();
        pods
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
                self.reconciles.put(owner, work, now);
            }
            return false;
        }
        if work.is_of_another_object(&keys) {
            return false;
        }
        let pods = self.pods_of(&keys).into_iter();
        let pods: Vec<PodUid> = pods.filter(|uid| !self.settled.contains(*uid)).collect();
        // It may be the beginning of the stop of a pod that runs, or of the start of the next one of its name.
        if pods.is_empty() {
            self.parked.put(work.elsewhere(), keys, now);
            return false;
        }
        if named(&keys).is_none() {
            self.parked.put(work.clone().elsewhere(), keys.clone(), now);
        }
        let mut is_kept = false;
        for uid in pods {
            is_kept |= self.add(uid, work.clone(), now);
            self.learn(uid, work.leads(keys.clone()), now);
        }
        is_kept
    }

    fn add(&mut self, uid: PodUid, work: Work, now: Nanos<Wall>) -> bool {
        let max_works = self.config.max_works;
        let is_kept = self.known(uid, now).add(work, max_works, now);
        if !is_kept {
            self.metrics.work_dropped();
        }
        is_kept
    }

    /// Remembers by what else a pod is known, and takes up the work that waited for this.
    fn learn(&mut self, uid: PodUid, keys: impl IntoIterator<Item = Key>, now: Nanos<Wall>) {
        let mut new: Vec<Key> = keys.into_iter().collect();
        while let Some(key) = new.pop() {
            let pods = self.keys.get(&key);
            if matches!(key, Key::Owner(..)) || pods.is_some_and(|pods| pods.contains(&uid)) {
                continue;
            }
            let waiting = self.parked.with(&key);
            self.known(uid, now).keys.push(key.clone());
            self.keys.entry(key).or_default().push(uid);
            for (work, keys) in waiting {
                if named(&keys).is_none_or(|named| named == uid) {
                    new.extend(work.leads(keys));
                    self.add(uid, work, now);
                }
            }
        }
    }

    fn close(&mut self, uid: PodUid, plot: &Plot, closing: Closing, now: Nanos<Wall>, spans: &mut Vec<Span>) {
        let Some(known) = self.pods.get(&uid) else {
            return;
        };
        let (trace, told) = self.trace(uid, known, plot, (closing, now));
        let (is_local, owner) = (known.is_local(), known.owner_kind());
        let Some(known) = self.pods.get_mut(&uid) else {
            return;
        };
        if is_local {
            self.metrics.closed(plot, closing);
            if closing.is_an_end() {
                self.measures.extend(measure::of(&trace, &told.phases, &owner));
            }
            spans.extend(trace.spans.iter().cloned());
            self.kept.push(trace, self.config.max_kept);
        } else {
            // What was done elsewhere goes on: only what is new is written.
            let new = trace.spans.into_iter().filter(|span| known.is_unwritten(span));
            spans.extend(new);
        }
        known.written(&told);
        if closing == Closing::Part {
            return;
        }
        known.plots.retain(|open| open != plot);
        if known.plots.is_empty()
            && let Some(known) = self.pods.remove(&uid)
        {
            for key in &known.keys {
                if let Some(pods) = self.keys.get_mut(key) {
                    pods.retain(|other| *other != uid);
                    if pods.is_empty() {
                        self.keys.remove(key);
                    }
                }
            }
            spans.extend(known.left_over());
            let last = known.history.last().filter(|_| known.gone.is_none());
            self.settled.insert(uid, last);
        }
    }

    fn trace(&self, uid: PodUid, known: &Known, plot: &Plot, at: (Closing, Nanos<Wall>)) -> (Trace, Told) {
        let name = name_of(known);
        let reconciles = self.reconciles.of(known, name.as_ref());
        let (spans, told) = known.render(uid, plot, &reconciles, at);
        let (namespace, name) = name.unwrap_or_default();
        let trace = Trace {
            pod: uid,
            namespace,
            name,
            spans,
            outcome: at.0.as_str(),
        };
        (trace, told)
    }
}

/// The pod that the keys name themselves.
fn named(keys: &[Key]) -> Option<PodUid> {
    keys.iter().find_map(|key| match key {
        Key::Pod(uid) => Some(*uid),
        _ => None,
    })
}

/// The pod's namespace and name.
fn name_of(known: &Known) -> Option<(Arc<str>, Arc<str>)> {
    known.keys.iter().find_map(|key| match key {
        Key::Name(namespace, name) => Some((Arc::clone(namespace), Arc::clone(name))),
        _ => None,
    })
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
