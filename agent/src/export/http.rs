//! OTLP/HTTP from the sender's side: a POST of protobuf, and what its status says.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use tonic_types::pb;

use super::{Compression, answer::Answer};

pub(super) fn headers<B>(request: &mut Request<B>, compression: Compression) {
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-protobuf"),
    );
    if let Some(encoding) = compression.encoding() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
}

pub(super) fn answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    match status {
        status if status.is_success() => Answer::accepted(body),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Retry {
            after: retry_after(headers),
            why: describe(status, body),
        },
        StatusCode::PAYLOAD_TOO_LARGE => Answer::TooLarge {
            why: describe(status, body),
        },
        _ => Answer::Rejected {
            why: describe(status, body),
        },
    }
}

/// Seconds or a date (RFC 9110, section 10.2.3), the latter by the endpoint's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let value = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = httpdate::parse_http_date(text(header::DATE)?).ok()?;
    httpdate::parse_http_date(value).ok()?.duration_since(now).ok()
}

/// The status and what the body adds: a `google.rpc.Status` by the specification, often plain text.
fn describe(status: StatusCode, body: &[u8]) -> String {
    /// Enough for a sentence in a log.
    const LIMIT: usize = 200;
    let text = match <pb::Status as prost::Message>::decode(body) {
        Ok(status) if !status.message.is_empty() => status.message,
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    let text: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LIMIT)
        .collect();
    if text.is_empty() {
        format!("HTTP {status}")
    } else {
        format!("HTTP {status}: {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after_of(value: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
        headers.insert(
            header::DATE,
            HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"),
        );
        match answer(StatusCode::SERVICE_UNAVAILABLE, &headers, b"") {
            Answer::Retry { after, .. } => after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after_of("120"), Some(Duration::from_mins(2)));
        assert_eq!(
            retry_after_of("Sun, 06 Nov 1994 08:50:07 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(retry_after_of("Sun, 06 Nov 1994 08:00:00 GMT"), None);
        assert_eq!(retry_after_of("soon"), None);
    }

    #[test]
    fn only_the_codes_that_otlp_names_are_tried_again() {
        let no = HeaderMap::new();
        for code in 200..600 {
            let status = StatusCode::from_u16(code).unwrap();
            let retried = matches!(answer(status, &no, b""), Answer::Retry { .. });
            assert_eq!(retried, [429, 502, 503, 504].contains(&code), "{code}");
        }
    }

    #[test]
    fn what_the_endpoint_says_is_told_in_one_line() {
        let text = describe(StatusCode::BAD_REQUEST, b"no\nsuch tenant\n");
        assert_eq!(text, "HTTP 400 Bad Request: no such tenant");
    }
}
