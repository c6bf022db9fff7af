//! A collector that does not simply accept: what is tried again, what is cut in two, what is lost and why.

use std::time::Duration;

use innerspan::model::Signal;
use serde_json::{Value, json};
use tests::{
    agent::Agent,
    client::Grpc,
    collector::{Answer, Collector},
    metrics::Account,
    request::Request,
};

use crate::{agent, endpoint};

const PROTOCOLS: [&str; 2] = ["grpc", "http"];

fn agent_of(collector: &Collector, more: Value) -> Agent {
    agent(&[endpoint(collector, more)], json!({}))
}

fn send(agent: &Agent, signal: Signal, items: u64) {
    let client = Grpc::connect(&agent.grpc());
    client.send(&Request::new(signal, 0..items)).unwrap();
}

#[test]
fn a_batch_that_is_too_large_is_cut_down_to_the_one_item_that_never_fits() {
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        collector.answer(|request| {
            let numbers = request.numbers();
            if numbers.len() > 8 || numbers.contains(&13) {
                Answer::TooLarge
            } else {
                Answer::Accept
            }
        });
        let agent = agent_of(&collector, json!({"protocol": protocol}));
        for signal in Signal::ALL {
            send(&agent, signal, 100);
            agent.until_account(
                "default",
                signal,
                &Account::exported(99).and_dropped("too_large", 1),
            );
            let expected: Vec<_> = (0..100).filter(|number| *number != 13).collect();
            assert_eq!(collector.accepted(signal), expected, "{protocol}");
        }
    }
}

#[test]
fn a_collector_that_is_exhausted_and_does_not_say_of_what_gets_smaller_batches() {
    let collector = Collector::start();
    collector.answer(|request| {
        if request.numbers().len() > 30 {
            Answer::Exhausted
        } else {
            Answer::Accept
        }
    });
    let agent = agent_of(&collector, json!({}));
    send(&agent, Signal::Traces, 100);
    agent.until_account("default", Signal::Traces, &Account::exported(100));
    assert_eq!(collector.accepted(Signal::Traces), (0..100).collect::<Vec<_>>());
}

#[test]
fn what_the_collector_rejects_of_a_request_is_lost_and_counted() {
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        collector.answer(|_| Answer::Partial(3));
        let agent = agent_of(&collector, json!({"protocol": protocol}));
        for signal in Signal::ALL {
            send(&agent, signal, 10);
            agent.until_account(
                "default",
                signal,
                &Account::exported(7).and_dropped("partial_success", 3),
            );
        }
        assert_eq!(collector.arrivals().len(), 3, "{protocol}: none was sent again");
    }
}

#[test]
fn what_the_collector_cannot_read_is_not_sent_again() {
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        collector.answer(|_| Answer::Malformed);
        let agent = agent_of(&collector, json!({"protocol": protocol}));
        send(&agent, Signal::Traces, 10);
        agent.until_account(
            "default",
            Signal::Traces,
            &Account::default().and_dropped("rejected", 10),
        );
        assert_eq!(collector.arrivals().len(), 1, "{protocol}");
    }
}

#[test]
fn the_time_to_come_again_is_the_collectors() {
    const WAIT: Duration = Duration::from_secs(1);
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        let mut first = true;
        collector.answer(move |_| {
            if std::mem::take(&mut first) {
                Answer::Unavailable(Some(WAIT))
            } else {
                Answer::Accept
            }
        });
        let agent = agent_of(&collector, json!({"protocol": protocol}));
        send(&agent, Signal::Traces, 10);
        agent.until_account("default", Signal::Traces, &Account::exported(10));
        let arrivals = collector.arrivals();
        assert_eq!(arrivals.len(), 2, "{protocol}");
        let waited = arrivals[1].at - arrivals[0].at;
        assert!(waited >= WAIT, "{protocol}: came again after {waited:?}");
    }
}

#[test]
fn a_batch_is_given_up_when_the_configuration_says_so() {
    let collector = Collector::start();
    collector.answer(|_| Answer::Unavailable(None));
    let agent = agent_of(&collector, json!({"retry": {"give_up_after": "200ms"}}));
    send(&agent, Signal::Traces, 10);
    agent.until_account(
        "default",
        Signal::Traces,
        &Account::default().and_dropped("retries_exhausted", 10),
    );
    assert!(collector.arrivals().len() > 1);
}
