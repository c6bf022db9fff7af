//! Why a request was not accepted: for its sender as a status, for the operator as a counter's label.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use tonic::Code;

use super::wire::Malformed;
use crate::model::{ByteSize, Signal};

/// Why a request was not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the request is larger than {0}, before or after decompression: send smaller batches")]
    TooLarge(ByteSize),
    #[error("the request is not valid protobuf: {0}")]
    Malformed(#[from] Malformed),
    #[error("the request is not valid OTLP/JSON: {0}")]
    Json(#[source] serde_json::Error),
    #[error("the request does not decompress: {0}")]
    Compression(#[source] std::io::Error),
    #[error("the request is not one gRPC message: {0}")]
    Framing(#[from] Framing),
    #[error("{0} is not supported: use identity, gzip or zstd")]
    Encoding(String),
    #[error("content type {0:?} is not supported: use {1}")]
    ContentType(String, &'static str),
    #[error("nothing is served at {0}")]
    NotFound(String),
    #[error("{0} is not allowed: use POST")]
    Method(http::Method),
    #[error("the request did not arrive completely within {0:?}")]
    Timeout(Duration),
    #[error("the sender gave up before its request was complete")]
    Disconnected,
    #[error("too many bytes are being received at this time: try again")]
    Busy,
    #[error("the queue is full: try again")]
    Full { retry_after: Duration },
    #[error("no endpoint takes {}: add it to the signals of one in export.endpoints", .0.as_str())]
    NoEndpoint(Signal),
}

/// How a gRPC body is not one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Framing {
    #[error("it ends before the end of the message that it announces")]
    Incomplete,
    #[error("more follows the message, and Export takes exactly one")]
    Trailing,
    #[error("its compressed flag is neither 0 nor 1")]
    Flag,
    #[error("it is marked as compressed, and no grpc-encoding says how")]
    NoEncoding,
}

/// Until a sender may expect room again: the bytes received at one time are gone within a moment.
const BUSY_RETRY: Duration = Duration::from_secs(1);

impl Fault {
    pub(super) fn content_type(headers: &HeaderMap, accepted: &'static str) -> Self {
        let found = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        Self::ContentType(String::from_utf8_lossy(found).into_owned(), accepted)
    }

    /// The `outcome` label of the requests counter.
    #[must_use]
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::TooLarge(_) => Outcome::TooLarge,
            Self::Malformed(_) | Self::Json(_) | Self::Compression(_) | Self::Framing(_) => {
                Outcome::Malformed
            }
            Self::Encoding(_) => Outcome::UnsupportedEncoding,
            Self::ContentType(..) => Outcome::UnsupportedContentType,
            Self::NotFound(_) => Outcome::NotFound,
            Self::Method(_) => Outcome::MethodNotAllowed,
            Self::Timeout(_) => Outcome::Timeout,
            Self::Disconnected => Outcome::Disconnected,
            Self::Busy => Outcome::Busy,
            Self::Full { .. } => Outcome::Full,
            Self::NoEndpoint(_) => Outcome::NoEndpoint,
        }
    }

    #[must_use]
    pub(super) fn code(&self) -> Code {
        match self {
            Self::TooLarge(_) => Code::ResourceExhausted,
            Self::Malformed(_) | Self::Json(_) | Self::Compression(_) | Self::Framing(_) => {
                Code::InvalidArgument
            }
            Self::Encoding(_)
            | Self::ContentType(..)
            | Self::NotFound(_)
            | Self::Method(_)
            | Self::NoEndpoint(_) => Code::Unimplemented,
            Self::Timeout(_) => Code::DeadlineExceeded,
            Self::Disconnected => Code::Cancelled,
            Self::Busy | Self::Full { .. } => Code::Unavailable,
        }
    }

    #[must_use]
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed(_)
            | Self::Json(_)
            | Self::Compression(_)
            | Self::Framing(_)
            | Self::Disconnected => StatusCode::BAD_REQUEST,
            Self::Encoding(_) | Self::ContentType(..) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotFound(_) | Self::NoEndpoint(_) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::Full { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// When the sender should try again, if that can help.
    #[must_use]
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy => Some(BUSY_RETRY),
            Self::Full { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Accepted,
    TooLarge,
    Malformed,
    UnsupportedEncoding,
    UnsupportedContentType,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Disconnected,
    Busy,
    Full,
    NoEndpoint,
}

impl Outcome {
    #[must_use]
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::UnsupportedContentType => "unsupported_content_type",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::NoEndpoint => "no_endpoint",
        }
    }
}
