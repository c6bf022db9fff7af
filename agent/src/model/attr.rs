//! Attributes: their keys, as the OpenTelemetry semantic conventions (1.44.0) name them, and their values.

use std::sync::Arc;

/// A key and its value.
pub type Attribute = (Arc<str>, Value);

/// What an attribute says; the kinds of OTLP's `AnyValue` that this agent makes.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Box<str>),
    Integer(i64),
    Number(f64),
    Flag(bool),
}

/// What an attribute says, where it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said<'a> {
    Text(&'a str),
    Integer(i64),
    Number(f64),
    Flag(bool),
}

impl Value {
    #[must_use]
    pub fn said(&self) -> Said<'_> {
        match self {
            Self::Text(text) => Said::Text(text),
            Self::Integer(integer) => Said::Integer(*integer),
            Self::Number(number) => Said::Number(*number),
            Self::Flag(flag) => Said::Flag(*flag),
        }
    }

    /// The value, if it is a text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Said<'_>> for Value {
    fn from(said: Said<'_>) -> Self {
        match said {
            Said::Text(text) => Self::Text(text.into()),
            Said::Integer(integer) => Self::Integer(integer),
            Said::Number(number) => Self::Number(number),
            Said::Flag(flag) => Self::Flag(flag),
        }
    }
}

pub const CLOUD_AVAILABILITY_ZONE: &str = "cloud.availability_zone";
pub const CLOUD_REGION: &str = "cloud.region";
pub const CONTAINER_ID: &str = "container.id";
pub const CONTAINER_IMAGE_NAME: &str = "container.image.name";
/// The key of an object in etcd; the conventions have no key for it.
pub const ETCD_KEY: &str = "etcd.key";
pub const HOST_ID: &str = "host.id";
pub const HOST_NAME: &str = "host.name";
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
pub const HTTP_ROUTE: &str = "http.route";
/// As the API server names it in its own spans.
pub const HTTP_TARGET: &str = "http.target";
/// The reasons for which a pod was not ready, as its status said them. The conventions have no key for this and what
/// follows.
pub const INNERSPAN_HELD_UP_BY: &str = "innerspan.held_up_by";
/// Seconds that an API request waited for etcd.
pub const INNERSPAN_ETCD_DURATION: &str = "innerspan.etcd.duration";
/// What a trace of a pod cannot show.
pub const INNERSPAN_INCOMPLETE: &str = "innerspan.incomplete";
/// How a story of a pod ended.
pub const INNERSPAN_OUTCOME: &str = "innerspan.outcome";
/// The kind of the controller that made a pod.
pub const INNERSPAN_OWNER_KIND: &str = "innerspan.owner.kind";
/// Of a span that is a phase of such a story, and no call inside one: its name.
pub const INNERSPAN_PHASE: &str = "innerspan.phase";
/// What is told of a pod: its start, its stop, or the restart of a container.
pub const INNERSPAN_STORY: &str = "innerspan.story";
/// Seconds by which a pod's creation time stamp, which has whole seconds, is before the write that made it; absent if
/// that write was not seen, so that everything is counted from the stamp.
pub const INNERSPAN_POD_START_CREATION_ROUNDING: &str = "innerspan.pod_start.creation_rounding";
/// Seconds from the creation of a pod until all its containers were seen running.
pub const INNERSPAN_POD_START_END_TO_END: &str = "innerspan.pod_start.end_to_end";
/// The same without pulls of images and init containers: SIG Scalability's pod startup latency.
pub const INNERSPAN_POD_START_SLI: &str = "innerspan.pod_start.sli";
pub const K8S_CLUSTER_NAME: &str = "k8s.cluster.name";
pub const K8S_CONTAINER_NAME: &str = "k8s.container.name";
pub const K8S_NAMESPACE_NAME: &str = "k8s.namespace.name";
pub const K8S_NODE_NAME: &str = "k8s.node.name";
pub const K8S_NODE_UID: &str = "k8s.node.uid";
pub const K8S_POD_NAME: &str = "k8s.pod.name";
pub const K8S_POD_UID: &str = "k8s.pod.uid";
/// As SDKs mark the series of all that their limit left no other for.
pub const OTEL_METRIC_OVERFLOW: &str = "otel.metric.overflow";
pub const RPC_METHOD: &str = "rpc.method";
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// As containerd names it in its own spans; the conventions have no key for it.
pub const SANDBOX_ID: &str = "sandbox.id";
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
pub const SERVICE_NAME: &str = "service.name";
/// The next three as the collector's spanmetrics connector names them; the conventions have no keys for them.
pub const SPAN_KIND: &str = "span.kind";
pub const SPAN_NAME: &str = "span.name";
pub const STATUS_CODE: &str = "status.code";
pub const URL_PATH: &str = "url.path";
