//! A collector that is away or does not answer: nothing is lost within the bound, and beyond it senders are
//! asked to keep what they have.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use innerspan::model::Signal;
use serde_json::{Value, json};
use tests::{
    agent::Agent,
    client::{Grpc, post},
    collector::{Answer, Collector},
    metrics::Account,
    request::Request,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{agent, endpoint};

const ITEMS: u64 = 100;

/// A request of about 100 KiB.
fn request(number: u64) -> Request {
    Request::padded(Signal::Traces, number * ITEMS..(number + 1) * ITEMS, 1000)
}

/// An agent whose queue takes about ten such requests.
fn small_agent(collector: &Collector, queue: Value) -> Agent {
    let queue = tests::agent::laid_over(json!({"max_size": "1MiB"}), queue);
    let endpoint = endpoint(collector, json!({"timeout": "500ms", "queue": queue}));
    agent(
        &[endpoint],
        json!({"ingest": {"otlp": {"max_message_size": "1MiB"}}}),
    )
}

/// Sends until the agent refuses; says how many requests it took, and how it refused.
fn fill(agent: &Agent) -> (u64, Status) {
    let client = Grpc::connect(&agent.grpc());
    let mut requests = 0;
    loop {
        match client.send(&request(requests)) {
            Ok(()) => requests += 1,
            Err(status) => return (requests, status),
        }
        assert!(requests < 100, "a queue of 1 MiB takes 10 MiB");
    }
}

#[test]
fn a_collector_that_was_away_gets_all_that_was_acknowledged() {
    let mut collector = Collector::start();
    let agent = small_agent(&collector, json!({}));
    let client = Grpc::connect(&agent.grpc());
    client.send(&request(0)).unwrap();
    agent.until_account("default", Signal::Traces, &Account::exported(ITEMS));

    collector.stop();
    for number in 1..5 {
        client.send(&request(number)).unwrap();
    }
    agent.until_requests("default", Signal::Traces, "retryable", 5);
    let away = Account {
        received: 5 * ITEMS,
        exported: ITEMS,
        held: 4 * ITEMS,
        ..Account::default()
    };
    assert_eq!(agent.account("default", Signal::Traces), away);

    collector.resume();
    agent.until_account("default", Signal::Traces, &Account::exported(5 * ITEMS));
    assert_eq!(
        collector.accepted(Signal::Traces),
        (0..5 * ITEMS).collect::<Vec<_>>()
    );
}

#[test]
fn a_full_queue_refuses_with_a_time_to_come_again_and_loses_nothing() {
    let mut collector = Collector::start();
    let agent = small_agent(&collector, json!({}));
    collector.stop();
    let (taken, refusal) = fill(&agent);
    assert!(taken > 5, "took {taken} requests only");
    assert_eq!(refusal.code(), Code::Unavailable);
    let retry = refusal.get_details_retry_info().unwrap();
    assert!(retry.retry_delay.unwrap() >= Duration::from_secs(1));

    let headers = [(CONTENT_TYPE, "application/x-protobuf")];
    let refusal = post(&agent.http(), Signal::Traces, &headers, request(taken).encode());
    assert_eq!(refusal.status, 503);
    assert!(
        refusal.headers[RETRY_AFTER]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );

    let held = Account {
        received: taken * ITEMS,
        held: taken * ITEMS,
        ..Account::default()
    };
    assert_eq!(agent.account("default", Signal::Traces), held);
    collector.resume();
    agent.until_account("default", Signal::Traces, &Account::exported(taken * ITEMS));
    assert_eq!(
        collector.accepted(Signal::Traces),
        (0..taken * ITEMS).collect::<Vec<_>>()
    );
}

#[test]
fn a_full_queue_may_also_be_told_to_drop() {
    let mut collector = Collector::start();
    let agent = small_agent(&collector, json!({"when_full": "drop"}));
    collector.stop();
    let client = Grpc::connect(&agent.grpc());
    for number in 0..20 {
        client.send(&request(number)).unwrap();
    }
    let account = agent.account("default", Signal::Traces);
    assert_eq!(account.received, 20 * ITEMS);
    let dropped = account.dropped["queue_full"];
    assert!(account.held > 0 && dropped > 0, "{account:?}");

    collector.resume();
    let expected = Account::exported(20 * ITEMS - dropped).and_dropped("queue_full", dropped);
    agent.until_account("default", Signal::Traces, &expected);
}

#[test]
fn a_collector_that_stalls_fills_the_queue_and_then_gets_all_of_it_once() {
    let collector = Collector::start();
    collector.answer(|_| Answer::Hang);
    let agent = small_agent(&collector, json!({}));
    let (taken, refusal) = fill(&agent);
    assert_eq!(refusal.code(), Code::Unavailable);
    assert_eq!(agent.account("default", Signal::Traces).held, taken * ITEMS);

    collector.answer(|_| Answer::Accept);
    agent.until_account("default", Signal::Traces, &Account::exported(taken * ITEMS));
    assert_eq!(
        collector.accepted(Signal::Traces),
        (0..taken * ITEMS).collect::<Vec<_>>()
    );
}

#[test]
fn one_endpoint_that_is_away_and_may_drop_does_not_hold_up_the_other() {
    let (mut away, here) = (Collector::start(), Collector::start());
    away.stop();
    let queue = json!({"max_size": "1MiB", "when_full": "drop"});
    let endpoints = [
        endpoint(&away, json!({"name": "away", "queue": queue})),
        endpoint(&here, json!({"name": "here"})),
    ];
    let agent = agent(
        &endpoints,
        json!({"ingest": {"otlp": {"max_message_size": "1MiB"}}}),
    );
    let client = Grpc::connect(&agent.grpc());
    for number in 0..20 {
        client.send(&request(number)).unwrap();
    }
    agent.until_account("here", Signal::Traces, &Account::exported(20 * ITEMS));
    assert_eq!(here.accepted(Signal::Traces), (0..20 * ITEMS).collect::<Vec<_>>());
    assert_eq!(agent.account("away", Signal::Traces).exported, 0);
}
