//! innerspan itself, installed as its users install it.
//!
//! In: the image and the chart of this checkout. Out: a `DaemonSet` that is Ready on every node.

use std::time::Duration;

use anyhow::Context as _;

use super::{cluster, node::Node, world};
use crate::place;

const NAMESPACE: &str = "innerspan";
/// Where the agent finds the collector: the one value that its chart asks for.
pub(crate) const ENDPOINT: &str = "http://collector.observability:4317";

/// Installs or changes the release; `settings` are values of the chart besides the lab's own.
pub(crate) fn install(node: &Node, settings: &[String]) -> anyhow::Result<()> {
    let chart = place::root().join("deploy/chart").display().to_string();
    let mut words = vec!["helm", "upgrade", "--install", "innerspan", &chart];
    words.extend(["--namespace", NAMESPACE, "--create-namespace"]);
    let endpoint = format!("endpoint={ENDPOINT}");
    let repository = format!("image.repository={}/innerspan", world::REGISTRY);
    for setting in [endpoint.as_str(), &repository, "image.tag=lab", "clusterName=lab"] {
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
