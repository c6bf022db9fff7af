//! What became of starts, as counts.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::plot::{Closing, Plot};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    story: &'static str,
    end: Closing,
}

impl EncodeLabelValue for Closing {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
        self.as_str().encode(encoder)
    }
}

/// The counts, shared with whoever shows them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    stories: Family<Labels, Counter>,
    dropped: Counter,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "innerspan_correlate_pod_stories",
            "Starts and stops of this node's pods and restarts of their containers, by how they ended",
            self.stories.clone(),
        );
        registry.register(
            "innerspan_correlate_pod_works_dropped",
            "Pieces of work on a pod that its trace had no room for",
            self.dropped.clone(),
        );
    }

    pub(super) fn closed(&self, plot: &Plot, end: Closing) {
        let story = match plot {
            Plot::Start => "pod_start",
            Plot::Stop { .. } => "pod_stop",
            Plot::Restart { .. } => "container_restart",
        };
        self.stories.get_or_create(&Labels { story, end }).inc();
    }

    pub(super) fn work_dropped(&self) {
        self.dropped.inc();
    }
}
