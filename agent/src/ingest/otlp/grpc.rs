//! OTLP/gRPC: three services with one unary method each, `Export`.
//!
//! In: HTTP/2 requests. Out: answers with a gRPC status. The framing of gRPC is undone here on raw bytes,
//! so that size limit, budget and decompression are those of this room, and nothing is decoded.

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header::CONTENT_TYPE};
use hyper::body::Incoming;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    Intake,
    fault::{Fault, Framing, Outcome},
    gate::Gate,
    metrics::Protocol,
    reply::Reply,
    request::{Encoding, decompress, media_type},
};
use crate::model::Signal;

/// In front of each message: a flag that says whether it is compressed, and its length.
const PREFIX: usize = 5;

/// An `Export...ServiceResponse` without a field: all was accepted.
const ALL_ACCEPTED: Bytes = Bytes::from_static(&[0; PREFIX]);

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Serves one request.
pub(super) async fn serve<I: Intake>(gate: &Gate<I>, request: Request<Incoming>) -> Response<Reply> {
    let signal = signal_of(request.uri().path());
    let under_way = gate.metrics.begin(Protocol::Grpc, signal);
    match export(gate, signal, request).await {
        Ok(()) => {
            under_way.end(Outcome::Accepted);
            accepted()
        }
        Err(fault) => {
            under_way.end(fault.outcome());
            refused(&fault)
        }
    }
}

fn signal_of(path: &str) -> Option<Signal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        _ => None,
    }
}

async fn export<I: Intake>(
    gate: &Gate<I>,
    signal: Option<Signal>,
    request: Request<Incoming>,
) -> Result<(), Fault> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        return Err(Fault::Method(head.method));
    }
    check_content_type(&head.headers)?;
    let signal = signal.ok_or_else(|| Fault::NotFound(head.uri.path().to_owned()))?;
    let encoding = Encoding::of(head.headers.get("grpc-encoding"))?;
    gate.accept(signal, body, PREFIX, |body, reservation| match unframe(body)? {
        (false, message) => decompress(message, Encoding::Identity, gate.max_message_size, reservation),
        (true, _) if encoding == Encoding::Identity => Err(Framing::NoEncoding.into()),
        (true, message) => decompress(message, encoding, gate.max_message_size, reservation),
    })
    .await
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Fault> {
    match media_type(headers) {
        b"application/grpc" | b"application/grpc+proto" => Ok(()),
        _ => Err(Fault::content_type(headers, "application/grpc")),
    }
}

/// The one message of a body, and whether it is compressed.
fn unframe(mut body: Bytes) -> Result<(bool, Bytes), Framing> {
    let (flag, length) = (body.try_get_u8(), body.try_get_u32());
    let (Ok(flag), Ok(length)) = (flag, length) else {
        return Err(Framing::Incomplete);
    };
    let is_compressed = match flag {
        0 => false,
        1 => true,
        _ => return Err(Framing::Flag),
    };
    match u64::from(length).cmp(&(body.len() as u64)) {
        std::cmp::Ordering::Equal => Ok((is_compressed, body)),
        std::cmp::Ordering::Greater => Err(Framing::Incomplete),
        std::cmp::Ordering::Less => Err(Framing::Trailing),
    }
}

fn accepted() -> Response<Reply> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let mut response = Response::new(Reply::with_trailers(ALL_ACCEPTED, trailers));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

fn refused(fault: &Fault) -> Response<Reply> {
    let details = fault
        .retry_after()
        .map(|delay| ErrorDetails::with_retry_info(Some(delay)));
    let status = match details {
        Some(details) => Status::with_error_details(fault.code(), fault.to_string(), details),
        None => Status::new(fault.code(), fault.to_string()),
    };
    let mut response = status.into_http::<Reply>();
    match fault {
        Fault::Encoding(_) => {
            response
                .headers_mut()
                .insert("grpc-accept-encoding", Encoding::ACCEPTED);
        }
        // Not gRPC at all: its sender reads the status of HTTP.
        Fault::ContentType(..) | Fault::Method(_) => *response.status_mut() = fault.status(),
        _ => {}
    }
    response
}
