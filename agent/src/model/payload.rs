//! The unit that travels: one OTLP export request, as bytes.

use bytes::Bytes;

use super::{Signal, Tally};

/// A valid protobuf `Export{Trace,Metrics,Logs}ServiceRequest` and what it holds.
///
/// Two bodies of one signal concatenate into a valid request, so a batch is bodies in a row.
#[derive(Clone, Debug)]
pub struct Payload {
    pub signal: Signal,
    pub body: Bytes,
    pub tally: Tally,
}
