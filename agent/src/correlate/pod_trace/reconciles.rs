//! What controllers did of late: one of them made the pod.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    known::Known,
    work::{Key, Work},
};
use crate::model::time::{Nanos, Wall};

/// It is remembered for as long.
const FOR: Duration = Duration::from_mins(5);
const MAX: usize = 1024;

/// By the object that was looked at.
#[derive(Debug, Default)]
pub(super) struct Reconciles(VecDeque<(Nanos<Wall>, Key, Work)>);

impl Reconciles {
    pub(super) fn put(&mut self, object: Key, work: Work, now: Nanos<Wall>) {
        self.0.push_back((now, object, work));
    }

    pub(super) fn expire(&mut self, now: Nanos<Wall>) {
        while let Some((at, ..)) = self.0.front() {
            if self.0.len() <= MAX && now.since(at) < FOR {
                return;
            }
            self.0.pop_front();
        }
    }

    /// What controllers did for the objects that own a pod: by its owner's name, or by its own where the owner is not
    /// known, which begins with its owner's.
    pub(super) fn of(&self, known: &Known, name: Option<&(Arc<str>, Arc<str>)>) -> Vec<&Work> {
        let (Some((namespace, name)), Some((start, end))) = (name, known.creation()) else {
            return Vec::new();
        };
        let owner = known.history.pod().and_then(|pod| pod.owner.as_ref());
        let is_of = |kind: &str, object: &str| match owner {
            Some(owner) => *owner.kind == *kind && *owner.name == *object,
            None => kind != "Deployment" && is_made_from(name, object),
        };
        let mut found: Vec<&Work> = self
            .0
            .iter()
            .filter(|(_, key, work)| {
                matches!(key, Key::Owner(kind, space, object) if space == namespace && is_of(kind, object))
                    && work.span.start <= end
                    && start <= work.span.end
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
