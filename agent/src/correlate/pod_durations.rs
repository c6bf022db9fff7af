//! One question: how long do pods take to start and to stop, and in which phases?
//!
//! In: what was measured of stories that came to an end. Out: `innerspan.pod.duration` of the whole and
//! `innerspan.pod.phase.duration` of each kind of phase, by namespace and kind of owner, with exemplars that lead to
//! the trace of a pod. Past `MAX_SERIES` what is new counts in one series of its own.

use super::{durations::Durations, pod_trace::Measure};
use crate::model::{
    attr::{self, Said},
    histogram::Source,
    metric::Family,
    time::{Nanos, Wall},
};

/// A cluster's namespaces, five kinds of owners and thirty phases: those that one node sees of them.
const MAX_SERIES: usize = 2048;

/// The durations since the agent started.
#[derive(Debug)]
pub struct PodDurations {
    whole: Durations,
    phases: Durations,
    start: Nanos<Wall>,
}

impl PodDurations {
    #[must_use]
    pub fn new(start: Nanos<Wall>) -> Self {
        Self {
            whole: Durations::new(MAX_SERIES),
            phases: Durations::new(MAX_SERIES),
            start,
        }
    }

    pub fn record(&mut self, measure: &Measure, at: Nanos<Wall>) {
        let source = Source {
            trace_id: measure.trace.trace_id,
            span_id: measure.trace.span_id,
            at,
        };
        let whole = [
            (attr::INNERSPAN_STORY, Said::Text(&measure.story)),
            (attr::K8S_NAMESPACE_NAME, Said::Text(&measure.namespace)),
            (attr::INNERSPAN_OWNER_KIND, Said::Text(&measure.owner_kind)),
        ];
        let Some(phase) = measure.phase else {
            self.whole.record(&whole, measure.duration, Some(source));
            return;
        };
        let [story, namespace, owner] = whole;
        let phase = [
            story,
            (attr::INNERSPAN_PHASE, Said::Text(phase)),
            namespace,
            owner,
        ];
        self.phases.record(&phase, measure.duration, Some(source));
    }

    #[must_use]
    pub fn families(&self) -> [Family; 2] {
        [
            self.whole.family(
                "innerspan.pod.duration",
                "How long starts and stops of pods and restarts of containers took",
                self.start,
            ),
            self.phases.family(
                "innerspan.pod.phase.duration",
                "How long the phases of them took, all phases of one kind together",
                self.start,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{
        metric::Series,
        trace::{Link, SpanId, TraceId},
    };

    #[test]
    fn the_whole_and_its_phases_lead_to_the_trace() {
        let mut durations = PodDurations::new(Nanos::new(1));
        for phase in [None, Some("pull"), Some("pull")] {
            let measure = Measure {
                story: "pod start".into(),
                phase,
                namespace: "default".into(),
                owner_kind: "ReplicaSet".into(),
                duration: Duration::from_millis(20),
                trace: Link {
                    trace_id: TraceId([1; 16]),
                    span_id: SpanId([2; 8]),
                },
            };
            durations.record(&measure, Nanos::new(5));
        }
        let counts = durations.families().map(|family| {
            let Series::Durations(series) = family.series else {
                panic!("durations");
            };
            assert_eq!(series.len(), 1, "{}", family.name);
            assert_eq!(series[0].1.exemplars()[0].source.trace_id, TraceId([1; 16]));
            series[0].1.count()
        });
        assert_eq!(counts, [1, 2]);
    }
}
