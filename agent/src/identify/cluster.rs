//! This node as the API server knows it: uid, provider's instance id, topology labels, and the pods that run here.
//!
//! In: a watch of one node object and one of the pods that are bound to it. Out: the [`ResourceAttributes`] of this
//! node, again whenever they change, and [`PodEvent`]s. Without the API server the attributes are what is known on the
//! spot, no pod is known, and it is tried again until it answers.
//! This room knows no span, no OTLP, and no other node.

use std::{collections::BTreeMap, error::Error, path::PathBuf};

use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher::DefaultBackoff,
};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tracing::{info, warn};

use crate::model::{
    ResourceAttributes,
    pod::PodEvent,
    time::{Nanos, Wall},
};

mod follow;
mod host;
mod metrics;
mod node;
mod pods;
mod trouble;

pub use host::Host;
pub use metrics::Metrics;
use trouble::Trouble;

/// Who this node is and what the user adds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether to watch the node object and the pods. Without it the attributes are those known locally.
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

/// What a watch must be allowed to do. The chart's role grants this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub group: &'static str,
    pub resource: &'static str,
    pub verbs: &'static [&'static str],
}

pub const RULES: &[Rule] = &[node::SUBJECT.rule, pods::SUBJECT.rule];

/// Follows this node's object and its pods.
#[derive(Debug)]
pub struct Cluster {
    config: Config,
    host: Host,
    attributes: watch::Sender<ResourceAttributes>,
    pods: pods::Watch,
    metrics: Metrics,
}

impl Cluster {
    /// The attributes are at once what the host knows. `now` tells when a pod was seen.
    #[must_use]
    pub fn new(
        config: Config,
        host: Host,
        now: fn() -> Nanos<Wall>,
    ) -> (
        Self,
        watch::Receiver<ResourceAttributes>,
        mpsc::Receiver<PodEvent>,
    ) {
        let metrics = Metrics::default();
        let (attributes, attributes_receiver) = watch::channel(node::on_the_spot(&config, &host));
        let (pods, pods_receiver) = pods::Watch::new(now, metrics.clone());
        let cluster = Self {
            config,
            host,
            attributes,
            pods,
            metrics,
        };
        (cluster, attributes_receiver, pods_receiver)
    }

    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Follows both as long as someone polls this; ends at once if they are not to be followed.
    pub async fn run(self) {
        let Self {
            config,
            host,
            attributes,
            pods,
            metrics: _,
        } = self;
        if config.enabled {
            let client = client(&config).await;
            tokio::join!(
                node::run(client.clone(), &config, &host, &attributes),
                pods.run(client, config.node_name(&host)),
            );
        }
    }
}

impl Config {
    fn node_name<'a>(&'a self, host: &'a Host) -> &'a str {
        self.node_name.as_deref().unwrap_or(&host.name)
    }
}

/// Tries until there are credentials to try with, and says once if there are none.
async fn client(config: &Config) -> Client {
    let mut delays = DefaultBackoff::default();
    let mut said = false;
    loop {
        match connect(config).await {
            Ok(client) => {
                if said {
                    info!("there are credentials for the API server");
                }
                return client;
            }
            Err(error) if !said => {
                let (node, pods) = (node::SUBJECT.meanwhile, pods::SUBJECT.meanwhile);
                warn!(%error, "{}; until then {node}, and {pods}", Trouble::NoCredentials);
                said = true;
            }
            Err(_) => {}
        }
        if let Some(delay) = delays.next() {
            time::sleep(delay).await;
        }
    }
}

/// A client with the credentials of the kubeconfig or of the pod's service account.
async fn connect(config: &Config) -> Result<Client, Box<dyn Error + Send + Sync>> {
    let config = match &config.kubeconfig {
        Some(file) => {
            let kubeconfig = Kubeconfig::read_from(file)?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::incluster()?,
    };
    Ok(Client::try_from(config)?)
}

#[cfg(test)]
mod tests;
