//! What becomes known of this node's pods.

use super::*;
use crate::model::pod::{Phase, PodUid};

const FIRST: &str = "11111111-d9cb-469f-a165-70867728950e";
const SECOND: &str = "22222222-d9cb-469f-a165-70867728950e";

fn pod(uid: &str, version: &str, phase: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "p", "namespace": "n", "uid": uid, "resourceVersion": version,
            "creationTimestamp": "2026-11-28T17:00:00Z",
        },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
        "status": { "phase": phase },
    })
}

fn gone(uid: &str) -> PodEvent {
    PodEvent::Gone {
        uid: PodUid::parse(uid).unwrap(),
        at: NOW,
    }
}

impl Cluster {
    async fn event(&mut self) -> PodEvent {
        within(self.events.recv()).await.unwrap()
    }

    /// The next event is that this pod is so.
    async fn expect_seen(&mut self, uid: &str, phase: Phase, listed: bool) {
        let PodEvent::Seen { pod, at, listed: is } = self.event().await else {
            panic!("no pod was seen")
        };
        assert_eq!((pod.uid, pod.phase), (PodUid::parse(uid).unwrap(), phase));
        assert_eq!((at, is), (NOW, listed));
    }
}

#[tokio::test]
async fn pods_are_listed_and_then_followed() {
    let mut cluster = Cluster::start().await;
    cluster.pods.list("10", &[pod(FIRST, "5", "Running")]).await;
    cluster.expect_seen(FIRST, Phase::Running, true).await;
    let events = cluster.pods.watch("10").await;
    events.send("ADDED", pod(SECOND, "11", "Pending")).await;
    cluster.expect_seen(SECOND, Phase::Pending, false).await;
    events.send("MODIFIED", pod(SECOND, "12", "Running")).await;
    cluster.expect_seen(SECOND, Phase::Running, false).await;
    events.send("DELETED", pod(FIRST, "13", "Running")).await;
    assert_eq!(cluster.event().await, gone(FIRST));
}

#[tokio::test]
async fn a_change_of_what_nobody_asks_for_is_no_event() {
    let mut cluster = Cluster::start().await;
    cluster.pods.list("10", &[pod(FIRST, "5", "Pending")]).await;
    cluster.expect_seen(FIRST, Phase::Pending, true).await;
    let events = cluster.pods.watch("10").await;
    let mut labelled = pod(FIRST, "11", "Pending");
    labelled["metadata"]["labels"] = json!({ "a": "b" });
    events.send("MODIFIED", labelled).await;
    events.send("MODIFIED", pod(FIRST, "12", "Running")).await;
    cluster.expect_seen(FIRST, Phase::Running, false).await;
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_where_it_broke_off() {
    let mut cluster = Cluster::start().await;
    cluster.pods.list("10", &[]).await;
    let events = cluster.pods.watch("10").await;
    events.send("ADDED", pod(FIRST, "11", "Pending")).await;
    cluster.expect_seen(FIRST, Phase::Pending, false).await;
    drop(events);
    let events = cluster.pods.watch("11").await;
    events.send("MODIFIED", pod(FIRST, "12", "Running")).await;
    cluster.expect_seen(FIRST, Phase::Running, false).await;
}

#[tokio::test]
async fn a_bookmark_moves_the_place_from_which_it_is_taken_up() {
    let mut cluster = Cluster::start().await;
    cluster.pods.list("10", &[]).await;
    let events = cluster.pods.watch("10").await;
    let bookmark = json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "resourceVersion": "90" } });
    events.send("BOOKMARK", bookmark).await;
    events.end().await;
    let events = cluster.pods.watch("90").await;
    events.send("ADDED", pod(FIRST, "91", "Pending")).await;
    cluster.expect_seen(FIRST, Phase::Pending, false).await;
}

