//! OTLP/HTTP on loopback: what is accepted, and what a sender hears of everything else.

use http::{Method, StatusCode};
use prost::Message as _;
use tonic::Code;
use tonic_types::pb;

use super::{
    harness::{Answer, FULL, H2, config, gzip, http1, nothing, pieces, start, whole, zstd},
    samples::{rich, small},
};
use crate::{
    ingest::otlp::{Config, Protocol},
    model::{Component, Signal},
};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const TRACE: &str = include_str!("../../../../../tests/data/otlp/examples/trace.json");

/// Posts traces and checks that the answer is a status in the encoding of the request, and is counted.
async fn check(
    name: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
    expected: (StatusCode, Code, &str),
) {
    let server = start(&config());
    let answer = http1(
        server.http,
        Method::POST,
        "/v1/traces",
        headers,
        whole(body.into()),
    )
    .await;
    let (status, code, outcome) = expected;
    assert_eq!(answer.status, status, "{name}: {answer:?}");
    assert_eq!(status_of(&answer).code, i32::from(code), "{name}");
    server.assert_counted(Protocol::Http, "traces", outcome, 1);
    assert_eq!(server.intake.admitted().len(), 0, "{name}");
}

fn status_of(answer: &Answer) -> pb::Status {
    let status = match answer.header("content-type") {
        "application/x-protobuf" => pb::Status::decode(answer.body.clone()).unwrap(),
        "application/json" => {
            let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let code = status["code"]
                .as_i64()
                .and_then(|code| i32::try_from(code).ok())
                .unwrap();
            pb::Status {
                code,
                message: status["message"].as_str().unwrap().to_owned(),
                details: Vec::new(),
            }
        }
        other => panic!("a status in {other:?}"),
    };
    assert!(!status.message.is_empty());
    status
}

#[tokio::test]
async fn protobuf_is_accepted_over_http1_and_http2() {
    let server = start(&config());
    let client = H2::connect(server.http).await;
    for signal in Signal::ALL {
        let path = format!("/v1/{}", signal.as_str());
        let answer = http1(server.http, Method::POST, &path, &[PROTOBUF], whole(rich(signal))).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::OK, PROTOBUF.1)
        );
        assert!(
            answer.body.is_empty(),
            "a response without a field: all was accepted"
        );
        let request = http::Request::post(format!("http://innerspan{path}")).header(PROTOBUF.0, PROTOBUF.1);
        let answer = client
            .send(request.body(whole(rich(signal))).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        server.assert_counted(Protocol::Http, signal.as_str(), "accepted", 2);
    }
    let admitted = server.intake.admitted();
    assert_eq!(admitted.len(), 6);
    assert!(admitted.chunks(2).all(|pair| pair[0].body == pair[1].body));
}

#[tokio::test]
async fn json_is_accepted_and_passed_on_as_protobuf() {
    let server = start(&config());
    let headers = [("content-type", "application/json; charset=utf-8")];
    let answer = http1(server.http, Method::POST, "/v1/traces", &headers, whole(TRACE)).await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{}"[..]));
    assert_eq!(answer.header("content-type"), "application/json");
    let admitted = server.intake.admitted().pop().unwrap();
    assert_eq!(
        (admitted.tally.total(), admitted.tally.of(Component::Other)),
        (1, 1)
    );
    assert!(admitted.body.windows(8).any(|bytes| bytes == b"worker-1"));
}

