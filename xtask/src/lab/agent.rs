//! innerspan itself, installed as its users install it.
//!
//! In: the image and the chart of this checkout. Out: a `DaemonSet` that is Ready on every node.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use super::{cluster, node::Node, patience, space::Space, world};
use crate::{image, place};

const IMAGE: &str = "innerspan:lab";
const NAMESPACE: &str = "innerspan";
/// Where the agent finds the collector: the one value that its chart asks for.
pub(crate) const ENDPOINT: &str = "http://collector.observability:4317";

/// The command line of a node's agent, in its own container: what it was, and what it said.
pub(crate) fn ask(node: &Node, of: &str, arguments: &[&str]) -> anyhow::Result<(String, String)> {
    let selector = format!("--field-selector=spec.nodeName={of}");
    let words = [
        "kubectl",
        "-n",
        NAMESPACE,
        "get",
        "pods",
        &selector,
        "--output=name",
    ];
    let pods = node.space.run(&words)?;
    let pod = pods.lines().next().with_context(|| format!("no agent on {of}"))?;
    let words = ["kubectl", "-n", NAMESPACE, "exec", pod, "--", "/innerspan"];
    let words = [&words, arguments].concat();
    Ok((words.join(" "), node.space.run(&words)?))
}

/// Builds the image of this checkout, as it is shipped.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    image::build(IMAGE)
}

/// Puts the image into the lab's registry.
pub(crate) fn push(world: &Space, crane: &Path, archive: &Path) -> anyhow::Result<()> {
    let layout = world.ground.dir.join("image");
    let file = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    tar::Archive::new(file)
        .unpack(&layout)
        .with_context(|| format!("cannot unpack {}", archive.display()))?;
    world::push_layout(world, crane, &layout, IMAGE)
}

/// Installs or changes the release; `settings` are values of the chart besides the lab's own.
pub(crate) fn install(node: &Node, settings: &[String]) -> anyhow::Result<()> {
    let chart = place::root().join("deploy/chart").display().to_string();
    let mut words = vec!["helm", "upgrade", "--install", "innerspan", &chart];
    words.extend(["--namespace", NAMESPACE, "--create-namespace"]);
    let endpoint = format!("endpoint={ENDPOINT}");
    let (name, tag) = IMAGE.split_once(':').unwrap_or((IMAGE, ""));
    let repository = format!("image.repository={}/{name}", world::REGISTRY);
    let tag = format!("image.tag={tag}");
    for setting in [endpoint.as_str(), &repository, &tag, "clusterName=lab"] {
        words.extend(["--set", setting]);
    }
    for setting in settings {
        words.extend(["--set", setting]);
    }
    node.space
        .run_within(&words, Duration::from_mins(1))
        .context("helm could not install deploy/chart")?;
    cluster::rolled_out(node, NAMESPACE, "daemonset/innerspan")
}

/// Runs the agent with other values of the chart for a while, and as it was before again, whatever happens.
pub(crate) fn with<T>(
    node: &Node,
    settings: &[String],
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    patience::heed_interrupts()?;
    let chart = place::root().join("deploy/chart").display().to_string();
    let mut words = vec!["helm", "upgrade", "innerspan", &chart];
    words.extend(["--namespace", NAMESPACE, "--reuse-values"]);
    for setting in settings {
        words.extend(["--set", setting]);
    }
    node.space
        .run_within(&words, Duration::from_mins(1))
        .context("helm could not change the agent's settings")?;
    let outcome = cluster::rolled_out(node, NAMESPACE, "daemonset/innerspan").and_then(|()| work());
    patience::forgive_interrupt();
    let back = ["helm", "rollback", "innerspan", "--namespace", NAMESPACE];
    node.space
        .run_within(&back, Duration::from_mins(1))
        .context("helm could not bring the agent's settings back")?;
    cluster::rolled_out(node, NAMESPACE, "daemonset/innerspan")?;
    outcome
}
