//! What an endpoint said to a request, in the terms of the OTLP specification.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;

/// The outcome of one try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken, all but `rejected` items; the message may warn even where nothing was rejected.
    Accepted { rejected: u64, message: String },
    /// Not now.
    Retry { after: Option<Duration>, why: String },
    /// Not in one piece of this size.
    TooLarge { why: String },
    /// Exhausted: too much at this time or too much at once, as gRPC has one code for both.
    Exhausted { why: String },
    /// Never.
    Rejected { why: String },
}

impl Answer {
    /// Reads a response message. All three signals have the same one: field 1 holds a count and a text.
    pub(super) fn accepted(message: &[u8]) -> Self {
        match ExportTraceServiceResponse::decode(message) {
            Ok(ExportTraceServiceResponse {
                partial_success: None,
            }) => Self::Accepted {
                rejected: 0,
                message: String::new(),
            },
            Ok(ExportTraceServiceResponse {
                partial_success:
                    Some(ExportTracePartialSuccess {
                        rejected_spans,
                        error_message,
                    }),
            }) => Self::Accepted {
                rejected: u64::try_from(rejected_spans).unwrap_or(0),
                message: error_message,
            },
            // The request was taken: the status says so, and only the optional report is unreadable.
            Err(error) => Self::Accepted {
                rejected: 0,
                message: format!("unreadable response: {error}"),
            },
        }
    }

    /// The label of `innerspan_export_requests_total`.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Accepted { rejected: 0, .. } => Outcome::Accepted,
            Self::Accepted { .. } => Outcome::PartialSuccess,
            Self::Retry { .. } => Outcome::Retryable,
            Self::TooLarge { .. } => Outcome::TooLarge,
            Self::Exhausted { .. } => Outcome::Exhausted,
            Self::Rejected { .. } => Outcome::Rejected,
        }
    }
}

/// An [`Answer`] without its details, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    PartialSuccess,
    Retryable,
    TooLarge,
    Exhausted,
    Rejected,
}

impl Outcome {
    pub(super) const ALL: [Self; 6] = [
        Self::Accepted,
        Self::PartialSuccess,
        Self::Retryable,
        Self::TooLarge,
        Self::Exhausted,
        Self::Rejected,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::PartialSuccess => "partial_success",
            Self::Retryable => "retryable",
            Self::TooLarge => "too_large",
            Self::Exhausted => "exhausted",
            Self::Rejected => "rejected",
        }
    }
}
