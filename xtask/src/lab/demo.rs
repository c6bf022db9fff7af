//! The demonstration: a pod starts, and its traces arrive.
//!
//! In: a running cluster with innerspan. Out: the traces of the pod's start that cross from one
//! component to another, and the one of the start itself, complete, as the collector received them.

use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{
    agent, cluster,
    components::hex,
    jaeger,
    node::Node,
    patience, print, recorder,
    spans::{self, Span, Tree},
    starts, world,
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

/// Waits for the two traces, prints them, and looks for them where a user would.
pub(crate) fn show(node: &Node, pod: &str) -> anyhow::Result<()> {
    for (client, server) in [("apiserver", "etcd"), ("kubelet", "containerd")] {
        let tree = await_tree(node, pod, client, server)?;
        print::waterfall(&format!("\n{client} > {server}"), &tree);
        jaeger::await_trace(node, &tree)?;
    }
    Ok(())
}

/// Waits for the trace of the pod's start, whole, and shows it as a user would see it: the agent of its node draws it.
pub(crate) fn show_start(node: &Node, pod: &str) -> anyhow::Result<()> {
    let words = ["kubectl", "get", "pod", pod, "--output=jsonpath={.metadata.uid}"];
    let id = node.space.run(&words)?.replace('-', "");
    let what = format!("the whole trace {id} of pod {pod}'s start at the collector");
    // It is written some seconds after the pod is Ready.
    let tree = patience::until(&what, Duration::from_mins(1), || {
        let arrived = spans::of(&recorder::read(&node.space.ground.dir.join(recorder::FILE))?);
        let of_start = |span: &&Span| hex(&span.trace) == id;
        let spans: Vec<Span> = arrived.iter().filter(of_start).cloned().collect();
        let missing = |phase: &&&str| !spans.iter().any(|span| span.name == **phase);
        if let Some(phase) = starts::PHASES
            .iter()
            .chain(&["etcd txn", "observe"])
            .find(missing)
        {
            bail!("no {phase} among {} spans", spans.len());
        }
        spans::whole(&spans).with_context(|| format!("{} spans are no one tree", spans.len()))
    })?;
    jaeger::await_trace(node, &tree)?;
    let (command, picture) = agent::ask(node, &["trace", &format!("default/{pod}")])?;
    println!("\n$ {command}\n{picture}");
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
