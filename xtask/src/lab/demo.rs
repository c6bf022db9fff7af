//! The demonstration: a pod starts, and its native traces arrive.
//!
//! In: a running cluster with innerspan. Out: the traces of the pod's start that cross from one
//! component to another, complete, as the collector received them.

use std::time::Duration;

use anyhow::Context as _;

use super::{
    cluster,
    node::Node,
    patience, print, recorder,
    spans::{self, Tree},
    world,
};

/// Starts a Deployment and waits until its pod is Ready; returns the pod's name.
pub(crate) fn start(node: &Node) -> anyhow::Result<String> {
    let image = format!("{}/demo:1", world::REGISTRY);
    cluster::apply(node, "demo/deployment.yaml", &[("IMAGE", image)])?;
    cluster::rolled_out(node, "default", "deployment/demo")?;
    let words = ["kubectl", "get", "pods", "--selector=app=demo", "--output=name"];
    let pods = node.space.run(&words)?;
    let pod = pods.lines().next().context("the demo has no pod")?;
    Ok(pod.trim_start_matches("pod/").to_owned())
}

/// Waits for the two traces and prints them.
pub(crate) fn show(node: &Node, pod: &str) -> anyhow::Result<()> {
    for (client, server) in [("apiserver", "etcd"), ("kubelet", "containerd")] {
        let tree = await_tree(node, pod, client, server)?;
        print::waterfall(&format!("\n{client} > {server}"), &tree);
    }
    Ok(())
}

fn await_tree(node: &Node, pod: &str, client: &str, server: &str) -> anyhow::Result<Tree> {
    let what = format!("a complete trace {client} > {server} of pod {pod} at the collector");
    // The components send every five seconds, and a trace comes in parts.
    patience::until(&what, Duration::from_mins(1), || {
        let arrived = spans::of(&recorder::read(&node.space.ground.dir.join(recorder::FILE))?);
        spans::tree(&arrived, pod, client, server)
            .with_context(|| format!("{} spans arrived, and the trace is not whole", arrived.len()))
    })
}
