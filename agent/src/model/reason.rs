//! Why an item that was acknowledged did not reach its endpoint.

/// The reasons of `innerspan_export_items_dropped_total`. Every loss has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// The endpoint's queue was full and its configuration prefers loss over refusal.
    QueueFull,
    /// The endpoint accepted the request and rejected a part of it (OTLP partial success).
    PartialSuccess,
    /// The endpoint refused the request with a code that OTLP forbids to retry.
    Rejected,
    /// A single item is larger than the endpoint accepts.
    TooLarge,
    /// Retries went on for longer than the configured limit.
    RetriesExhausted,
    /// The agent stopped before the endpoint took it.
    Shutdown,
}

impl DropReason {
    pub const ALL: [Self; 6] = [
        Self::QueueFull,
        Self::PartialSuccess,
        Self::Rejected,
        Self::TooLarge,
        Self::RetriesExhausted,
        Self::Shutdown,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::PartialSuccess => "partial_success",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Shutdown => "shutdown",
        }
    }

    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}
