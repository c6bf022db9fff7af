//! OTLP as the components send it: gRPC and HTTP, protobuf and JSON, on TCP and unix sockets.
//!
//! In: requests of untrusted local senders. Out: a [`Payload`] for each valid request, scanned once and
//! stamped with this node's [`ResourceAttributes`](crate::model::ResourceAttributes), handed to an
//! [`Intake`]. A request is answered only after the intake took it.
//!
//! This room knows neither Kubernetes nor any backend, and decodes no span.

mod budget;
mod fault;
mod gate;
mod grpc;
mod http;
mod json;
mod listen;
mod metrics;
mod native;
#[doc(hidden)]
pub mod oracle;
mod reply;
mod request;
mod scan;
mod server;
mod stamp;
#[cfg(test)]
mod tests;
mod wire;

use std::{future::Future, net::SocketAddr, path::PathBuf, time::Duration};

pub use self::{
    listen::{BindError, BindErrors},
    metrics::{Metrics, Protocol},
    native::{NativeSpan, spans},
    server::Server,
    stamp::Stamp,
};
use crate::model::{ByteSize, Payload};

/// Where to listen and what to accept.
#[derive(Clone, Debug)]
pub struct Config {
    /// OTLP/gRPC.
    pub grpc: Vec<Listen>,
    /// OTLP/HTTP: `/v1/traces`, `/v1/metrics`, `/v1/logs`.
    pub http: Vec<Listen>,
    /// Of one request, before and after decompression.
    pub max_message_size: ByteSize,
    /// Of all requests being read at one time, before and after decompression.
    pub max_in_flight: ByteSize,
    /// From a request's first byte to its last.
    pub read_timeout: Duration,
}

/// An address to serve.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Takes over what a sender may then forget.
pub trait Intake: Clone + Send + Sync + 'static {
    /// Returns once the payload is held safely, or says that it is not.
    fn admit(&self, payload: Payload) -> impl Future<Output = Result<(), Refused>> + Send;
}

/// Why the intake does not take a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No room: the sender keeps the request and tries again.
    Full { retry_after: Duration },
    /// Nothing that it could go to is configured, now or later.
    NoEndpoint,
}
