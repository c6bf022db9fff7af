//! The collector's OTLP/HTTP paths.

use std::{future, io::Read as _, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path},
    routing::post,
};
use flate2::read::GzDecoder;
use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use innerspan::model::Signal;

use super::{Answer, Record, response};

const PROTOBUF: &str = "application/x-protobuf";

/// `/v1/traces`, `/v1/metrics` and `/v1/logs`.
pub(super) fn routes(record: &Arc<Record>) -> Router {
    let record = Arc::clone(record);
    let take = move |Path(signal): Path<String>, headers: HeaderMap, body: Bytes| {
        let record = Arc::clone(&record);
        async move { export(&record, &signal, headers, body).await }
    };
    Router::new()
        .route("/v1/{signal}", post(take))
        .layer(DefaultBodyLimit::disable())
}

async fn export(record: &Record, signal: &str, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let Some(signal) = Signal::ALL.into_iter().find(|one| one.as_str() == signal) else {
        return status(StatusCode::NOT_FOUND);
    };
    if headers.get(CONTENT_TYPE).is_none_or(|found| found != PROTOBUF) {
        return status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let message = decompress(&headers, body);
    match record.take(signal, message, headers, false) {
        Answer::Accept => success(response(None)),
        Answer::Partial(rejected) => success(response(Some(rejected))),
        Answer::Unavailable(None) => status(StatusCode::SERVICE_UNAVAILABLE),
        Answer::Unavailable(Some(delay)) => {
            let mut response = status(StatusCode::SERVICE_UNAVAILABLE);
            response.headers_mut().insert(RETRY_AFTER, delay.as_secs().into());
            response
        }
        Answer::TooLarge => status(StatusCode::PAYLOAD_TOO_LARGE),
        Answer::Exhausted => status(StatusCode::TOO_MANY_REQUESTS),
        Answer::Malformed => status(StatusCode::BAD_REQUEST),
        Answer::Hang => future::pending().await,
    }
}

fn decompress(headers: &HeaderMap, body: Bytes) -> Bytes {
    match headers
        .get(CONTENT_ENCODING)
        .map(|encoding| encoding.to_str().unwrap())
    {
        None | Some("identity") => body,
        Some("gzip") => {
            let mut plain = Vec::new();
            GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
            plain.into()
        }
        Some("zstd") => zstd::decode_all(&*body).unwrap().into(),
        Some(other) => panic!("the agent sends {other}, which nobody asked for"),
    }
}

fn success(message: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(message));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static(PROTOBUF));
    response
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}
