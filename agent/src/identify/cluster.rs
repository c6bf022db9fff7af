//! This node as the API server knows it: uid, provider's instance id, topology labels.
//!
//! In: a watch of one node object. Out: the [`ResourceAttributes`] of this node, again whenever they change.
//! This room knows no span, no OTLP, and no other node.

use std::{collections::BTreeMap, path::PathBuf};

/// Who this node is and what the user adds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether to watch the node object. Without it the attributes are those known locally.
    pub enabled: bool,
    /// `k8s.node.name`; the chart sets it by the downward API. Without it the host's name, as the kubelet has it.
    pub node_name: Option<String>,
    /// `k8s.cluster.name`; Kubernetes itself does not know it.
    pub cluster_name: Option<String>,
    /// Out of the cluster: a kubeconfig file instead of the service account.
    pub kubeconfig: Option<PathBuf>,
    /// Added to every resource that does not have the key.
    pub resource_attributes: BTreeMap<String, String>,
}
