//! OTLP/gRPC when there is no room, no patience or no time: each request ends on its own, with a clear answer.

use std::time::Duration;

use bytes::Bytes;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{
    grpc::assert_accepts,
    harness::{Answer, AnyBody, FULL, H2, config, framed, grpc_request, path, pieces, start, whole},
    samples::{rich, small},
};
use crate::{
    ingest::otlp::{Config, Protocol, Refused},
    model::{ByteSize, Signal},
};

/// Checks that an answer asks its sender to come again.
fn assert_unavailable(answer: &Answer, delay: Duration) {
    let mut headers = answer.headers.clone();
    headers.extend(answer.trailers.clone());
    let status = tonic::Status::from_header_map(&headers).unwrap();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(delay));
}

#[tokio::test]
async fn a_full_intake_refuses_and_says_when_to_try_again() {
    let server = start(&config());
    server.intake.refuse(FULL);
    let client = H2::connect(server.grpc).await;
    let answer = client
        .call(Signal::Traces, &[], whole(framed(0, &small(Signal::Traces))))
        .await;
    assert_unavailable(&answer, Duration::from_millis(2500));
    server.assert_counted(Protocol::Grpc, "traces", "full", 1);
}

#[tokio::test]
async fn a_signal_that_nobody_takes_is_unimplemented() {
    let server = start(&config());
    server.intake.refuse(Refused::NoEndpoint);
    let client = H2::connect(server.grpc).await;
    let answer = client
        .call(Signal::Logs, &[], whole(framed(0, &small(Signal::Logs))))
        .await;
    assert_eq!(
        answer.header("grpc-status"),
        i32::from(Code::Unimplemented).to_string()
    );
    server.assert_counted(Protocol::Grpc, "logs", "no_endpoint", 1);
}

#[tokio::test]
async fn requests_together_stay_within_the_budget() {
    let server = start(&Config {
        max_in_flight: ByteSize::kib(100),
        ..config()
    });
    let client = H2::connect(server.grpc).await;
    let request = framed(0, &rich(Signal::Traces).repeat(20));
    assert!(
        (50 << 10..100 << 10).contains(&request.len()),
        "{}",
        request.len()
    );
    let (sender, body) = pieces();
    let stalled = call_aside(&client, body);
    sender.send(Ok(request.slice(..request.len() - 1))).await.unwrap();
    loop {
        let answer = client.call(Signal::Traces, &[], whole(request.clone())).await;
        if answer.header("grpc-status") == "0" {
            // The first part of the other request was still on its way.
            continue;
        }
        assert_unavailable(&answer, Duration::from_secs(1));
        break;
    }
    server.assert_counted(Protocol::Grpc, "traces", "busy", 1);
    sender.send(Ok(request.slice(request.len() - 1..))).await.unwrap();
    drop(sender);
    assert_eq!(stalled.await.unwrap().header("grpc-status"), "0");
    // What the first one held is free again.
    let answer = client.call(Signal::Traces, &[], whole(request)).await;
    assert_eq!(answer.header("grpc-status"), "0");
}

fn call_aside(client: &H2, body: AnyBody) -> tokio::task::JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { client.call(Signal::Traces, &[], body).await })
}

#[tokio::test]
async fn a_sender_that_stalls_ends_alone() {
    let server = start(&Config {
        read_timeout: Duration::from_millis(300),
        ..config()
    });
    let client = H2::connect(server.grpc).await;
    let (sender, body) = pieces();
    let stalled = call_aside(&client, body);
    sender.send(Ok(Bytes::from_static(b"\0\0\0"))).await.unwrap();
    assert_accepts(&client, &server).await;
    let answer = stalled.await.unwrap();
    assert_eq!(
        answer.header("grpc-status"),
        i32::from(Code::DeadlineExceeded).to_string()
    );
    server.assert_counted(Protocol::Grpc, "traces", "timeout", 1);
    assert_accepts(&client, &server).await;
}

#[tokio::test]
async fn a_sender_that_gives_up_ends_alone() {
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    let (sender, body) = pieces();
    let request = grpc_request(path(Signal::Traces), &[], body);
    let other = client.clone();
    let given_up = tokio::spawn(async move { other.send(request).await });
    sender.send(Ok(Bytes::from_static(b"\0\0\0"))).await.unwrap();
    assert_accepts(&client, &server).await;
    sender
        .send(Err(std::io::Error::other("changed my mind")))
        .await
        .unwrap();
    given_up.await.unwrap().unwrap_err();
    assert_accepts(&client, &server).await;
    server.assert_counted(Protocol::Grpc, "traces", "disconnected", 1);
}

#[tokio::test]
async fn at_the_stop_requests_that_have_begun_are_finished() {
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    let request = framed(0, &small(Signal::Traces));
    let (sender, body) = pieces();
    let begun = call_aside(&client, body);
    sender.send(Ok(request.slice(..7))).await.unwrap();
    assert_accepts(&client, &server).await;
    server.stop.cancel();
    sender.send(Ok(request.slice(7..))).await.unwrap();
    drop(sender);
    assert_eq!(begun.await.unwrap().header("grpc-status"), "0");
    server.ended.await.unwrap().unwrap();
    assert_eq!(server.intake.admitted().len(), 2);
    tokio::net::TcpStream::connect(server.grpc).await.unwrap_err();
}

#[tokio::test]
async fn the_stop_does_not_wait_for_idle_connections() {
    let server = start(&config());
    let client = H2::connect(server.grpc).await;
    assert_accepts(&client, &server).await;
    let silent = tokio::net::TcpStream::connect(server.grpc).await.unwrap();
    server.stop.cancel();
    server.ended.await.unwrap().unwrap();
    drop(silent);
}
