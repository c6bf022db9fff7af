//! The phases of a story as they are found: what several kinds of stories have in common.
//!
//! In: the pod's history and the work that was done for it, within the time of the story. Out: phases, each from its
//! best source. What was not seen makes no phase.

use super::{
    history::History,
    phase::{Phase, Sighting, sightings},
    render::seconds,
    work::{Deed, Work},
};
use crate::model::{
    attr::{self, Value},
    time::{Nanos, Wall},
    trace::SpanKind,
};

/// From when to when.
pub(super) type Times = (Nanos<Wall>, Nanos<Wall>);

/// All that is known of a pod.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) history: &'a History,
    pub(super) works: &'a [Work],
    /// What controllers did for the pod's owner, before it was made.
    pub(super) reconciles: &'a [&'a Work],
    /// Whether the pod is on this node.
    pub(super) is_local: bool,
    pub(super) now: Nanos<Wall>,
}

/// What is told of a pod.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) times: Times,
    /// A parent stands before its parts.
    pub(super) phases: Vec<Phase>,
    /// Nanoseconds of a start that do not count in its latency.
    pub(super) excluded: u64,
}

impl Evidence<'_> {
    /// The works of one kind, each once.
    pub(super) fn seen(&self, deed: Deed, kind: Option<SpanKind>) -> Vec<Sighting<'_>> {
        let works = self.works.iter();
        let wanted = |work: &&Work| work.deed == deed && kind.is_none_or(|kind| work.span.kind == kind);
        sightings(works.filter(wanted).collect())
    }

    /// The works of one kind by who asked for it; else by who did it.
    fn asked(&self, deed: Deed) -> Vec<Sighting<'_>> {
        let asked = self.seen(deed, Some(SpanKind::Client));
        if asked.is_empty() {
            self.seen(deed, Some(SpanKind::Server))
        } else {
            asked
        }
    }
}

/// The phases as they are found.
pub(super) struct Tree<'a> {
    pub(super) evidence: &'a Evidence<'a>,
    pub(super) phases: Vec<Phase>,
    /// Of the whole.
    pub(super) times: Times,
}

impl<'a> Tree<'a> {
    pub(super) fn new(evidence: &'a Evidence<'a>, times: Times) -> Self {
        Self {
            evidence,
            phases: Vec::new(),
            times,
        }
    }

    pub(super) fn add(&mut self, phase: Phase) -> usize {
        self.phases.push(phase);
        self.phases.len() - 1
    }

    fn times_of(&self, at: usize) -> Times {
        (self.phases[at].start, self.phases[at].end)
    }

    /// What was seen of one kind of work in the time of the story.
    pub(super) fn seen(&self, deed: Deed) -> Vec<Sighting<'a>> {
        self.within(self.evidence.seen(deed, None))
    }

    /// The same, by who asked for it; else by who did it.
    pub(super) fn asked(&self, deed: Deed) -> Vec<Sighting<'a>> {
        self.within(self.evidence.asked(deed))
    }

    fn within(&self, mut seen: Vec<Sighting<'a>>) -> Vec<Sighting<'a>> {
        seen.retain(|seen| seen.end() >= self.times.0 && seen.start() <= self.times.1);
        seen
    }

    /// A write of the pod, with etcd's part in it.
    pub(super) fn write(&mut self, name: &'static str, seen: &Sighting<'_>) {
        let at = self.add(Phase::of(name, None, seen));
        let times = self.times_of(at);
        let traces: Vec<_> = seen.0.iter().map(|work| work.span.trace_id).collect();
        let evidence = self.evidence;
        let works = evidence.works.iter();
        let below = |work: &&Work| {
            work.deed == Deed::Transaction && work.span.start >= times.0 && work.span.end <= times.1
        };
        let mut transactions: Vec<&Work> = works.filter(below).collect();
        // What is known by its trace to belong to this write, rather than what only falls into its time.
        if transactions
            .iter()
            .any(|work| traces.contains(&work.span.trace_id))
        {
            transactions.retain(|work| traces.contains(&work.span.trace_id));
        }
        // As the client saw it: one call after another.
        let asked = transactions
            .iter()
            .filter(|work| work.span.kind == SpanKind::Client);
        let waited: u64 = asked
            .map(|work| work.span.end.count() - work.span.start.count())
            .sum();
        if waited > 0 {
            self.phases[at].set(attr::INNERSPAN_ETCD_DURATION, Value::Number(seconds(waited)));
        }
        let of_etcd = |work: &&&Work| work.span.service.as_ref() == "etcd";
        let chosen = transactions
            .iter()
            .filter(of_etcd)
            .min_by_key(|work| (work.span.kind == SpanKind::Server, work.span.start))
            .or(transactions.first());
        if let Some(work) = chosen {
            self.add(Phase::of("etcd txn", Some(at), &Sighting(vec![*work])));
        }
    }

    /// What the runtime did inside a call of the kubelet.
    pub(super) fn below(&mut self, at: usize) {
        let parts: &[(&'static str, Deed)] = match self.phases[at].name {
            "sandbox" => &[
                ("cni", Deed::Network),
                ("runc create", Deed::TaskCreate),
                ("runc start", Deed::TaskStart),
            ],
            "start container" => &[("runc create", Deed::TaskCreate), ("runc start", Deed::TaskStart)],
            "pull" => &[("unpack", Deed::Unpack)],
            _ => &[],
        };
        let times = self.times_of(at);
        for (name, deed) in parts {
            let mut found = self.evidence.seen(*deed, None);
            found.retain(|seen| seen.is_within(times));
            // Of spans of one name that lie in each other, the outermost is the phase.
            let mut last_end = Nanos::default();
            for seen in found {
                if seen.start() >= last_end {
                    last_end = seen.end();
                    self.add(Phase::of(name, Some(at), &seen));
                }
            }
        }
    }

    /// Puts parts below the phases of one name that they fall into.
    pub(super) fn parts(&mut self, around: &'static str, mut parts: Vec<(&'static str, Sighting<'a>)>) {
        parts.sort_by_key(|(name, seen)| (seen.start(), *name));
        for (name, part) in parts {
            let phases = self.phases.iter().enumerate();
            let whole = phases
                .filter(|(_, phase)| phase.name == around)
                .find(|(_, phase)| part.is_within((phase.start, phase.end)))
                .map(|(at, _)| at);
            let at = self.add(Phase::of(name, whole, &part));
            self.below(at);
        }
    }

    /// Every phase within the whole and within the phase that it is a part of.
    pub(super) fn finish(mut self) -> Told {
        for at in 0..self.phases.len() {
            let (start, end) = match self.phases[at].parent {
                Some(parent) => self.times_of(parent),
                None => self.times,
            };
            let phase = &mut self.phases[at];
            phase.start = phase.start.clamp(start, end);
            phase.end = phase.end.clamp(start, end);
        }
        Told {
            times: self.times,
            phases: self.phases,
            excluded: 0,
        }
    }
}

/// What an attribute of a phase says.
pub(super) fn said<'p>(phase: &'p Phase, key: &str) -> Option<&'p str> {
    let attribute = phase.attributes.iter().find(|(known, _)| &**known == key);
    attribute.and_then(|(_, value)| Value::text(value))
}
