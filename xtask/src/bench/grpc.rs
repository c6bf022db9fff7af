//! The unary gRPC call of OTLP traces, as far as a load generator and a sink need it.
//!
//! Messages are framed once and sent as they are, and replies are read by their status
//! alone: a full gRPC stack would make the generator's core the bound of what is measured.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use hyper::HeaderMap;

use super::wire;

/// The method that both sides speak.
pub(super) const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// An empty message, uncompressed: `ExportTraceServiceResponse` without partial success.
pub(super) const EMPTY: Bytes = Bytes::from_static(&[0; PREFIX]);

/// The flag and the length that stand before every message.
const PREFIX: usize = 5;

/// `google.rpc.Status.details`, `Any.value`, `RetryInfo.retry_delay`.
const RETRY_DELAY: [u32; 3] = [3, 2, 1];

// The fields of `google.protobuf.Duration`.
const SECONDS: u32 = 1;
const NANOS: u32 = 2;

/// What a server said to a request.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Accepted,
    /// To be sent again, after the pause that the server asks for, if it does.
    Refused(Option<Duration>),
}

/// One message of a call's body.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) compressed: bool,
    pub(super) message: &'a [u8],
}

/// An uncompressed message with its prefix.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

/// The one message of a unary call's body.
pub(super) fn unframe(body: &[u8]) -> anyhow::Result<Frame<'_>> {
    let (prefix, message) = body
        .split_at_checked(PREFIX)
        .context("a body without a message")?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    ensure!(
        message.len() as u64 == u64::from(length),
        "a body of more or less than one message"
    );
    Ok(Frame {
        compressed: prefix[0] == 1,
        message,
    })
}

/// How many spans a request holds.
pub(super) fn spans(request: &[u8]) -> anyhow::Result<u64> {
    wire::count(request, &[wire::RESOURCE_SPANS, wire::SCOPE_SPANS, wire::SPANS])
}

/// Reads a reply from its trailers, or from its headers when there is nothing else.
pub(super) fn answer(trailers: &HeaderMap) -> anyhow::Result<Answer> {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(Answer::Accepted),
        // RESOURCE_EXHAUSTED and UNAVAILABLE.
        Some("8" | "14") => Ok(Answer::Refused(
            text("grpc-status-details-bin").and_then(retry_delay),
        )),
        status => {
            let (status, message) = (
                status.unwrap_or("missing"),
                text("grpc-message").unwrap_or_default(),
            );
            anyhow::bail!("refused for good: grpc-status {status} {message}")
        }
    }
}

/// The pause that a `google.rpc.RetryInfo` asks for.
fn retry_delay(details: &str) -> Option<Duration> {
    let status = BASE64_STANDARD_NO_PAD
        .decode(details.trim_end_matches('='))
        .ok()?;
    let mut message = &status[..];
    for number in RETRY_DELAY {
        message = value(message, number)?;
    }
    let whole = |number| value(message, number).map_or(Some(0), |mut value| wire::varint(&mut value));
    let (seconds, nanos) = (whole(SECONDS)?, whole(NANOS)?);
    Some(Duration::from_secs(seconds) + Duration::from_nanos(nanos))
}

fn value(message: &[u8], number: u32) -> Option<&[u8]> {
    wire::fields(message)
        .flatten()
        .find(|field| field.number == number)
        .map(|field| field.value)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn check(trailers: &[(&'static str, &'static str)], expected: Option<&Answer>) {
        let trailers = trailers
            .iter()
            .map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        assert_eq!(answer(&trailers.collect()).ok().as_ref(), expected);
    }

    #[test]
    fn a_refusal_is_read_with_its_hint() {
        check(&[("grpc-status", "0")], Some(&Answer::Accepted));
        check(&[("grpc-status", "14")], Some(&Answer::Refused(None)));
        // Status { code: 14, details: [Any { type_url: "t", value: RetryInfo { 1.5 s } }] }
        let details = "CA4aDwoBdBIKCggIARCAyrXuAQ";
        let delay = Duration::from_millis(1500);
        check(
            &[("grpc-status", "8"), ("grpc-status-details-bin", details)],
            Some(&Answer::Refused(Some(delay))),
        );
    }

    #[test]
    fn any_other_status_ends_the_bench() {
        check(&[("grpc-status", "3")], None);
        check(&[], None);
    }
}
