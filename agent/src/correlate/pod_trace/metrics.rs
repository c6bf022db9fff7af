//! What became of starts, as counts.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::story::Closing;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
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
    starts: Family<Labels, Counter>,
    dropped: Counter,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "innerspan_correlate_pod_starts",
            "Starts of this node's pods by how they ended",
            self.starts.clone(),
        );
        registry.register(
            "innerspan_correlate_pod_works_dropped",
            "Pieces of work on a pod that its trace had no room for",
            self.dropped.clone(),
        );
    }

    pub(super) fn closed(&self, end: Closing, is_local: bool) {
        if is_local {
            self.starts.get_or_create(&Labels { end }).inc();
        }
    }

    pub(super) fn work_dropped(&self) {
        self.dropped.inc();
    }
}
