//! The configuration as it is written: one type for each section, named, documented and with its defaults.
//!
//! `deploy/config.md` is made from these types and their comments. What they hold is only well-formed;
//! whether it makes sense is for `check` to say.

#![expect(
    clippy::struct_field_names,
    reason = "fields have the names that the file has, where a section's name is not in front of them"
)]

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Size, Time};
use crate::{ingest::probe::go::catalogue, model::ByteSize};

/// One YAML file; every section and every setting may be left out but the endpoint's address.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Config {
    pub(super) ingest: Ingest,
    pub(super) identify: Identify,
    pub(super) correlate: Correlate,
    pub(super) export: Export,
    pub(super) pipeline: Pipeline,
    pub(super) admin: Admin,
    pub(super) telemetry: Telemetry,
}

/// What reaches this node's agent.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ingest {
    pub(super) otlp: Otlp,
    pub(super) probe: Probe,
}

/// OTLP as the components send it.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Otlp {
    /// Where to take OTLP/gRPC: `address:port` or `unix:///path/of/socket`.
    pub(super) grpc: Vec<String>,
    /// Where to take OTLP/HTTP (`/v1/traces`, `/v1/metrics`, `/v1/logs`; protobuf or JSON): as for `grpc`.
    pub(super) http: Vec<String>,
    /// Of one request, before and after decompression; a larger one is refused.
    pub(super) max_message_size: Size,
    /// Of all requests being read at one time; senders wait beyond it.
    pub(super) max_in_flight: Size,
    /// From a request's first byte to its last.
    pub(super) read_timeout: Time,
}

/// What eBPF programs see inside the components. Needs Linux 6.6 and the capabilities BPF, PERFMON and `SYS_PTRACE`, or
/// an older Linux and `SYS_ADMIN` besides; without them the agent does all the rest.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Probe {
    /// Whether to load the programs.
    pub(super) enabled: bool,
    /// Further Go functions to trace, beside those that the agent knows. An entry for a component that it knows adds
    /// to that one.
    pub(super) services: Vec<catalogue::raw::Service>,
}

/// Whose it is.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Identify {
    pub(super) cluster: Cluster,
}

/// This node and its pods as the API server knows them. A key that a sender has set itself is never overridden.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cluster {
    /// Whether to watch this node's object for its uid, provider id and topology labels, and the pods that are bound
    /// to it for the states that they go through. Without it the node has the attributes that are known locally.
    pub(super) enabled: bool,
    /// `k8s.node.name`, and the node whose objects to watch. `NODE_NAME` sets it if it is left out here; without
    /// either it is the host's name.
    pub(super) node_name: String,
    /// `k8s.cluster.name`, which Kubernetes itself does not know.
    pub(super) cluster_name: String,
    /// A kubeconfig file; empty for the pod's service account.
    pub(super) kubeconfig: String,
    /// Further attributes for every resource. `OTEL_RESOURCE_ATTRIBUTES` adds the keys that are left out here.
    pub(super) resource_attributes: BTreeMap<String, String>,
}

/// What it means.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Correlate {
    pub(super) calls: Calls,
    pub(super) metrics: Metrics,
    pub(super) span_metrics: SpanMetrics,
}

/// Which calls of functions become spans.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Calls {
    /// By `service.name` of the component: `auto` leaves a call to the component as long as that reports it itself,
    /// and speaks for it within ten seconds when it falls silent; with `always` all calls become spans, with `off`
    /// none. `auto` for those that are not named.
    pub(super) modes: BTreeMap<String, Mode>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Auto,
    Always,
    Off,
}

/// What is measured of the components: spans, see below, and the durations of the functions that are traced. It goes to
/// the endpoints that take metrics, and is on `/metrics`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Metrics {
    /// Between two exports of all series.
    pub(super) interval: Time,
}

/// `traces.span.metrics.calls` and `traces.span.metrics.duration` of native spans and of the agent's own, in the form of
/// the collector's spanmetrics connector, in seconds.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SpanMetrics {
    /// Whether spans are counted.
    pub(super) enabled: bool,
    /// Attributes of spans to count by, beside `service.name`, `span.name`, `span.kind` and `status.code`.
    pub(super) dimensions: Vec<String>,
    /// Past it all that is new counts as one series with `otel.metric.overflow`; each takes about a kilobyte.
    pub(super) max_series: usize,
}

/// How it leaves.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Export {
    /// The receivers of OTLP, at least one. A signal goes to every endpoint that lists it.
    pub(super) endpoints: Vec<Endpoint>,
}

