//! OTLP/HTTP: `POST /v1/traces`, `/v1/metrics` and `/v1/logs`, as protobuf or JSON.
//!
//! In: HTTP/1.1 and h2c requests. Out: answers in the encoding of the request; an error is a
//! `google.rpc.Status` in that encoding, with `Retry-After` where trying again can help.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use hyper::body::Incoming;
use prost::Message as _;
use tonic_types::pb;

use super::{
    Intake,
    fault::{Fault, Outcome},
    gate::Gate,
    json,
    metrics::Protocol,
    reply::Reply,
    request::{Encoding, decompress, media_type},
};
use crate::model::Signal;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        let media_type = media_type(headers);
        if media_type.eq_ignore_ascii_case(b"application/x-protobuf") {
            Ok(Self::Protobuf)
        } else if media_type.eq_ignore_ascii_case(b"application/json") {
            Ok(Self::Json)
        } else {
            let accepted = "application/x-protobuf or application/json";
            Err(Fault::content_type(headers, accepted))
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

/// Serves one request.
pub(super) async fn serve<I: Intake>(gate: &Gate<I>, request: Request<Incoming>) -> Response<Reply> {
    let signal = signal_of(request.uri().path());
    let form = Form::of(request.headers());
    // Whoever sends neither form is most likely a person with a browser or curl.
    let answer = *form.as_ref().unwrap_or(&Form::Json);
    let under_way = gate.metrics.begin(Protocol::Http, signal);
    match export(gate, signal, form, request).await {
        Ok(()) => {
            under_way.end(Outcome::Accepted);
            accepted(answer)
        }
        Err(fault) => {
            under_way.end(fault.outcome());
            refused(&fault, answer)
        }
    }
}

fn signal_of(path: &str) -> Option<Signal> {
    match path {
        "/v1/traces" => Some(Signal::Traces),
        "/v1/metrics" => Some(Signal::Metrics),
        "/v1/logs" => Some(Signal::Logs),
        _ => None,
    }
}

async fn export<I: Intake>(
    gate: &Gate<I>,
    signal: Option<Signal>,
    form: Result<Form, Fault>,
    request: Request<Incoming>,
) -> Result<(), Fault> {
    let (head, body) = request.into_parts();
    let signal = signal.ok_or_else(|| Fault::NotFound(head.uri.path().to_owned()))?;
    if head.method != Method::POST {
        return Err(Fault::Method(head.method));
    }
    let form = form?;
    let encoding = Encoding::of(head.headers.get(CONTENT_ENCODING))?;
    gate.accept(signal, body, 0, |body, reservation| {
        let message = decompress(body, encoding, gate.max_message_size, reservation)?;
        match form {
            Form::Protobuf => Ok(message),
            Form::Json => json::to_protobuf(signal, &message, reservation),
        }
    })
    .await
}

/// An `Export...ServiceResponse` without a field: all was accepted.
fn accepted(form: Form) -> Response<Reply> {
    let body = match form {
        Form::Protobuf => Bytes::new(),
        Form::Json => Bytes::from_static(b"{}"),
    };
    let mut response = Response::new(Reply::new(body));
    response.headers_mut().insert(CONTENT_TYPE, form.content_type());
    response
}

fn refused(fault: &Fault, form: Form) -> Response<Reply> {
    let status = pb::Status {
        code: fault.code().into(),
        message: fault.to_string(),
        details: Vec::new(),
    };
    let body = match form {
        Form::Protobuf => status.encode_to_vec(),
        Form::Json => serde_json::json!({ "code": status.code, "message": status.message })
            .to_string()
            .into_bytes(),
    };
    let mut response = Response::new(Reply::new(body.into()));
    *response.status_mut() = fault.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, form.content_type());
    if let Some(delay) = fault.retry_after() {
        // In whole seconds: rounded up, so that nobody comes too early.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match fault {
        Fault::Method(_) => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
        Fault::Encoding(_) => drop(headers.insert(ACCEPT_ENCODING, Encoding::ACCEPTED)),
        _ => {}
    }
    response
}
