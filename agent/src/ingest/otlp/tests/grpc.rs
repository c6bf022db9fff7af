//! OTLP/gRPC on loopback: what is accepted, and what a sender hears of everything else.

use bytes::Bytes;
use tonic::Code;

use super::{
    harness::{H2, Running, config, framed, grpc_request, gzip, start, whole, zstd},
    samples::{rich, small},
    strategies::delimited,
};
use crate::{
    ingest::otlp::Protocol,
    model::{Component, Signal},
};

/// Sends a body and checks the status; then that the same connection still serves a good request.
async fn check(name: &str, headers: &[(&str, &str)], body: impl Into<Bytes>, expected: (Code, &str)) {
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    let answer = client.call(Signal::Traces, headers, whole(body)).await;
    let (code, outcome) = expected;
    assert_eq!(
        answer.header("grpc-status"),
        i32::from(code).to_string(),
        "{name}: {answer:?}"
    );
    assert!(!answer.header("grpc-message").is_empty(), "{name}: no message");
    server.assert_counted(Protocol::Grpc, "traces", outcome, 1);
    assert_eq!(server.intake.admitted().len(), 0, "{name}");
    assert_accepts(&client, &server).await;
}

pub(super) async fn assert_accepts(client: &H2, server: &Running) {
    let answer = client
        .call(Signal::Traces, &[], whole(framed(0, &small(Signal::Traces))))
        .await;
    assert_eq!(answer.header("grpc-status"), "0", "{answer:?}");
    assert_eq!(
        server
            .intake
            .admitted()
            .last()
            .unwrap()
            .tally
            .of(Component::Kubelet),
        1
    );
}

#[tokio::test]
async fn every_signal_is_accepted_stamped_and_answered() {
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    for signal in Signal::ALL {
        let answer = client.call(signal, &[], whole(framed(0, &rich(signal)))).await;
        assert_eq!(
            (answer.header("content-type"), answer.header("grpc-status")),
            ("application/grpc", "0")
        );
        assert_eq!(
            answer.body,
            framed(0, b""),
            "a response without a field: all was accepted"
        );
        let admitted = server.intake.admitted().pop().unwrap();
        assert_eq!(admitted.signal, signal);
        assert!(admitted.body.len() > rich(signal).len());
        assert!(admitted.body.windows(8).any(|bytes| bytes == b"worker-1"));
        server.assert_counted(Protocol::Grpc, signal.as_str(), "accepted", 1);
    }
}

#[tokio::test]
async fn irregular_spans_pass_and_are_counted() {
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    let request = rich(Signal::Traces);
    client.call(Signal::Traces, &[], whole(framed(0, &request))).await;
    assert_eq!(server.intake.admitted()[0].tally.total(), 4);
    for kind in ["trace_id", "span_id", "times"] {
        server.assert_metric(&format!(
            r#"innerspan_ingest_otlp_irregular_spans_total{{kind="{kind}"}} 1"#
        ));
    }
    let bytes = request.len();
    server.assert_metric(&format!(
        r#"innerspan_ingest_otlp_received_bytes_total{{signal="traces"}} {bytes}"#
    ));
}

#[tokio::test]
async fn an_empty_request_is_a_success_and_goes_nowhere() {
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    let answer = client.call(Signal::Metrics, &[], whole(framed(0, b""))).await;
    assert_eq!(answer.header("grpc-status"), "0");
    server.assert_counted(Protocol::Grpc, "metrics", "accepted", 1);
    assert_eq!(server.intake.admitted().len(), 0);
}

#[tokio::test]
async fn compressed_requests_are_accepted() {
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    let request = small(Signal::Traces);
    let (first, second) = request.split_at(request.len() / 2);
    let members = [gzip(first), gzip(second)].concat();
    for (encoding, body) in [
        ("gzip", gzip(&request)),
        ("gzip", members),
        ("zstd", zstd(&request)),
    ] {
        let answer = client
            .call(
                Signal::Traces,
                &[("grpc-encoding", encoding)],
                whole(framed(1, &body)),
            )
            .await;
        assert_eq!(answer.header("grpc-status"), "0", "{encoding}: {answer:?}");
    }
    // A sender may leave a message uncompressed although it names an encoding.
    let answer = client
        .call(
            Signal::Traces,
            &[("grpc-encoding", "gzip")],
            whole(framed(0, &request)),
        )
        .await;
    assert_eq!(answer.header("grpc-status"), "0");
    assert!(
        server
            .intake
            .admitted()
            .iter()
            .all(|payload| payload.tally.total() == 1)
    );
}

