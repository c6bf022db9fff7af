//! Harness of the whole-process suites: a collector to receive, a client to send, an agent to run.
//!
//! The agent is the real program, built by cargo and spoken to over sockets alone. The collector and the
//! client are made of tonic and the types of `opentelemetry-proto`, so that nothing of the agent's own
//! reading and writing of OTLP is judged by itself.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a harness that cannot do its part fails the test at once"
)]

pub mod agent;
pub mod authority;
pub mod client;
pub mod collector;
pub mod metrics;
pub mod patience;
mod raw;
pub mod recording;
pub mod request;
