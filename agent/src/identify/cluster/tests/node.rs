//! What becomes known of this node itself.

use super::*;

impl Cluster {
    async fn list(&mut self, zone: &str) {
        self.nodes.list("10", &[node(zone)]).await;
    }

    /// Waits until an attribute has a value.
    async fn expect(&mut self, key: &str, value: &str) {
        let has = |attributes: &ResourceAttributes| attributes.iter().any(|pair| pair == (key, value));
        within(self.attributes.wait_for(has)).await.unwrap();
    }

    fn seen(&self) -> Vec<(String, String)> {
        let attributes = self.attributes.borrow();
        attributes
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }
}

fn node(zone: &str) -> Value {
    json!({
        "kind": "Node", "apiVersion": "v1",
        "metadata": {
            "name": "node-1", "uid": "6f1c1c0e", "resourceVersion": "10",
            "labels": {
                "kubernetes.io/hostname": "node-1.local",
                "topology.kubernetes.io/region": "eu",
                "topology.kubernetes.io/zone": zone,
            },
        },
        "spec": { "providerID": "aws:///eu-1a/i-0123" },
        "status": { "nodeInfo": { "machineID": "ffff" }, "images": [{ "names": ["a"], "sizeBytes": 1 }] },
    })
}

#[tokio::test]
async fn the_node_is_what_the_host_says_until_the_api_server_knows_better() {
    let mut cluster = Cluster::start().await;
    let known = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let local = known(&[
        ("host.id", "abcd"),
        ("host.name", "host-1"),
        ("k8s.cluster.name", "lab"),
        ("k8s.node.name", "node-1"),
        ("team", "a"),
    ]);
    assert_eq!(cluster.seen(), local);
    cluster.list("eu-1a").await;
    cluster.expect("cloud.region", "eu").await;
    let all = known(&[
        ("cloud.availability_zone", "eu-1a"),
        ("cloud.region", "eu"),
        ("host.id", "i-0123"),
        ("host.name", "node-1.local"),
        ("k8s.cluster.name", "lab"),
        ("k8s.node.name", "node-1"),
        ("k8s.node.uid", "6f1c1c0e"),
        ("team", "a"),
    ]);
    assert_eq!(cluster.seen(), all);
}

#[tokio::test]
async fn a_changed_label_changes_the_attributes_and_anything_else_does_not() {
    let mut cluster = Cluster::start().await;
    cluster.list("a").await;
    let events = cluster.nodes.watch("10").await;
    cluster.expect("cloud.availability_zone", "a").await;
    cluster.attributes.mark_unchanged();
    let mut heartbeat = node("a");
    heartbeat["status"]["conditions"] = json!([{ "type": "Ready" }]);
    events.send("MODIFIED", heartbeat).await;
    events.send("MODIFIED", node("b")).await;
    within(cluster.attributes.changed()).await.unwrap();
    cluster.expect("cloud.availability_zone", "b").await;
}

#[tokio::test]
async fn a_watch_whose_version_is_gone_lists_again() {
    let mut cluster = Cluster::start().await;
    cluster.list("a").await;
    let events = cluster.nodes.watch("10").await;
    events.send("ERROR", status(410, "Expired")).await;
    cluster.list("b").await;
    cluster.expect("cloud.availability_zone", "b").await;
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_again() {
    let mut cluster = Cluster::start().await;
    cluster.list("a").await;
    drop(cluster.nodes.watch("10").await);
    let events = cluster.nodes.watch("10").await;
    events.send("MODIFIED", node("b")).await;
    cluster.expect("cloud.availability_zone", "b").await;
}

#[tokio::test]
async fn a_refused_watch_keeps_what_the_host_knows_and_tries_again() {
    let mut cluster = Cluster::start().await;
    cluster.nodes.refuse(StatusCode::FORBIDDEN).await;
    cluster.nodes.refuse(StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!(cluster.seen()[0], ("host.id".to_owned(), "abcd".to_owned()));
    cluster.list("a").await;
    cluster.expect("host.id", "i-0123").await;
    assert!(!cluster.running.is_finished());
}
