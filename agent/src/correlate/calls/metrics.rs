//! What became of calls, as counts: every call that was seen has exactly one fate.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// What became of a call, or of the search for its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Became a span.
    Exported,
    /// Left to the component, which reports it itself.
    Native,
    /// Its trace is one that the component does not sample.
    Unsampled,
    /// The component's calls are turned off.
    Off,
    /// Its end was seen, its begin was not.
    Unmatched,
    /// A panic left it without a return.
    Unwound,
    /// Its process ended first; it is counted as exported or kept as well.
    Interrupted,
    /// Too many were in flight.
    Evicted,
    /// Several client calls could be its parent, so none is; it is counted as exported as well.
    Ambiguous,
}

impl Fate {
    const ALL: [Self; 9] = [
        Self::Exported,
        Self::Native,
        Self::Unsampled,
        Self::Off,
        Self::Unmatched,
        Self::Unwound,
        Self::Interrupted,
        Self::Evicted,
        Self::Ambiguous,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Native => "native",
            Self::Unsampled => "unsampled",
            Self::Off => "off",
            Self::Unmatched => "unmatched",
            Self::Unwound => "unwound",
            Self::Interrupted => "interrupted",
            Self::Evicted => "evicted",
            Self::Ambiguous => "ambiguous",
        }
    }
}

impl EncodeLabelValue for Fate {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
        self.as_str().encode(encoder)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    fate: Fate,
}

/// The counts, shared with whoever shows them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    calls: Family<Labels, Counter>,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        for fate in Fate::ALL {
            drop(self.calls.get_or_create(&Labels { fate }));
        }
        registry.register(
            "innerspan_correlate_calls",
            "Calls of Go functions by what became of them",
            self.calls.clone(),
        );
    }

    pub(super) fn count(&self, fate: Fate) {
        self.calls.get_or_create(&Labels { fate }).inc();
    }

    #[cfg(test)]
    pub(super) fn of(&self, fate: Fate) -> u64 {
        self.calls.get_or_create(&Labels { fate }).get()
    }
}
