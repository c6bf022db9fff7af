//! The demonstration: a pod starts, and its traces arrive.
//!
//! In: a running cluster with innerspan. Out: the traces of the pod's start that cross from one
//! component to another, and the one of the start itself, complete, as the collector received them.

use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{
    agent,
    boot::Native,
    cluster,
    components::hex,
    jaeger,
    node::Node,
    patience, print, recorder,
    spans::{self, Span, Tree},
    starts, world,
};

/// The node on which the pod starts: the last one, so that the control plane is elsewhere if it can be.
fn host(node: &Node) -> anyhow::Result<String> {
    let nodes = Node::all(&node.space.ground);
    nodes.last().map(Node::name).context("the lab has no node")
}

/// Starts a Deployment and waits until its pod is Ready; returns the pod's name.
pub(crate) fn start(node: &Node) -> anyhow::Result<String> {
    let values = [
        ("IMAGE", format!("{}/demo:1", world::REGISTRY)),
        ("NODE", host(node)?),
    ];
    cluster::apply(node, "demo/deployment.yaml", &values)?;
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

/// Calls of one component that another one serves, by the phases that they are, with what serves them: all of it is seen
/// inside the components where they do not trace themselves.
const SERVED: [(&str, &str, &str); 5] = [
    ("sandbox", "containerd", "runtime.v1.RuntimeService/RunPodSandbox"),
    (
        "create container",
        "containerd",
        "runtime.v1.RuntimeService/CreateContainer",
    ),
    (
        "start container",
        "containerd",
        "runtime.v1.RuntimeService/StartContainer",
    ),
    ("create", "etcd", "etcd txn"),
    ("bind", "etcd", "etcd txn"),
];

/// Waits for the trace of the pod's start, whole, and shows it as a user would see it: the agent of its node draws it.
pub(crate) fn show_start(node: &Node, pod: &str, native: Native) -> anyhow::Result<()> {
    let words = ["kubectl", "get", "pod", pod, "--output=jsonpath={.metadata.uid}"];
    let id = node.space.run(&words)?.replace('-', "");
    let what = format!("the whole trace {id} of pod {pod}'s start at the collector");
    let host = host(node)?;
    let mut phases = starts::phases(host != node.name());
    phases.extend(["etcd txn", "observe"]);
    // It is written some seconds after the pod is Ready.
    let tree = patience::until(&what, Duration::from_mins(1), || {
        let arrived = spans::of(&recorder::read(&node.space.ground.dir.join(recorder::FILE))?);
        let of_start = |span: &&Span| hex(&span.trace) == id;
        let spans: Vec<Span> = arrived.iter().filter(of_start).cloned().collect();
        let missing = |phase: &&str| !spans.iter().any(|span| span.name == *phase);
        if let Some(phase) = phases.iter().copied().find(missing) {
            bail!("no {phase} among {} spans", spans.len());
        }
        if native == Native::Off {
            let unserved = |(phase, service, call): &&(&str, &str, &str)| {
                let mut phases = spans.iter().filter(|span| span.name == *phase);
                phases.any(|phase| {
                    let mut below = spans.iter().filter(|span| span.parent == phase.id);
                    !below.any(|span| span.service == *service && span.name == *call)
                })
            };
            if let Some((phase, service, call)) = SERVED.iter().find(unserved) {
                bail!("a {phase} has no {call} of {service} below it");
            }
        }
        spans::whole(&spans).with_context(|| format!("{} spans are no one tree", spans.len()))
    })?;
    jaeger::await_trace(node, &tree)?;
    let name = format!("default/{pod}");
    let words = match native {
        Native::On => &["trace", name.as_str()][..],
        Native::Off => &["trace", name.as_str(), "--calls"],
    };
    let (command, picture) = agent::ask(node, &host, words)?;
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
