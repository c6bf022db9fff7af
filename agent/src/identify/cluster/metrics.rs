//! What is counted of what the API server tells.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::pods::Flaw;

/// The counts, shared with whoever shows them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pods: Gauge,
    rejected: Family<Labels, Counter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    reason: Flaw,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        for reason in Flaw::ALL {
            drop(self.rejected.get_or_create(&Labels { reason }));
        }
        registry.register(
            "innerspan_identify_pods",
            "Pods of this node that the API server tells of",
            self.pods.clone(),
        );
        registry.register(
            "innerspan_identify_pods_rejected",
            "Sightings of pods that were passed over, by what is wrong with them",
            self.rejected.clone(),
        );
    }

    pub(super) fn set_pods(&self, pods: usize) {
        self.pods.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    pub(super) fn reject(&self, reason: Flaw) {
        self.rejected.get_or_create(&Labels { reason }).inc();
    }
}

impl EncodeLabelValue for Flaw {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
        match self {
            Self::Shape => "shape",
            Self::Uid => "uid",
        }
        .encode(encoder)
    }
}