/// One receiver of OTLP.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Endpoint {
    /// Its name in logs and in the `endpoint` label of metrics: lower-case letters, digits, `-` and `_`.
    pub(super) name: String,
    /// Its URL: `http://` for plain text, `https://` for TLS.
    pub(super) endpoint: String,
    /// OTLP over gRPC, or protobuf over HTTP.
    pub(super) protocol: Protocol,
    /// HTTP only: whether `/v1/traces`, `/v1/metrics` or `/v1/logs` is appended to the URL's path. Without it
    /// the URL is used as it is, for one signal.
    pub(super) append_signal_path: bool,
    /// What goes there.
    pub(super) signals: Vec<Signal>,
    /// Of each request. `zstd` is smaller and faster where the receiver takes it.
    pub(super) compression: Compression,
    /// Sent with every request.
    pub(super) headers: BTreeMap<String, Secret>,
    /// A file of further headers, one `name: value` a line, for example from a mounted Secret. Read again when it changes.
    pub(super) headers_file: String,
    /// Of one request, from connecting to its answer.
    pub(super) timeout: Time,
    /// Requests under way at one time, per signal.
    pub(super) concurrency: usize,
    pub(super) tls: ClientTls,
    pub(super) batch: Batch,
    pub(super) queue: Queue,
    pub(super) retry: Retry,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    Grpc,
    Http,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compression {
    Gzip,
    Zstd,
    None,
}

/// For an `https://` endpoint.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ClientTls {
    /// PEM file of the authorities to trust; empty for the system's. Read again when it changes, as the other two are.
    pub(super) ca_file: String,
    /// PEM file of the client's certificate chain, with `key_file`.
    pub(super) cert_file: String,
    /// PEM file of the client's private key.
    pub(super) key_file: String,
}

/// A batch leaves when it is large enough or old enough.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Batch {
    /// Before compression; keep it below the receiver's message limit (4 MiB is usual).
    pub(super) max_size: Size,
    /// Of its oldest item.
    pub(super) max_age: Time,
}

/// What waits for the endpoint, in memory.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Queue {
    /// Before compression, batches under way included; at least `ingest.otlp.max_message_size`.
    pub(super) max_size: Size,
    /// `refuse`: the sender is asked to keep its data and try again. `drop`: taken for the other endpoints,
    /// dropped for this one, and counted.
    pub(super) when_full: WhenFull,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum WhenFull {
    Refuse,
    Drop,
}

/// Exponential backoff with jitter between tries of one batch; the receiver's own wish goes before.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Retry {
    /// Before the second try.
    pub(super) initial_delay: Time,
    /// Between two tries, at most.
    pub(super) max_delay: Time,
    /// After which a batch is dropped and counted; `null` tries until the endpoint takes it.
    pub(super) give_up_after: Option<Time>,
}

/// How the process ends.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Pipeline {
    /// From SIGTERM to the end; what is not delivered by then is dropped and counted.
    pub(super) shutdown_grace: Time,
}

/// `/metrics`, `/traces`, `/livez`, `/readyz` and `/startupz`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    /// Where to answer: `address:port`.
    pub(super) address: String,
    /// A file with the bearer token that `/metrics` and `/traces` ask for, read again when it changes; empty for none.
    pub(super) bearer_token_file: String,
    pub(super) tls: ServerTls,
}

/// Serves TLS if both files are named; they are read again when they change.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerTls {
    /// PEM file of the server's certificate chain, with `key_file`.
    pub(super) cert_file: String,
    /// PEM file of the server's private key.
    pub(super) key_file: String,
}

/// What the process says of itself.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Telemetry {
    pub(super) log: Log,
}

/// Logs, on standard error.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    /// A level, alone or by module: `info`, `warn,innerspan::export=debug`. `RUST_LOG` sets it if it is left
    /// out here.
    pub(super) level: String,
    /// Lines for people, or one JSON object a line.
    pub(super) format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// A value that nothing shows.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Secret(pub(super) String);

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("")
    }
}

// === Defaults ===

impl Default for Probe {
    fn default() -> Self {
        Self {
            enabled: true,
            services: Vec::new(),
        }
    }
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            grpc: vec!["127.0.0.1:4317".to_owned()],
            http: vec!["127.0.0.1:4318".to_owned()],
            max_message_size: Size(ByteSize::mib(4)),
            max_in_flight: Size(ByteSize::mib(16)),
            read_timeout: Time(Duration::from_secs(10)),
        }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            enabled: true,
            node_name: String::new(),
            cluster_name: String::new(),
            kubeconfig: String::new(),
            resource_attributes: BTreeMap::new(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            interval: Time(Duration::from_mins(1)),
        }
    }
}

impl Default for SpanMetrics {
    fn default() -> Self {
        Self {
            enabled: true,
            dimensions: Vec::new(),
            max_series: 2000,
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            endpoint: String::new(),
            protocol: Protocol::Grpc,
            append_signal_path: true,
            signals: vec![Signal::Traces, Signal::Metrics, Signal::Logs],
            compression: Compression::Gzip,
            headers: BTreeMap::new(),
            headers_file: String::new(),
            timeout: Time(Duration::from_secs(10)),
            concurrency: 4,
            tls: ClientTls::default(),
            batch: Batch::default(),
            queue: Queue::default(),
            retry: Retry::default(),
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            max_size: Size(ByteSize::mib(1)),
            max_age: Time(Duration::from_millis(200)),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            max_size: Size(ByteSize::mib(16)),
            when_full: WhenFull::Refuse,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial_delay: Time(Duration::from_secs(1)),
            max_delay: Time(Duration::from_secs(30)),
            give_up_after: None,
        }
    }
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            shutdown_grace: Time(Duration::from_secs(20)),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:9464".to_owned(),
            bearer_token_file: String::new(),
            tls: ServerTls::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}
