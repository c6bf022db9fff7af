//! What reaches this node's agent: telemetry pushed by the components, and what eBPF programs see.
//!
//! Each room below turns one source into `model` values and knows nothing of the others, of who a record
//! belongs to, or of where it goes.

pub mod otlp;
pub mod probe;
