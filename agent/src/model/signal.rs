//! The three signals of OTLP.

/// What a request carries. Its items are spans, metric data points or log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// The name in configuration, metric labels and OTLP/HTTP paths (`/v1/traces`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// Its place in [`Signal::ALL`], for arrays with one place per signal.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}
