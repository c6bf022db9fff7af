//! innerspan: what Kubernetes itself is doing, seen by one agent per node.
//!
//! The modules stand in the order that data travels; `pipeline` is the only one that sees every stage.
#![forbid(unsafe_code)]

pub mod model;

pub mod ingest;

pub mod identify;

pub mod correlate;

pub mod export;

pub mod waterfall;

pub mod pipeline;

pub mod config;

pub mod admin;
pub mod telemetry;
