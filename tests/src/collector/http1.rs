//! The collector's OTLP/HTTP paths.

use std::{future, io::Read as _, sync::Arc};

use axum::{
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
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;
use tonic::service::Routes;

use super::{Answer, Record};
use crate::request::Request;

const PROTOBUF: &str = "application/x-protobuf";

/// Puts `/v1/traces`, `/v1/metrics` and `/v1/logs` beside the gRPC services.
pub(super) fn add(routes: Routes, record: &Arc<Record>) -> Routes {
    let record = Arc::clone(record);
    let take = move |Path(signal): Path<String>, headers: HeaderMap, body: Bytes| {
        let record = Arc::clone(&record);
        async move { export(&record, &signal, headers, &body).await }
    };
    let all = routes.into_axum_router().route("/v1/{signal}", post(take));
    Routes::from(all.layer(DefaultBodyLimit::disable()))
}

async fn export(record: &Record, signal: &str, headers: HeaderMap, body: &[u8]) -> Response<Body> {
    let Some(signal) = Signal::ALL.into_iter().find(|one| one.as_str() == signal) else {
        return status(StatusCode::NOT_FOUND);
    };
    if headers.get(CONTENT_TYPE).is_none_or(|found| found != PROTOBUF) {
        return status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let request = Request::decode(signal, &decompress(&headers, body));
    match record.take(request, headers, false) {
        Answer::Accept => success(&[]),
        Answer::Partial(rejected) => success(&partial(rejected)),
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

fn decompress(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    match headers
        .get(CONTENT_ENCODING)
        .map(|encoding| encoding.to_str().unwrap())
    {
        None | Some("identity") => body.to_vec(),
        Some("gzip") => {
            let mut plain = Vec::new();
            GzDecoder::new(body).read_to_end(&mut plain).unwrap();
            plain
        }
        Some("zstd") => zstd::decode_all(body).unwrap(),
        Some(other) => panic!("the agent sends {other}, which nobody asked for"),
    }
}

/// The responses of all signals have the same fields.
fn partial(rejected: u64) -> Vec<u8> {
    let partial_success = ExportTracePartialSuccess {
        rejected_spans: rejected.try_into().unwrap(),
        error_message: "as the script says".to_owned(),
    };
    ExportTraceServiceResponse {
        partial_success: Some(partial_success),
    }
    .encode_to_vec()
}

fn success(message: &[u8]) -> Response<Body> {
    let mut response = Response::new(Body::from(message.to_vec()));
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
