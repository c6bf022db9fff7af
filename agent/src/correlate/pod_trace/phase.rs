//! Phases of a pod's story, as a tree below its root.

use std::sync::Arc;

use super::work::Work;
use crate::model::{
    attr::{Attribute, Value},
    time::{Nanos, Wall},
    trace::{Link, SpanId},
};

/// A stretch of time in which one component did one thing for the pod, or in which it waited for one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    /// `service.name` of who did the work.
    pub(super) service: Arc<str>,
    /// The place in the tree of the phase that this one is a part of; none if it is a part of the whole.
    pub(super) parent: Option<usize>,
    pub(super) start: Nanos<Wall>,
    pub(super) end: Nanos<Wall>,
    pub(super) error: Option<Box<str>>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) links: Vec<Link>,
    /// The spans of calls whose place it takes.
    pub(super) stands_for: Vec<SpanId>,
}

impl Phase {
    pub(super) fn new(
        name: &'static str,
        service: &str,
        parent: Option<usize>,
        (start, end): (Nanos<Wall>, Nanos<Wall>),
    ) -> Self {
        Self {
            name,
            service: service.into(),
            parent,
            start,
            end: end.max(start),
            error: None,
            attributes: Vec::new(),
            links: Vec::new(),
            stands_for: Vec::new(),
        }
    }

    /// The phase that this work is, by all that was seen of it: the first says when.
    pub(super) fn of(name: &'static str, parent: Option<usize>, seen: &Sighting<'_>) -> Self {
        let best = seen.best();
        let mut phase = Self::new(name, &best.span.service, parent, (best.span.start, best.span.end));
        phase.tell(seen);
        phase
    }

    /// Adds what was seen of the work that this phase is.
    pub(super) fn tell(&mut self, seen: &Sighting<'_>) {
        for work in &seen.0 {
            self.links.extend(work.link());
            self.stands_for.push(work.span.span_id);
            if let Some(error) = &work.span.error
                && self.error.as_ref().is_none_or(|known| known.is_empty())
            {
                self.error = Some(error.clone());
            }
            for (key, value) in &work.span.attributes {
                if SHOWN.contains(&&**key) {
                    self.set(key, value.clone());
                }
            }
        }
        self.links.sort_unstable();
        self.links.dedup();
    }

    /// Sets an attribute that is not there yet.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        if !self.attributes.iter().any(|(known, _)| &**known == key) {
            self.attributes.push((key.into(), value));
        }
    }
}

/// Attributes of the work that its phase has too.
const SHOWN: &[&str] = &[
    "audit-id",
    "container.id",
    "container.image.name",
    "etcd.key",
    "k8s.container.name",
    "sandbox.id",
];

/// One piece of work as it was seen, natively, by a probe, or both ways.
#[derive(Clone, Debug)]
pub(super) struct Sighting<'a>(pub(super) Vec<&'a Work>);

impl<'a> Sighting<'a> {
    /// A component knows best when its own work began and ended.
    pub(super) fn best(&self) -> &'a Work {
        self.0[0]
    }

    pub(super) fn start(&self) -> Nanos<Wall> {
        self.best().span.start
    }

    pub(super) fn end(&self) -> Nanos<Wall> {
        self.best().span.end
    }

    pub(super) fn failed(&self) -> bool {
        self.0.iter().any(|work| work.span.error.is_some())
    }

    /// Whether it began in this time.
    pub(super) fn is_within(&self, (start, end): (Nanos<Wall>, Nanos<Wall>)) -> bool {
        start <= self.start() && self.start() <= end
    }
}

/// Puts together what was seen of the same work by component and probe: it overlaps for the most part.
pub(super) fn sightings<'a>(mut works: Vec<&'a Work>) -> Vec<Sighting<'a>> {
    let order = |work: &&Work| (work.span.start, work.span.end, work.is_native, work.span.span_id);
    works.sort_by_key(order);
    let mut sightings: Vec<Sighting<'a>> = Vec::new();
    for work in works {
        let same = sightings.iter_mut().rev().find(|known| {
            known.0.iter().all(|other| {
                other.is_native != work.is_native
                    && other.span.service == work.span.service
                    && overlap_for_the_most_part(other, work)
            })
        });
        match same {
            Some(known) => known.0.push(work),
            None => sightings.push(Sighting(vec![work])),
        }
    }
    for sighting in &mut sightings {
        sighting.0.sort_by_key(|work| !work.is_native);
    }
    sightings.sort_by_key(|sighting| order(&sighting.best()));
    sightings
}

fn overlap_for_the_most_part(one: &Work, other: &Work) -> bool {
    let (one, other) = (&one.span, &other.span);
    let common = one.end.min(other.end).since(&one.start.max(other.start));
    let longer = one.end.since(&one.start).max(other.end.since(&other.start));
    common * 2 > longer
}
