//! OTLP/gRPC from the sender's side: one unary call is one framed message and a status in the trailers.
//!
//! tonic compresses at level 6 only and copies every message into its own buffer, so the five bytes of
//! framing are written here and the body is ours; statuses are read by tonic.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{Compression, answer::Answer};

/// Compressed flag and length, in front of every message.
pub(super) const FRAME: usize = 5;

/// Read of a response, decompressed.
const MAX_MESSAGE: u64 = 64 * 1024;

/// Writes the frame of a message that starts at [`FRAME`]; none when it is too long for its length field.
pub(super) fn frame(mut message: Vec<u8>, compression: Compression) -> Option<Bytes> {
    let length = u32::try_from(message.len().checked_sub(FRAME)?).ok()?;
    message[0] = u8::from(compression != Compression::None);
    message[1..FRAME].copy_from_slice(&length.to_be_bytes());
    Some(message.into())
}

pub(super) fn headers<B>(request: &mut Request<B>, compression: Compression) {
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    if let Some(encoding) = compression.encoding() {
        headers.insert("grpc-encoding", HeaderValue::from_static(encoding));
    }
}

/// Reads the answer; `trailers` are the response's headers where it has no body.
pub(super) fn answer(
    http: StatusCode,
    headers: &HeaderMap,
    trailers: Option<&HeaderMap>,
    body: &[u8],
) -> Answer {
    let status = trailers
        .and_then(Status::from_header_map)
        .or_else(|| Status::from_header_map(headers));
    let Some(status) = status else {
        return without_status(http);
    };
    let why = || {
        let (code, message) = (status.code(), status.message());
        if message.is_empty() {
            format!("{code:?}")
        } else {
            format!("{code:?}: {message}")
        }
    };
    let after = || status.get_details_retry_info().and_then(|info| info.retry_delay);
    match status.code() {
        Code::Ok => match message(headers, body) {
            Ok(message) => Answer::accepted(&message),
            // The request was taken: only the optional report cannot be read.
            Err(error) => Answer::Accepted {
                rejected: 0,
                message: format!("unreadable response: {error}"),
            },
        },
        Code::ResourceExhausted | Code::OutOfRange if says_too_large(status.message()) => {
            Answer::TooLarge { why: why() }
        }
        Code::ResourceExhausted => match after() {
            // With a time to come back it is about load, not size.
            after @ Some(_) => Answer::Retry { after, why: why() },
            None => Answer::Exhausted { why: why() },
        },
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Answer::Retry {
            after: after(),
            why: why(),
        },
        _ => Answer::Rejected { why: why() },
    }
}

/// The message of a response. grpc-go compresses it as the request was, asked for or not.
fn message<'a>(headers: &HeaderMap, body: &'a [u8]) -> io::Result<Cow<'a, [u8]>> {
    let Some((frame, message)) = body.split_at_checked(FRAME) else {
        return Ok(Cow::Borrowed(&[]));
    };
    if frame[0] == 0 {
        return Ok(Cow::Borrowed(message));
    }
    let mut out = Vec::new();
    match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
        Some(b"gzip") => GzDecoder::new(message).take(MAX_MESSAGE).read_to_end(&mut out)?,
        Some(b"zstd") => zstd::Decoder::new(message)?
            .take(MAX_MESSAGE)
            .read_to_end(&mut out)?,
        other => {
            let other = String::from_utf8_lossy(other.unwrap_or_default());
            return Err(io::Error::other(format!("compressed as {other:?}")));
        }
    };
    Ok(Cow::Owned(out))
}

/// A proxy that answers for the endpoint sends HTTP without a gRPC status; the gRPC specification maps it.
fn without_status(http: StatusCode) -> Answer {
    let why = format!("HTTP {http} without a gRPC status");
    match http {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        // The stream ended without trailers: the connection broke behind the headers.
        | StatusCode::OK => Answer::Retry { after: None, why },
        StatusCode::PAYLOAD_TOO_LARGE => Answer::TooLarge { why },
        _ => Answer::Rejected { why },
    }
}

