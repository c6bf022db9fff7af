//! How much of what components report the probes see, and how far apart the two are.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::Seen;

/// Seconds: from the time that a probe takes to what no probe can explain.
const BOUNDS: [f64; 8] = [25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 5e-3, 25e-3, 100e-3];

impl EncodeLabelValue for Seen {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
        match self {
            Self::Both => "both",
            Self::Native => "native",
            Self::Probe => "probe",
        }
        .encode(encoder)
    }
}

/// Both are names of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    service: Arc<str>,
    span: Arc<str>,
    seen: Seen,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pair {
    service: Arc<str>,
    span: Arc<str>,
}

/// The counts, shared with whoever shows them.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<Call, Counter>,
    differences: Family<Pair, Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            differences: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
        }
    }
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "innerspan_correlate_compared_calls",
            "Calls that components report themselves, by who saw them: coverage is both / (both + native)",
            self.calls.clone(),
        );
        registry.register_with_unit(
            "innerspan_correlate_compared_difference",
            "How far the duration that a probe saw is from the one that the component reported",
            Unit::Seconds,
            self.differences.clone(),
        );
    }

    pub(super) fn count(&self, service: &Arc<str>, span: &Arc<str>, seen: Seen) {
        let (service, span) = (Arc::clone(service), Arc::clone(span));
        self.calls.get_or_create(&Call { service, span, seen }).inc();
    }

    pub(super) fn differ(&self, service: &Arc<str>, span: &Arc<str>, difference: Duration) {
        let (service, span) = (Arc::clone(service), Arc::clone(span));
        self.differences
            .get_or_create(&Pair { service, span })
            .observe(difference.as_secs_f64());
    }

    #[cfg(test)]
    pub(super) fn of(&self, service: &str, span: &str, seen: Seen) -> u64 {
        let (service, span) = (service.into(), span.into());
        self.calls.get_or_create(&Call { service, span, seen }).get()
    }
}
