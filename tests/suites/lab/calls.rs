//! Calls that the agent sees inside of components: all of them, each once, with what they are about.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Deserialize;

use super::cluster::{Lab, Span, until};

/// Pods of each of two Deployments.
const REPLICAS: usize = 50;
pub(super) const DEPLOYMENTS: [&str; 2] = ["left", "right"];

/// A call that the component reports is left to it.
pub(super) fn none_is_exported_twice(lab: &Lab) {
    assert_eq!(lab.account().repeated, 0);
}

/// One kind of call.
#[derive(Debug, Deserialize)]
struct Fidelity {
    service: String,
    name: String,
    native: u64,
    matched: u64,
    median: Option<u64>,
    max: Option<u64>,
}

/// The two durations of a call depend on how busy the machine is, so they are only shown.
#[expect(
    clippy::print_stdout,
    reason = "figures of this machine, for those who want to see them"
)]
pub(super) fn each_is_seen_as_the_component_sees_it(lab: &Lab) {
    let kinds: Vec<Fidelity> = serde_json::from_str(&lab.said(&["fidelity", "--json"])).unwrap();
    for kind in kinds.iter().filter(|kind| kind.native > 0) {
        let Fidelity {
            service,
            name,
            native,
            matched,
            median,
            max,
        } = kind;
        let micros = |nanos: &Option<u64>| nanos.unwrap_or_default() / 1_000;
        println!(
            "{service} {name}: {matched} of {native}, {} us apart, {} at most",
            micros(median),
            micros(max)
        );
    }
    for (service, name) in [
        ("kubelet", "syncPod"),
        ("kubelet", "runtime.v1.RuntimeService/RunPodSandbox"),
        ("kubelet", "runtime.v1.RuntimeService/StopContainer"),
        ("kubelet", "runtime.v1.ImageService/PullImage"),
        ("containerd", "runtime.v1.RuntimeService/RunPodSandbox"),
        ("containerd", "runtime.v1.RuntimeService/StopContainer"),
        ("containerd", "runtime.v1.ImageService/PullImage"),
        ("apiserver", "etcdserverpb.KV/Txn"),
        ("apiserver", "etcdserverpb.KV/Range"),
        ("etcd", "etcdserverpb.KV/Txn"),
        ("etcd", "etcdserverpb.KV/Range"),
        ("etcd", "txn"),
        ("etcd", "range"),
    ] {
        let is_asked = |kind: &&Fidelity| kind.service == service && kind.name == name;
        assert!(
            kinds.iter().find(is_asked).unwrap().native > 0,
            "{name} of {service}"
        );
    }
    let native: u64 = kinds.iter().map(|kind| kind.native).sum();
    let matched: u64 = kinds.iter().map(|kind| kind.matched).sum();
    assert!(
        matched * 1_000 >= native * 999,
        "{matched} of {native}: {kinds:?}"
    );
}

/// A hundred pods at once: what is read in the memory of components is what the API server says.
pub(super) fn all_name_their_pods_and_owners(lab: &Lab) {
    for name in DEPLOYMENTS {
        let replicas = format!("--replicas={REPLICAS}");
        let words = ["kubectl", "create", "deployment", name, &replicas];
        lab.told(&[&words[..], &["--image=registry.lab:5000/pause:3.10.2"]].concat());
    }
    for name in DEPLOYMENTS {
        lab.rolled_out("default", &format!("deployment/{name}"));
    }
    let selector = format!("--selector=app in ({})", DEPLOYMENTS.join(","));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let pods: BTreeMap<String, BTreeSet<String>> = lab
        .objects(&["pods", &selector])
        .iter()
        .map(|pod| &pod["metadata"])
        .map(|pod| (text(&pod["name"]), [text(&pod["uid"])].into()))
        .collect();
    assert_eq!(pods.len(), REPLICAS * DEPLOYMENTS.len());
    let names = |kind: &str| -> BTreeSet<String> {
        let objects = lab.objects(&[kind, "--namespace=default"]);
        objects
            .iter()
            .map(|object| text(&object["metadata"]["name"]))
            .collect()
    };
    let (deployments, replica_sets) = (names("deployments"), names("replicasets"));
    until("every pod in every component", Duration::from_mins(1), || {
        let spans = lab.own_spans();
        let is_complete = ["kube-scheduler", "kubelet", "containerd"]
            .iter()
            .all(|service| named(&spans, service).keys().eq(pods.keys()));
        if !is_complete {
            return None;
        }
        for service in ["kube-scheduler", "kubelet", "containerd"] {
            assert_eq!(named(&spans, service), pods, "{service}");
        }
        assert_eq!(
            owners(&spans, "syncDeployment", "k8s.deployment.name"),
            deployments
        );
        assert_eq!(
            owners(&spans, "syncReplicaSet", "k8s.replicaset.name"),
            replica_sets
        );
        Some(())
    });
}

/// The UIDs that a component's spans have for each pod of the Deployments.
fn named(spans: &[Span], service: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut uids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.service == service) {
        let (Some(name), Some(uid)) = (span.attribute("k8s.pod.name"), span.attribute("k8s.pod.uid")) else {
            continue;
        };
        if name
            .split('-')
            .next()
            .is_some_and(|owner| DEPLOYMENTS.contains(&owner))
        {
            uids.entry(name.to_owned()).or_default().insert(uid.to_owned());
        }
    }
    uids
}

/// The owners in the default namespace that the controller manager's spans of this name are about.
fn owners(spans: &[Span], name: &str, key: &str) -> BTreeSet<String> {
    spans
        .iter()
        .filter(|span| span.service == "kube-controller-manager" && span.name == name)
        .filter(|span| span.attribute("k8s.namespace.name") == Some("default"))
        .map(|span| span.attribute(key).unwrap().to_owned())
        .collect()
}
