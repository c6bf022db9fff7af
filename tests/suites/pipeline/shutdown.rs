//! How the agent ends: drained, out of time, at once, or killed.

use std::time::{Duration, Instant};

use innerspan::model::Signal;
use nix::sys::signal::Signal as Kill;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{agent::Agent, client::Grpc, collector::Collector, metrics::Account, request::Request};

use crate::{agent, endpoint};

/// An agent that holds a hundred items, because its collector is away.
fn holding(more: Value) -> (Agent, Collector) {
    let mut collector = Collector::start();
    let agent = agent(&[endpoint(&collector, json!({}))], more);
    collector.stop();
    Grpc::connect(&agent.grpc())
        .send(&Request::new(Signal::Traces, 0..100))
        .unwrap();
    (agent, collector)
}

#[test]
fn what_was_acknowledged_is_delivered_before_the_end() {
    let (mut agent, mut collector) = holding(json!({}));
    agent.signal(Kill::SIGTERM);
    agent.until_draining();
    collector.resume();
    assert!(agent.until_ended().success());
    assert_eq!(collector.accepted(Signal::Traces), (0..100).collect::<Vec<_>>());
}

#[test]
fn the_drain_ends_with_its_grace() {
    let (mut agent, _collector) = holding(json!({"pipeline": {"shutdown_grace": "1s"}}));
    let asked = Instant::now();
    agent.signal(Kill::SIGTERM);
    agent.until_ended();
    assert!(
        asked.elapsed() >= Duration::from_secs(1),
        "it did not try to the end"
    );
    assert!(agent.logged("not drained in time"));
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let (mut agent, _collector) = holding(json!({"pipeline": {"shutdown_grace": "1h"}}));
    agent.signal(Kill::SIGTERM);
    agent.until_draining();
    agent.signal(Kill::SIGTERM);
    assert!(!agent.until_ended().success(), "items were lost");
}

#[test]
fn a_socket_that_a_killed_agent_left_is_no_obstacle_to_the_next() {
    let collector = Collector::start();
    let dir = TempDir::new().unwrap();
    let socket = format!("unix://{}", dir.path().join("otlp.sock").display());
    let start = || {
        let otlp = json!({"ingest": {"otlp": {"grpc": [socket]}}});
        agent(&[endpoint(&collector, json!({}))], otlp)
    };
    let mut killed = start();
    killed.signal(Kill::SIGKILL);
    assert!(!killed.until_ended().success());
    assert!(dir.path().join("otlp.sock").exists(), "nothing was left");

    let next = start();
    Grpc::connect(&socket)
        .send(&Request::new(Signal::Traces, 0..10))
        .unwrap();
    next.until_account("default", Signal::Traces, &Account::exported(10));
}