#[tokio::test]
async fn a_list_after_a_version_that_is_gone_tells_only_what_is_news() {
    let mut cluster = Cluster::start().await;
    let third = "33333333-d9cb-469f-a165-70867728950e";
    let known = [FIRST, SECOND, third].map(|uid| pod(uid, "5", "Pending"));
    cluster.pods.list("10", &known).await;
    for uid in [FIRST, SECOND, third] {
        cluster.expect_seen(uid, Phase::Pending, true).await;
    }
    let events = cluster.pods.watch("10").await;
    events.send("ERROR", status(410, "Expired")).await;
    // Nothing is gone because an attempt failed.
    cluster.pods.refuse(StatusCode::INTERNAL_SERVER_ERROR).await;
    let fourth = "44444444-d9cb-469f-a165-70867728950e";
    let now = [
        pod(SECOND, "5", "Pending"),
        pod(third, "15", "Running"),
        pod(fourth, "16", "Pending"),
    ];
    cluster.pods.list("20", &now).await;
    cluster.expect_seen(third, Phase::Running, true).await;
    cluster.expect_seen(fourth, Phase::Pending, true).await;
    assert_eq!(cluster.event().await, gone(FIRST));
    let events = cluster.pods.watch("20").await;
    events.send("MODIFIED", pod(SECOND, "21", "Running")).await;
    cluster.expect_seen(SECOND, Phase::Running, false).await;
}

#[tokio::test]
async fn a_pod_that_cannot_be_read_is_passed_over_and_counted() {
    let mut cluster = Cluster::start().await;
    let mut unnamed = pod(FIRST, "6", "Running");
    unnamed["metadata"]["uid"] = json!("my-static-pod");
    let misshapen = json!({ "metadata": { "resourceVersion": "7" }, "spec": [] });
    let list = [json!(7), unnamed, misshapen.clone(), pod(SECOND, "8", "Running")];
    cluster.pods.list("10", &list).await;
    cluster.expect_seen(SECOND, Phase::Running, true).await;
    let events = cluster.pods.watch("10").await;
    events.send("MODIFIED", misshapen.clone()).await;
    events.send("DELETED", misshapen).await;
    events.send("ADDED", pod(FIRST, "11", "Pending")).await;
    cluster.expect_seen(FIRST, Phase::Pending, false).await;
    let mut shown = String::new();
    prometheus_client::encoding::text::encode(&mut shown, &cluster.registry).unwrap();
    for line in [
        "innerspan_identify_pods 2",
        r#"innerspan_identify_pods_rejected_total{reason="shape"} 4"#,
        r#"innerspan_identify_pods_rejected_total{reason="uid"} 1"#,
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
}

#[tokio::test]
async fn refused_pods_do_not_keep_the_node_from_being_known() {
    let mut cluster = Cluster::start().await;
    cluster.pods.refuse(StatusCode::FORBIDDEN).await;
    cluster.nodes.list("10", &[]).await;
    cluster.nodes.watch("10").await;
    cluster.pods.list("10", &[pod(FIRST, "5", "Running")]).await;
    cluster.expect_seen(FIRST, Phase::Running, true).await;
}

#[tokio::test]
async fn a_list_of_more_pods_than_can_wait_arrives_whole() {
    let mut cluster = Cluster::start().await;
    let uids: Vec<String> = (1..2000_u32).map(|number| format!("{number:032x}")).collect();
    let pods: Vec<Value> = uids.iter().map(|uid| pod(uid, "5", "Running")).collect();
    cluster.pods.list("10", &pods).await;
    for uid in &uids {
        cluster.expect_seen(uid, Phase::Running, true).await;
    }
    cluster.pods.watch("10").await;
}

#[tokio::test]
async fn a_cluster_that_is_not_to_be_watched_has_no_pods() {
    let config = Config {
        enabled: false,
        node_name: None,
        cluster_name: None,
        kubeconfig: None,
        resource_attributes: BTreeMap::new(),
    };
    let (cluster, attributes, mut pods) = super::super::Cluster::new(config, Host::default(), || NOW);
    cluster.run().await;
    assert_eq!(pods.recv().await, None);
    assert_eq!(attributes.borrow().iter().count(), 0);
}