#[tokio::test]
async fn malformed_requests_are_named_and_counted() {
    let malformed = (Code::InvalidArgument, "malformed");
    let request = small(Signal::Traces);
    let span = |span: &[u8]| delimited(1, &delimited(2, &delimited(2, span)));
    let deep = (0..200).fold(Vec::new(), |value, _| delimited(5, &delimited(1, &value)));
    let cases = [
        ("truncated", request[..request.len() - 1].to_vec()),
        ("not UTF-8", span(&delimited(5, b"\xc3\x28"))),
        (
            "an absurd length",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
        ),
        ("nested too deep", span(&delimited(9, &delimited(2, &deep)))),
    ];
    for (name, request) in cases {
        check(name, &[], framed(0, &request), malformed).await;
    }
}

#[tokio::test]
async fn bodies_that_are_not_one_message_are_named_and_counted() {
    let malformed = (Code::InvalidArgument, "malformed");
    let message = framed(0, &small(Signal::Traces));
    check("no message", &[], Bytes::new(), malformed).await;
    check("half a prefix", &[], &b"\0\0\0"[..], malformed).await;
    check(
        "more announced than sent",
        &[],
        &b"\0\xff\xff\xff\xffabc"[..],
        malformed,
    )
    .await;
    check("two messages", &[], message.repeat(2), malformed).await;
    check("a flag that does not exist", &[], framed(2, b""), malformed).await;
    check(
        "compressed, nobody says how",
        &[],
        framed(1, &gzip(b"")),
        malformed,
    )
    .await;
    check(
        "not gzip",
        &[("grpc-encoding", "gzip")],
        framed(1, b"plain"),
        malformed,
    )
    .await;
    check(
        "not zstd",
        &[("grpc-encoding", "zstd")],
        framed(1, b"plain"),
        malformed,
    )
    .await;
    check(
        "half of gzip",
        &[("grpc-encoding", "gzip")],
        framed(1, &gzip(b"abc")[..12]),
        malformed,
    )
    .await;
}

#[tokio::test]
async fn a_request_past_the_limit_is_too_large_in_every_encoding() {
    let too_large = (Code::ResourceExhausted, "too_large");
    let zeros = vec![0; 8 << 20];
    check("plain", &[], framed(0, &zeros[..1 << 20]), too_large).await;
    check(
        "gzip bomb",
        &[("grpc-encoding", "gzip")],
        framed(1, &gzip(&zeros)),
        too_large,
    )
    .await;
    check(
        "zstd bomb",
        &[("grpc-encoding", "zstd")],
        framed(1, &zstd(&zeros)),
        too_large,
    )
    .await;
}

#[tokio::test]
async fn a_zstd_frame_that_wants_a_huge_window_is_malformed() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    std::io::Write::write_all(&mut encoder, b"small").unwrap();
    let body = encoder.finish().unwrap();
    let malformed = (Code::InvalidArgument, "malformed");
    check(
        "window",
        &[("grpc-encoding", "zstd")],
        framed(1, &body),
        malformed,
    )
    .await;
}

#[tokio::test]
async fn an_unknown_encoding_hears_which_are_known() {
    let expected = (Code::Unimplemented, "unsupported_encoding");
    check(
        "snappy",
        &[("grpc-encoding", "snappy")],
        framed(1, b"x"),
        expected,
    )
    .await;
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    let answer = client
        .call(Signal::Logs, &[("grpc-encoding", "br")], whole(framed(1, b"x")))
        .await;
    assert_eq!(answer.header("grpc-accept-encoding"), "identity,gzip,zstd");
}

#[tokio::test]
async fn an_unknown_path_is_unimplemented() {
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    let request = grpc_request("/grpc.health.v1.Health/Check", &[], whole(framed(0, b"")));
    let answer = client.send(request).await.unwrap();
    assert_eq!(
        answer.header("grpc-status"),
        i32::from(Code::Unimplemented).to_string()
    );
    server.assert_counted(Protocol::Grpc, "none", "not_found", 1);
    assert_accepts(&client, &server).await;
}

#[tokio::test]
async fn what_is_no_grpc_hears_it_in_http() {
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    let headers = [("content-type", "application/x-protobuf")];
    let answer = client
        .call(Signal::Traces, &headers, whole(small(Signal::Traces)))
        .await;
    assert_eq!(answer.status, http::StatusCode::UNSUPPORTED_MEDIA_TYPE);
    server.assert_counted(Protocol::Grpc, "traces", "unsupported_content_type", 1);
    assert_accepts(&client, &server).await;
}