/// The texts of grpc-go ("received message larger than max", "message after decompression larger than
/// max"), grpc-java ("exceeds maximum size") and tonic ("decoded message length too large").
fn says_too_large(message: &str) -> bool {
    ["larger than max", "exceeds maximum", "too large"]
        .iter()
        .any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn check(status: &Status, expected: &Answer) {
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers).unwrap();
        assert_eq!(
            answer(StatusCode::OK, &HeaderMap::new(), Some(&trailers), &[]),
            *expected
        );
        // A response without a body carries the status among its headers.
        assert_eq!(answer(StatusCode::OK, &trailers, None, &[]), *expected);
    }

    #[test]
    fn codes_are_read_as_the_otlp_specification_has_them() {
        let why = |text: &str| text.to_owned();
        for (code, name) in [
            (Code::Cancelled, "Cancelled"),
            (Code::DeadlineExceeded, "DeadlineExceeded"),
            (Code::Aborted, "Aborted"),
            (Code::OutOfRange, "OutOfRange"),
            (Code::Unavailable, "Unavailable"),
            (Code::DataLoss, "DataLoss"),
        ] {
            let expected = Answer::Retry {
                after: None,
                why: format!("{name}: later"),
            };
            check(&Status::new(code, "later"), &expected);
        }
        for code in [
            Code::InvalidArgument,
            Code::Unimplemented,
            Code::Unauthenticated,
            Code::Internal,
        ] {
            check(
                &Status::new(code, ""),
                &Answer::Rejected {
                    why: format!("{code:?}"),
                },
            );
        }
        let limiter = Status::resource_exhausted("data refused due to high memory usage");
        check(
            &limiter,
            &Answer::Exhausted {
                why: why("ResourceExhausted: data refused due to high memory usage"),
            },
        );
        let large = Status::resource_exhausted("grpc: received message larger than max (5 vs. 4)");
        check(
            &large,
            &Answer::TooLarge {
                why: why("ResourceExhausted: grpc: received message larger than max (5 vs. 4)"),
            },
        );
    }

    #[test]
    fn a_time_to_come_back_is_kept() {
        let delay = Duration::from_secs(7);
        for code in [Code::Unavailable, Code::ResourceExhausted] {
            let status = Status::with_error_details(code, "busy", ErrorDetails::with_retry_info(Some(delay)));
            check(
                &status,
                &Answer::Retry {
                    after: Some(delay),
                    why: format!("{code:?}: busy"),
                },
            );
        }
    }

    #[test]
    fn a_proxy_that_answers_for_the_endpoint_is_understood() {
        let no = HeaderMap::new();
        let answer = |http| answer(http, &no, None, &[]);
        assert!(matches!(answer(StatusCode::BAD_GATEWAY), Answer::Retry { .. }));
        assert!(matches!(answer(StatusCode::OK), Answer::Retry { .. }));
        assert!(matches!(answer(StatusCode::NOT_FOUND), Answer::Rejected { .. }));
    }

    #[test]
    fn a_partial_success_is_read_however_the_response_is_compressed() {
        use opentelemetry_proto::tonic::collector::trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceResponse,
        };
        use prost::Message as _;

        let partial = ExportTracePartialSuccess {
            rejected_spans: 3,
            error_message: "no".to_owned(),
        };
        let plain = ExportTraceServiceResponse {
            partial_success: Some(partial),
        }
        .encode_to_vec();
        let mut gzip = flate2::read::GzEncoder::new(&plain[..], flate2::Compression::fast());
        let mut gzipped = Vec::new();
        gzip.read_to_end(&mut gzipped).unwrap();
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();

        let mut ok = HeaderMap::new();
        Status::ok("").add_header(&mut ok).unwrap();
        for (flag, encoding, message) in [(0, "identity", &plain), (1, "gzip", &gzipped), (1, "zstd", &zstd)]
        {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-encoding", HeaderValue::from_static(encoding));
            let mut body = vec![flag, 0, 0, 0, 0];
            body.extend_from_slice(message);
            let expected = Answer::Accepted {
                rejected: 3,
                message: "no".to_owned(),
            };
            assert_eq!(
                answer(StatusCode::OK, &headers, Some(&ok), &body),
                expected,
                "{encoding}"
            );
        }
    }

    #[test]
    fn a_message_is_framed_by_its_flag_and_length() {
        let framed = frame(b"\0\0\0\0\0abc".to_vec(), Compression::Gzip).unwrap();
        assert_eq!(framed[..], *b"\x01\0\0\0\x03abc");
    }
}
