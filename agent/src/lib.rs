//! innerspan: what Kubernetes itself is doing, one agent per node.
//!
//! The modules stand in the order that data travels.
#![forbid(unsafe_code)]

pub mod model;
