//! A node object turned into resource attributes. Pure: values in, values out.

use kube::{ResourceExt, core::Object};
use serde::{Deserialize, Serialize};

use super::super::{Config, Host};
use crate::model::{ResourceAttributes, attr};

/// The node object as far as anything is read from it; a full one lists every image of the node.
pub(super) type Node = Object<Spec, Status>;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(rename = "providerID")]
    provider_id: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    node_info: NodeSystem,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct NodeSystem {
    #[serde(rename = "machineID")]
    machine_id: String,
}

/// Compute Engine's numeric id, which GKE puts there; the provider id has the instance's name instead.
const GCE_INSTANCE_ID: &str = "container.googleapis.com/instance_id";

/// The attributes of this node; what the user adds goes before what is found.
pub(super) fn attributes(config: &Config, host: &Host, node: Option<&Node>) -> ResourceAttributes {
    let mut attributes = ResourceAttributes::default();
    attributes.set(attr::K8S_NODE_NAME, config.node_name(host));
    attributes.set(
        attr::K8S_CLUSTER_NAME,
        config.cluster_name.as_deref().unwrap_or_default(),
    );
    attributes.set(attr::HOST_NAME, host.name.as_str());
    attributes.set(attr::HOST_ID, host.machine_id.as_str());
    if let Some(node) = node {
        let label = |key: &str| node.labels().get(key).map_or("", String::as_str);
        attributes.set(
            attr::K8S_NODE_UID,
            node.metadata.uid.as_deref().unwrap_or_default(),
        );
        attributes.set(attr::HOST_NAME, label("kubernetes.io/hostname"));
        attributes.set(attr::CLOUD_REGION, label("topology.kubernetes.io/region"));
        attributes.set(
            attr::CLOUD_AVAILABILITY_ZONE,
            label("topology.kubernetes.io/zone"),
        );
        attributes.set(attr::HOST_ID, host_id(node));
    }
    for (key, value) in &config.resource_attributes {
        attributes.set(key, value);
    }
    attributes
}

/// The instance id that a cloud gave, as the semantic conventions ask; else the machine id.
///
/// An Azure provider id names the machine and does not hold its id, so there it is the machine id too.
fn host_id(node: &Node) -> &str {
    let machine_id = node
        .status
        .as_ref()
        .map_or("", |status| &status.node_info.machine_id);
    let instance = match node.spec.provider_id.split_once("://") {
        Some(("aws", place)) => place.rsplit('/').next().filter(|id| id.starts_with("i-")),
        Some(("gce", _)) => node.annotations().get(GCE_INSTANCE_ID).map(String::as_str),
        _ => None,
    };
    instance.unwrap_or(machine_id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn host_id_of(provider_id: &str) -> String {
        let node: Node = serde_json::from_value(json!({
            "metadata": { "annotations": { GCE_INSTANCE_ID: "4242" } },
            "spec": { "providerID": provider_id, "podCIDR": "10.0.0.0/24" },
            "status": { "nodeInfo": { "machineID": "machine", "bootID": "boot" }, "images": [] },
        }))
        .unwrap();
        host_id(&node).to_owned()
    }

    #[test]
    fn a_host_id_is_the_instance_id_of_a_cloud_or_the_machine_id() {
        assert_eq!(
            host_id_of("aws:///us-east-1a/i-0123456789abcdef0"),
            "i-0123456789abcdef0"
        );
        assert_eq!(
            host_id_of("aws:///us-east-1a/1b2c/fargate-ip-10-0-0-1"),
            "machine"
        );
        assert_eq!(host_id_of("gce://project/europe-west1-b/gke-pool-1"), "4242");
        let azure =
            "azure:///subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm";
        assert_eq!(host_id_of(azure), "machine");
        assert_eq!(host_id_of("kind://docker/kind/kind-control-plane"), "machine");
        assert_eq!(host_id_of(""), "machine");
    }
}
