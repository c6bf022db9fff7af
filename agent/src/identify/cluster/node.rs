//! This node's own object, followed for the attributes that every resource gets.

use kube::{Api, Client, api::ApiResource, runtime::watcher::Event};
use tokio::sync::watch;

mod object;

use self::object::{Node, attributes};
use super::{
    Config, Host, Rule,
    follow::{Follow, Subject},
    trouble::Trouble,
};
use crate::model::ResourceAttributes;

pub(super) const SUBJECT: Subject = Subject {
    rule: Rule {
        group: "",
        resource: "nodes",
        verbs: &["list", "watch"],
    },
    meanwhile: "resources have what is known on this host",
};

/// The attributes that are known without the API server.
pub(super) fn on_the_spot(config: &Config, host: &Host) -> ResourceAttributes {
    attributes(config, host, None)
}

/// Publishes the attributes of this node whenever they change.
pub(super) async fn run(
    client: Client,
    config: &Config,
    host: &Host,
    published: &watch::Sender<ResourceAttributes>,
) {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Node>(&());
    let fields = format!("metadata.name={}", config.node_name(host));
    let mut node = Follow::<Node>::new(SUBJECT, Api::all_with(client, &resource), &fields);
    let mut found = false;
    while let Some(event) = node.next().await {
        match event {
            Event::Init => found = false,
            Event::InitApply(object) | Event::Apply(object) => {
                found = true;
                node.settle();
                let attributes = attributes(config, host, Some(&object));
                published.send_if_modified(|current| {
                    let changed = *current != attributes;
                    *current = attributes;
                    changed
                });
            }
            Event::InitDone if !found => node.report(Trouble::NoSuchNode, &"the list is empty"),
            // A node that is gone was this one to the end.
            Event::InitDone | Event::Delete(_) => {}
        }
    }
}
