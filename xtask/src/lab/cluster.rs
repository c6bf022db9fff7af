//! Kubernetes on the nodes: what kubeadm does, and the objects of the lab.
//!
//! In: a started node. Out: a Ready node, and applied manifests whose pods run.

use std::{path::PathBuf, thread, time::Duration};

use anyhow::Context as _;

use super::{
    node::{self, Node},
    patience, template, world,
};
use crate::place;

/// `kubeadm init` on the first node.
pub(crate) fn init(node: &Node) -> anyhow::Result<()> {
    let components = &node.space.ground.components;
    let config = node.dir().join("etc/kubernetes/kubeadm.yaml");
    template::install(
        &lab("kubeadm.yaml"),
        &config,
        &[
            ("NODE_NAME", &node.name()),
            ("NODE_ADDRESS", &node::address(node.number).to_string()),
            ("REGISTRY", world::REGISTRY),
            ("KUBERNETES", components.version("kubernetes")),
            ("ETCD", components.version("etcd")),
            ("COREDNS", components.version("coredns")),
        ],
    )?;
    kubeadm(node, "init")?;
    await_ready(node, node)
}

/// `kubeadm join` on another node.
pub(crate) fn join(first: &Node, node: &Node) -> anyhow::Result<()> {
    let told = first
        .space
        .run(&["kubeadm", "token", "create", "--print-join-command"])?;
    let after = |flag: &str| {
        let mut words = told.split_ascii_whitespace();
        words
            .find(|word| *word == flag)
            .and_then(|_| words.next())
            .with_context(|| format!("kubeadm's way to join has no {flag}: {told}"))
    };
    template::install(
        &lab("kubeadm-join.yaml"),
        &node.dir().join("etc/kubernetes/kubeadm.yaml"),
        &[
            ("NODE_NAME", &node.name()),
            ("NODE_ADDRESS", &node::address(node.number).to_string()),
            ("CONTROL_PLANE", &node::address(first.number).to_string()),
            ("TOKEN", after("--token")?),
            ("CA_HASH", after("--discovery-token-ca-cert-hash")?),
        ],
    )?;
    kubeadm(node, "join")?;
    await_ready(first, node)
}

/// A verb of kubeadm and the kubelet together, because each waits for the other.
fn kubeadm(node: &Node, verb: &str) -> anyhow::Result<()> {
    let words = ["kubeadm", verb, "--config=/etc/kubernetes/kubeadm.yaml"];
    let (kubelet, kubeadm) = thread::scope(|scope| {
        let kubelet = scope.spawn(|| node.start_kubelet());
        let kubeadm = node.space.run_within(&words, Duration::from_mins(5));
        (kubelet.join(), kubeadm)
    });
    kubeadm.map_err(|fault| fault.context(patience::tail(&node.log("kubelet"))))?;
    kubelet.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn await_ready(first: &Node, node: &Node) -> anyhow::Result<()> {
    let words = ["--for=condition=Ready", "node", &node.name()];
    wait(first, &words, Duration::from_mins(2))
        .map_err(|fault| fault.context(patience::tail(&node.log("kubelet"))))
}

/// Waits for the addons that kubeadm installs.
pub(crate) fn wait_for_addons(node: &Node) -> anyhow::Result<()> {
    rolled_out(node, "kube-system", "daemonset/kube-proxy")?;
    rolled_out(node, "kube-system", "deployment/coredns")
}

/// The collector and the trace backend behind it, as a user already has them.
pub(crate) fn install_observability(node: &Node) -> anyhow::Result<()> {
    let components = &node.space.ground.components;
    let image =
        |name: &str, family: &str| format!("{}/{name}:{}", world::REGISTRY, components.version(family));
    let values = [
        ("COLLECTOR", image("otelcol", "collector")),
        ("JAEGER", image("jaeger", "jaeger")),
        ("RECORDER", format!("{}:{}", world::ADDRESS, world::RECORDER)),
    ];
    apply(node, "observability.yaml", &values)?;
    rolled_out(node, "observability", "deployment/jaeger")?;
    rolled_out(node, "observability", "deployment/collector")
}

/// Applies a manifest of the lab.
pub(crate) fn apply(node: &Node, manifest: &str, values: &[(&str, String)]) -> anyhow::Result<()> {
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let filled = node.space.ground.dir.join("manifests").join(manifest);
    template::install(&lab(manifest), &filled, &values)?;
    let filled = filled.display().to_string();
    // The API server may be restarting with a new certificate or losing its first leader election.
    patience::until("the API server", Duration::from_secs(30), || {
        node.space.run(&["kubectl", "apply", "-f", &filled])
    })?;
    Ok(())
}

/// Waits until all pods of a workload run; else says what they are and what they said.
pub(crate) fn rolled_out(node: &Node, namespace: &str, workload: &str) -> anyhow::Result<()> {
    let words = [
        "kubectl",
        "-n",
        namespace,
        "rollout",
        "status",
        workload,
        "--timeout=120s",
    ];
    let Err(fault) = node.space.run_within(&words, Duration::from_secs(130)) else {
        return Ok(());
    };
    let look = |words: &[&str]| {
        let words: Vec<_> = ["kubectl", "-n", namespace]
            .iter()
            .chain(words)
            .copied()
            .collect();
        node.space
            .run(&words)
            .unwrap_or_else(|fault| format!("{fault:#}"))
    };
    let pods = look(&["get", "pods", "-o", "wide"]);
    let events = look(&["get", "events", "--sort-by=.lastTimestamp"]);
    let log = look(&["logs", workload, "--all-containers", "--tail=20"]);
    Err(fault).with_context(|| {
        format!(
            "{workload} in {namespace} is not running\n{pods}\n{events}\n{log}\nlogs: {}",
            node.space.ground.dir.join("logs").display()
        )
    })
}

/// Waits as `kubectl wait` does.
pub(crate) fn wait(node: &Node, condition: &[&str], within: Duration) -> anyhow::Result<()> {
    let timeout = format!("--timeout={}s", within.as_secs());
    let words: Vec<_> = ["kubectl", "wait"]
        .iter()
        .chain(condition)
        .copied()
        .chain([timeout.as_str()])
        .collect();
    node.space.run_within(&words, within + Duration::from_secs(10))?;
    Ok(())
}

fn lab(file: &str) -> PathBuf {
    place::root().join("tests/lab").join(file)
}
