//! The whole agent on the loopback, between components that send and a collector that is told how to answer.
//!
//! Whatever happens, received = exported + dropped + held: every reading of an account asserts it. Every item
//! has a number, so that what arrives is compared with what was acknowledged, item by item; what real components
//! sent is compared byte by byte.
#![expect(clippy::unwrap_used, reason = "what a test cannot set up fails it at once")]

use serde_json::{Value, json};
use tests::{
    agent::{Agent, laid_over},
    collector::Collector,
};

mod configuration;
mod delivery;
mod identity;
mod outage;
mod refusal;
mod shutdown;
mod span_metrics;
mod traces;

/// An endpoint of the agent's configuration that tries again quickly.
fn endpoint(collector: &Collector, more: Value) -> Value {
    let endpoint = json!({
        "endpoint": collector.url(),
        "batch": {"max_age": "10ms"},
        "retry": {"initial_delay": "10ms", "max_delay": "50ms"},
    });
    laid_over(endpoint, more)
}

fn agent(endpoints: &[Value], more: Value) -> Agent {
    Agent::start(laid_over(json!({"export": {"endpoints": endpoints}}), more))
}
