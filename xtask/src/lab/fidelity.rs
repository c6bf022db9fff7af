//! `cargo xtask lab fidelity`: the agent's spans of calls beside the components' own.
//!
//! In: a running lab with native tracing. Out: for each kind of call how many of the component's
//! spans have one of the agent's, and how far their durations are apart. For that time the agent
//! exports all calls, also those that the components report.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{
    account::{self, COMPONENTS},
    agent, cluster,
    node::Node,
    patience, recorder,
    spans::{self, Span},
    twins::{self, Pair, Twins},
    world,
};

/// Pods that start at once: as many as when the prototype was measured.
const PODS: u8 = 16;

/// One kind of call; times in nanoseconds.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    /// Spans of the component.
    pub(crate) native: usize,
    /// Those of which the agent has one too.
    pub(crate) matched: usize,
    /// How long the calls take, as the component says.
    pub(crate) duration: Option<u64>,
    /// How far the two durations are apart.
    pub(crate) median: Option<u64>,
    pub(crate) max: Option<u64>,
    /// The median difference of the prototype.
    pub(crate) prototype: Option<u64>,
}

/// Starts and ends pods, and compares all calls of that time.
pub(crate) fn measure(node: &Node) -> anyhow::Result<Vec<Line>> {
    let modes = COMPONENTS.map(|(_, service)| format!("config.correlate.calls.modes.{service}=always"));
    agent::with(node, &modes, || {
        account::await_traced(&node.space.ground)?;
        account::await_components(&node.space.ground)?;
        let begin = now(node)?;
        churn(node)?;
        let end = now(node)?;
        let arrived = await_all_until(node, end)?;
        let within = |span: &Span| begin <= span.begin && span.end <= end;
        Ok(lines(&arrived, within))
    })
}

/// For a program to read.
pub(crate) fn as_json(lines: &[Line]) -> Value {
    let line = |line: &Line| {
        let Line {
            service,
            name,
            native,
            matched,
            duration,
            median,
            max,
            prototype,
        } = line;
        json!({
            "service": service, "name": name, "native": native, "matched": matched,
            "duration": duration, "median": median, "max": max, "prototype": prototype,
        })
    };
    lines.iter().map(line).collect()
}

/// Pods come, are ready, and go.
fn churn(node: &Node) -> anyhow::Result<()> {
    let values = [
        ("PODS", PODS.to_string()),
        ("IMAGE", format!("{}/demo:1", world::REGISTRY)),
    ];
    cluster::apply(node, "fidelity.yaml", &values)?;
    cluster::rolled_out(node, "default", "deployment/fidelity")?;
    node.space
        .run(&["kubectl", "delete", "deployment", "fidelity", "--wait=false"])?;
    cluster::wait(
        node,
        &["--for=delete", "pod", "--selector=app=fidelity"],
        Duration::from_mins(2),
    )
}

/// Each sender keeps its order: once a later span of each has arrived, the earlier ones have.
fn await_all_until(node: &Node, end: u64) -> anyhow::Result<Vec<Span>> {
    patience::until("later spans of everybody", Duration::from_mins(1), || {
        let arrived = spans::of(&recorder::read(&node.space.ground.dir.join(recorder::FILE))?);
        let later: HashSet<(&str, bool)> = arrived
            .iter()
            .filter(|span| span.begin > end)
            .map(|span| (&*span.service, span.own))
            .collect();
        for (_, service) in COMPONENTS {
            if !later.contains(&(service, false)) {
                bail!("none of {service} yet");
            }
        }
        if !later.iter().any(|(_, own)| *own) {
            bail!("none of the agent yet");
        }
        Ok(arrived)
    })
}

fn lines(arrived: &[Span], within: impl Fn(&Span) -> bool) -> Vec<Line> {
    let line = |Twins { kind, pairs }: Twins<'_>| {
        let is_compared = |pair: &Pair<'_>| pair.expected && within(pair.native);
        let pairs: Vec<_> = pairs.into_iter().filter(is_compared).collect();
        let length = |span: &Span| span.end.saturating_sub(span.begin);
        let mut durations: Vec<_> = pairs.iter().map(|pair| length(pair.native)).collect();
        let mut differences: Vec<_> = pairs
            .iter()
            .filter_map(|pair| Some(length(pair.native).abs_diff(length(pair.own?))))
            .collect();
        durations.sort_unstable();
        differences.sort_unstable();
        Line {
            service: kind.service,
            name: kind.native,
            native: durations.len(),
            matched: differences.len(),
            duration: median(&durations),
            median: median(&differences),
            max: differences.last().copied(),
            prototype: prototype(kind.service, kind.native),
        }
    };
    twins::find(arrived).into_iter().map(line).collect()
}

fn median(sorted: &[u64]) -> Option<u64> {
    sorted.get(sorted.len() / 2).copied()
}

/// What the prototype had, with the same number of pods at once; but its calls were told by when they were, except
/// for etcd's own work.
fn prototype(service: &str, name: &str) -> Option<u64> {
    let micros = match (service, name.rsplit('/').next()?) {
        ("kubelet", "RunPodSandbox") => 62,
        ("kubelet", "CreateContainer") => 76,
        ("kubelet", "StartContainer") => 37,
        ("kubelet", "syncPod") => 19,
        ("containerd", "RunPodSandbox") => 73,
        ("containerd", "CreateContainer") => 61,
        ("containerd", "StartContainer") => 54,
        ("apiserver", "Txn") => 57,
        ("apiserver", "Range") => 119,
        ("etcd", "Txn") => 418,
        ("etcd", "Range") => 269,
        ("etcd", "txn") => 24,
        ("etcd", "range") => 17,
        _ => return None,
    };
    Some(micros * 1_000)
}

/// The clock that all components of the node read.
fn now(node: &Node) -> anyhow::Result<u64> {
    let said = node.space.run(&["date", "+%s%N"])?;
    said.trim()
        .parse()
        .with_context(|| format!("date says `{}`", said.trim()))
}