#[tokio::test]
async fn compressed_requests_are_accepted() {
    let server = start(&config());
    let request = small(Signal::Traces);
    for (encoding, body) in [
        ("gzip", gzip(&request)),
        ("zstd", zstd(&request)),
        ("identity", request),
    ] {
        let headers = [PROTOBUF, ("content-encoding", encoding)];
        let answer = http1(server.http, Method::POST, "/v1/traces", &headers, whole(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{encoding}: {answer:?}");
    }
    server.assert_counted(Protocol::Http, "traces", "accepted", 3);
}

#[tokio::test]
async fn malformed_requests_are_bad_requests() {
    let expected = (StatusCode::BAD_REQUEST, Code::InvalidArgument, "malformed");
    check("truncated", &[PROTOBUF], &b"\x0a\x05abc"[..], expected).await;
    check("truncated JSON", &[JSON], &TRACE[..TRACE.len() / 2], expected).await;
    check(
        "an id that is not hexadecimal",
        &[JSON],
        TRACE.replace("EEE19B7EC3C1B174", "no id"),
        expected,
    )
    .await;
    check(
        "not gzip",
        &[PROTOBUF, ("content-encoding", "gzip")],
        "plain",
        expected,
    )
    .await;
}

#[tokio::test]
async fn a_request_past_the_limit_is_too_large_in_every_encoding() {
    let expected = (
        StatusCode::PAYLOAD_TOO_LARGE,
        Code::ResourceExhausted,
        "too_large",
    );
    let zeros = vec![0; 8 << 20];
    check("plain", &[PROTOBUF], &zeros[..300 << 10], expected).await;
    check(
        "gzip bomb",
        &[PROTOBUF, ("content-encoding", "gzip")],
        gzip(&zeros),
        expected,
    )
    .await;
    check(
        "zstd bomb",
        &[JSON, ("content-encoding", "zstd")],
        zstd(&zeros),
        expected,
    )
    .await;
}

#[tokio::test]
async fn json_that_would_fill_the_memory_is_refused() {
    let objects = format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(80_000));
    let server = start(&config());
    let answer = http1(server.http, Method::POST, "/v1/traces", &[JSON], whole(objects)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    assert_eq!(server.intake.admitted().len(), 0);
}

#[tokio::test]
async fn unknown_types_and_encodings_hear_which_are_known() {
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let content_type = (unsupported, Code::Unimplemented, "unsupported_content_type");
    check(
        "a form",
        &[("content-type", "application/x-www-form-urlencoded")],
        "a=b",
        content_type,
    )
    .await;
    check("no content type", &[], "x", content_type).await;
    let headers = [PROTOBUF, ("content-encoding", "br")];
    check(
        "brotli",
        &headers,
        "x",
        (unsupported, Code::Unimplemented, "unsupported_encoding"),
    )
    .await;
    let server = start(&config());
    let answer = http1(server.http, Method::POST, "/v1/logs", &headers, whole("x")).await;
    assert_eq!(answer.header("accept-encoding"), "identity,gzip,zstd");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let server = start(&config());
    let answer = http1(server.http, Method::POST, "/v1/profiles", &[PROTOBUF], whole("x")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(status_of(&answer).message, "nothing is served at /v1/profiles");
    server.assert_counted(Protocol::Http, "none", "not_found", 1);
    let answer = http1(server.http, Method::GET, "/v1/traces", &[], nothing()).await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
    server.assert_counted(Protocol::Http, "traces", "method_not_allowed", 1);
}

#[tokio::test]
async fn a_full_intake_refuses_and_says_when_to_try_again() {
    let server = start(&config());
    server.intake.refuse(FULL);
    let answer = http1(
        server.http,
        Method::POST,
        "/v1/traces",
        &[PROTOBUF],
        whole(small(Signal::Traces)),
    )
    .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.header("retry-after"),
        "3",
        "2.5 s, in whole seconds and not too early"
    );
    server.assert_counted(Protocol::Http, "traces", "full", 1);
}

#[tokio::test]
async fn a_sender_that_stalls_hears_a_timeout() {
    let server = start(&Config {
        read_timeout: std::time::Duration::from_millis(300),
        ..config()
    });
    let (sender, body) = pieces();
    sender.send(Ok(bytes::Bytes::from_static(b"\x0a"))).await.unwrap();
    let answer = http1(server.http, Method::POST, "/v1/traces", &[PROTOBUF], body).await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    server.assert_counted(Protocol::Http, "traces", "timeout", 1);
    drop(sender);
}

#[tokio::test]
async fn a_sender_that_disconnects_midway_is_counted_and_ends_alone() {
    let server = start(&config());
    let mut stream = tokio::net::TcpStream::connect(server.http).await.unwrap();
    let half = b"POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n\
        content-length: 100\r\n\r\n\x0a";
    tokio::io::AsyncWriteExt::write_all(&mut stream, half)
        .await
        .unwrap();
    drop(stream);
    server
        .until_counted(Protocol::Http, "traces", "disconnected", 1)
        .await;
    let request = whole(small(Signal::Traces));
    let answer = http1(server.http, Method::POST, "/v1/traces", &[PROTOBUF], request).await;
    assert_eq!(answer.status, StatusCode::OK);
}
