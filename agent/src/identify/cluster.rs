//! This node as the API server knows it: uid, provider's instance id, topology labels.
//!
//! In: a watch of one node object. Out: the [`ResourceAttributes`] of this node, again whenever they change.
//! Without the API server they are what is known on the spot, and it is tried again until it answers.
//! This room knows no span, no OTLP, and no other node.

use std::{collections::BTreeMap, path::PathBuf, pin::pin};

use futures::StreamExt;
use k8s_openapi::api::core::v1;
use kube::{
    Api, Client,
    api::ApiResource,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{
        WatchStreamExt,
        watcher::{self, DefaultBackoff, Event, watcher},
    },
};
use tokio::{sync::watch, time};
use tracing::{debug, info, warn};

use crate::model::ResourceAttributes;

mod host;
mod node;
mod trouble;

pub use host::Host;
use node::Node;
use trouble::Trouble;

/// Who this node is and what the user adds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether to watch the node object. Without it the attributes are those known locally.
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

/// What the watch must be allowed to do. The chart's role grants this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub group: &'static str,
    pub resource: &'static str,
    pub verbs: &'static [&'static str],
}

pub const RULES: &[Rule] = &[Rule {
    group: "",
    resource: "nodes",
    verbs: &["list", "watch"],
}];

/// Follows this node's object.
#[derive(Debug)]
pub struct NodeWatch {
    config: Config,
    host: Host,
    attributes: watch::Sender<ResourceAttributes>,
    trouble: Option<Trouble>,
}

impl NodeWatch {
    /// The attributes are at once what the host knows.
    #[must_use]
    pub fn new(config: Config, host: Host) -> (Self, watch::Receiver<ResourceAttributes>) {
        let (attributes, receiver) = watch::channel(node::attributes(&config, &host, None));
        let watch = Self {
            config,
            host,
            attributes,
            trouble: None,
        };
        (watch, receiver)
    }

    /// Follows the node as long as someone polls this; ends at once if it is not to be followed.
    pub async fn run(mut self) {
        if !self.config.enabled {
            return;
        }
        let client = self.client().await;
        let resource = ApiResource::erase::<v1::Node>(&());
        let name = self.config.node_name.as_deref().unwrap_or(&self.host.name);
        let this_node = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = pin!(watcher(Api::<Node>::all_with(client, &resource), this_node).default_backoff());
        let mut found = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => found = false,
                Ok(Event::InitApply(node) | Event::Apply(node)) => {
                    found = true;
                    self.publish(&node);
                }
                Ok(Event::InitDone) if !found => self.report(Trouble::NoSuchNode, &"the list is empty"),
                // A node that is gone was this one to the end.
                Ok(Event::InitDone | Event::Delete(_)) => {}
                Err(error) => {
                    if let Some(trouble) = Trouble::of(&error) {
                        self.report(trouble, &error);
                    } else {
                        debug!(%error, "the watch of this node starts anew");
                    }
                }
            }
        }
    }

    /// Tries until there are credentials to try with.
    async fn client(&mut self) -> Client {
        let mut delays = DefaultBackoff::default();
        loop {
            match connect(&self.config).await {
                Ok(client) => return client,
                Err(error) => self.report(Trouble::NoCredentials, &error),
            }
            if let Some(delay) = delays.next() {
                time::sleep(delay).await;
            }
        }
    }

    fn publish(&mut self, node: &Node) {
        if self.trouble.take().is_some() {
            info!("the API server knows this node");
        }
        let attributes = node::attributes(&self.config, &self.host, Some(node));
        self.attributes.send_if_modified(|current| {
            let changed = *current != attributes;
            *current = attributes;
            changed
        });
    }

    /// Says what is wrong and what to do, once until it changes.
    fn report(&mut self, trouble: Trouble, error: &dyn std::fmt::Display) {
        if self.trouble.replace(trouble) != Some(trouble) {
            warn!(%error, "{trouble}; until then resources have what is known on this host");
        }
    }
}

/// A client with the credentials of the kubeconfig or of the pod's service account.
async fn connect(config: &Config) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
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
