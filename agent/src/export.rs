//! How it leaves: batches of OTLP bytes to the endpoints that the user has.
//!
//! In: payloads. Out: acknowledged bytes, or a counted loss. One bounded queue and one ledger per endpoint;
//! a batch stays in its queue's bounds until the endpoint took it. This room does not know where a span
//! came from.

mod answer;
mod batch;
mod client;
mod compress;
mod credentials;
pub mod encode;
mod exporter;
mod grpc;
mod halve;
pub mod headers;
mod http;
mod lane;
mod metrics;
mod queue;
mod retry;
mod traffic;

use std::{path::PathBuf, time::Duration};

use ::http::{HeaderMap, Uri};

pub use self::{
    credentials::CredentialsError,
    exporter::{Exporter, Full, Place},
    metrics::Metrics,
};
use crate::model::{ByteSize, Signal};

/// Where telemetry goes.
#[derive(Clone, Debug)]
pub struct Config {
    pub endpoints: Vec<Endpoint>,
}

/// One receiver of OTLP.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name in logs and metric labels.
    pub name: String,
    pub protocol: Protocol,
    /// The complete request URI of each signal that goes there, in the order of [`Signal::ALL`].
    pub uris: [Option<Uri>; Signal::ALL.len()],
    pub compression: Compression,
    /// Sent with every request, as those of the file are. Values are marked sensitive, so that no log shows
    /// them.
    pub headers: HeaderMap,
    /// Further headers, one `name: value` a line.
    pub headers_file: Option<PathBuf>,
    pub tls: Tls,
    /// Of one request, from connecting to its answer.
    pub timeout: Duration,
    pub batch: Batch,
    pub queue: Queue,
    pub retry: Retry,
    /// Requests under way at one time, per signal.
    pub concurrency: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    /// Protobuf over HTTP.
    Http,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Zstd,
    None,
}

/// Files for an `https` endpoint; system roots where no authority is named.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the client's certificate chain and key.
    pub client: Option<ClientCertificate>,
}

#[derive(Clone, Debug)]
pub struct ClientCertificate {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// A batch leaves when it is large enough or old enough.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Uncompressed; below the endpoint's message limit (4 MiB is OTLP/gRPC's usual one).
    pub max_size: ByteSize,
    pub max_age: Duration,
}

/// What waits for the endpoint, in memory.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    pub max_size: ByteSize,
    pub when_full: WhenFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuse the sender, who keeps its data and tries again.
    Refuse,
    /// Take it for the other endpoints and drop it for this one, counted.
    Drop,
}

/// Exponential backoff with jitter between tries of one batch.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    pub initial_delay: Duration,
    pub max_delay: Duration,
    /// After which a batch is dropped; without it a batch is tried until the endpoint takes it.
    pub give_up_after: Option<Duration>,
}

/// The complete URI of a signal below an endpoint's base, as the OTLP exporter specification has it.
///
/// # Errors
/// When the base and the path do not make a URI.
pub fn uri(base: &Uri, protocol: Protocol, signal: Signal) -> Result<Uri, ::http::Error> {
    let path = match (protocol, signal) {
        (Protocol::Grpc, Signal::Traces) => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        (Protocol::Grpc, Signal::Metrics) => {
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
        }
        (Protocol::Grpc, Signal::Logs) => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        (Protocol::Http, Signal::Traces) => "/v1/traces",
        (Protocol::Http, Signal::Metrics) => "/v1/metrics",
        (Protocol::Http, Signal::Logs) => "/v1/logs",
    };
    let mut parts = base.clone().into_parts();
    let root = base.path().trim_end_matches('/');
    parts.path_and_query = Some(format!("{root}{path}").parse().map_err(::http::Error::from)?);
    Ok(Uri::from_parts(parts)?)
}
