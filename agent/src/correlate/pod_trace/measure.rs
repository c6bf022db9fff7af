//! How long a story of a pod took, and each kind of phase in it: what histograms are made of.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Trace, phase::Phase};
use crate::model::trace::Link;

/// One duration, with the trace that shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// The name of the story: `pod start`, `pod stop` or `container restart`.
    pub story: Arc<str>,
    /// None for the whole. Of several phases of one name it is the sum.
    pub phase: Option<&'static str>,
    pub namespace: Arc<str>,
    /// The kind of the controller that made the pod; empty if none did, or none is known.
    pub owner_kind: Arc<str>,
    pub duration: Duration,
    /// The root of the trace.
    pub trace: Link,
}

/// The whole, and the sum of each kind of phase.
pub(super) fn of(trace: &Trace, phases: &[Phase], owner_kind: &Arc<str>) -> Vec<Measure> {
    let Some(root) = trace.spans.first() else {
        return Vec::new();
    };
    let measure = |phase, duration| Measure {
        story: Arc::clone(&root.name),
        phase,
        namespace: Arc::clone(&trace.namespace),
        owner_kind: Arc::clone(owner_kind),
        duration,
        trace: Link {
            trace_id: root.trace_id,
            span_id: root.span_id,
        },
    };
    let mut sums: BTreeMap<&'static str, Duration> = BTreeMap::new();
    for phase in phases {
        *sums.entry(phase.name).or_default() += phase.end.since(&phase.start);
    }
    let whole = measure(None, root.end.since(&root.start));
    let sums = sums.into_iter().map(|(name, sum)| measure(Some(name), sum));
    std::iter::once(whole).chain(sums).collect()
}
