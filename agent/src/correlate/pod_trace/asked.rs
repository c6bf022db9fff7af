//! What whoever asks is told: which stories there are traces of, and the latest such trace of a pod.

use std::{cmp::Reverse, sync::Arc};

use super::{PodTraces, Trace, name_of, plot::Closing};
use crate::model::{
    pod::PodUid,
    time::{Nanos, Wall},
};

/// A story that there is a trace of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub pod: PodUid,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// The name of its root: `pod start`, `pod stop` or `container restart`.
    pub story: Arc<str>,
    pub start: Nanos<Wall>,
    /// Now, if the story still goes on.
    pub end: Nanos<Wall>,
    pub outcome: &'static str,
}

/// Whose trace it would be, and of what.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub pod: PodUid,
    pub namespace: &'a str,
    pub name: &'a str,
    pub story: &'a str,
}

impl Trace {
    /// The name of its root.
    pub(super) fn story(&self) -> &str {
        self.spans.first().map_or("", |root| &root.name)
    }

    fn candidate(&self) -> Candidate<'_> {
        Candidate {
            pod: self.pod,
            namespace: &self.namespace,
            name: &self.name,
            story: self.story(),
        }
    }

    fn summary(&self) -> Option<Summary> {
        let root = self.spans.first()?;
        Some(Summary {
            pod: self.pod,
            namespace: Arc::clone(&self.namespace),
            name: Arc::clone(&self.name),
            story: Arc::clone(&root.name),
            start: root.start,
            end: root.end,
            outcome: self.outcome,
        })
    }
}

impl PodTraces {
    /// The stories of this node's pods that there are traces of, the latest first.
    #[must_use]
    pub fn summaries(&self, now: Nanos<Wall>) -> Vec<Summary> {
        let traces = self.every(|_| true, now);
        let mut summaries: Vec<Summary> = traces.iter().filter_map(|trace| trace.summary()).collect();
        summaries.sort_by_key(|story| (Reverse(story.start), story.pod));
        summaries
    }

    /// The latest of the traces that are wanted.
    #[must_use]
    pub fn latest(&self, is_wanted: impl Fn(Candidate<'_>) -> bool, now: Nanos<Wall>) -> Option<Arc<Trace>> {
        let traces = self.every(is_wanted, now).into_iter();
        traces.max_by_key(|trace| trace.spans.first().map(|root| root.start))
    }

    /// The traces that are wanted, of those kept and of those that are not written yet.
    fn every(&self, is_wanted: impl Fn(Candidate<'_>) -> bool, now: Nanos<Wall>) -> Vec<Arc<Trace>> {
        let kept = self.kept.iter().filter(|trace| is_wanted(trace.candidate()));
        let mut traces: Vec<_> = kept.cloned().collect();
        for (uid, known) in self.pods.iter().filter(|(_, known)| known.is_local()) {
            let (namespace, name) = name_of(known).unwrap_or_default();
            for plot in &known.plots {
                let candidate = Candidate {
                    pod: *uid,
                    namespace: &namespace,
                    name: &name,
                    story: plot.title(*uid).name,
                };
                if is_wanted(candidate) {
                    let closing = plot.end(known).map_or(Closing::Open, |(_, closing)| closing);
                    traces.push(Arc::new(self.trace(*uid, known, plot, (closing, now)).0));
                }
            }
        }
        traces
    }
}
