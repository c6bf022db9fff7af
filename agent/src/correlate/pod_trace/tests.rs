//! Sightings in, traces out, rendered as indented lines with times in milliseconds. Only `check` and [`Node`] touch the
//! API. Every test's sightings are fed in several orders, some of them twice, and must give the same trace.

mod ends;
mod node;
mod starts;
mod troubles;

use std::collections::HashMap;

use proptest::prelude::*;

use self::node::{Node, POD, Script, lines, tree};
use super::*;

/// What several orders of the same sightings give: the trace of the pod's start.
fn check(script: &Script, expected: &str) {
    check_story(script, "pod start", expected);
}

/// The trace with this root.
fn check_story(script: &Script, root: &str, expected: &str) {
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    for order in 0..6 {
        let spans = story(Node::new().run(&script.in_order(order)), root);
        assert_eq!(lines(&spans), expected, "in order {order}");
        tree(&spans);
    }
}

fn story(mut spans: Vec<Span>, root: &str) -> Vec<Span> {
    let root = spans
        .iter()
        .find(|span| &*span.name == root && span.parent.is_none());
    let trace_id = root.map(|root| root.trace_id);
    spans.retain(|span| Some(span.trace_id) == trace_id);
    spans
}

#[test]
fn two_agents_write_one_tree() {
    let pod = &[("etcd.key", "/pods/default/POD")];
    let owner = &[("k8s.namespace.name", "default"), ("k8s.replicaset.name", "web")];
    let script = starts::complete(POD)
        .call("apiserver GuaranteedUpdate etcd3", (5_000, 5_010), pod)
        .call("kube-controller-manager syncReplicaSet", (90, 5_000), owner);
    let (control_plane, node): (Vec<_>, Vec<_>) = script.clone().apart(|service| {
        ["apiserver", "etcd", "kube-scheduler", "kube-controller-manager"].contains(&service)
    });
    let mut together = Node::new().run(&node);
    together.extend(Node::new().run(&control_plane));
    tree(&together);
    let alone = Node::new().run(&script.in_order(0));
    let names = |spans: &[Span]| {
        let mut names: Vec<_> = spans
            .iter()
            .map(|span| (span.name.clone(), span.span_id))
            .collect();
        names.sort();
        names
    };
    let mut expected = names(&alone);
    // Only the pod's own node knows until when a write of the status belongs to the start.
    expected.retain(|(name, _)| &**name != "status");
    assert_eq!(names(&together), expected);
}

#[test]
fn what_is_done_for_a_pod_after_its_start_is_no_part_of_it() {
    let mut node = Node::new();
    let spans = node.run(&starts::complete(POD).in_order(0));
    let calls = starts::complete(POD).calls();
    assert!(!calls.is_empty());
    for call in calls {
        assert!(!node.traces.call(&call, Nanos::new(0)), "{call:?}");
    }
    assert!(node.tick(1_000_000).is_empty());
    assert!(spans.len() > 10);
}

#[test]
fn a_call_that_is_asked_for_beside_the_native_span_is_no_ones_but_its_own() {
    let mut node = Node::new();
    let sync = |beside| {
        let calls = starts::complete(POD).calls();
        let sync = calls.into_iter().find(|call| &*call.span.name == "SyncPod");
        Call {
            beside,
            ..sync.unwrap()
        }
    };
    assert!(!node.traces.call(&sync(true), Nanos::new(0)));
    assert!(node.traces.call(&sync(false), Nanos::new(0)));
}

#[test]
fn who_asks_is_told_of_what_goes_on_and_of_what_is_over() {
    let mut node = Node::new();
    let mut rest = starts::complete(POD).in_order(0);
    let ready = rest.iter().rposition(|told| matches!(told, node::Told::Pod(_)));
    let ready = rest.remove(ready.unwrap());
    let known = |asked: &Node| {
        let known = asked.traces.summaries(node::at(2_000));
        let line = |known: &Summary| {
            let took = known.end.since(&known.start).as_millis();
            format!(
                "{} of {}/{} {} {took}",
                known.story, known.namespace, known.name, known.outcome
            )
        };
        known.iter().map(line).collect::<Vec<_>>()
    };
    let latest = |asked: &Node, wanted: &str| {
        let trace = asked.traces.latest(|one| one.name == wanted, node::at(2_000));
        trace.map(|trace| (trace.outcome, trace.spans.len() > 10))
    };
    node.feed(&rest);
    assert_eq!(known(&node), ["pod start of default/web-00000 open 1900"]);
    assert_eq!(latest(&node, "web-00000"), Some(("open", true)));
    assert_eq!(latest(&node, "web-00001"), None);
    for told in [&[ready][..], &[]] {
        node.feed(told);
        assert_eq!(known(&node), ["pod start of default/web-00000 ready 1680"]);
        assert_eq!(latest(&node, "web-00000"), Some(("ready", true)));
        node.tick(1_000_000);
    }
}

#[test]
fn ten_thousand_pods_that_come_and_go_leave_nothing_behind() {
    let mut node = Node::new();
    for pod in 1..=10_000 {
        let script = Script::of(pod)
            .seen(50, |_| {})
            .call(
                "kubelet SyncPod",
                (100, 300),
                &[("k8s.pod.uid", "UID"), ("sandbox.id", "s-POD")],
            )
            .call(
                "apiserver GuaranteedUpdate etcd3",
                (310, 320),
                &[("key", "/pods/default/POD")],
            )
            .seen(400, |pod| pod.deletion = Some(node::at(400)))
            .gone(500);
        node.feed(&script.in_order(0));
        node.tick(100);
        assert!(node.traces.pods.len() <= node::MAX_PODS);
        assert!(node.traces.parked.len() <= MAX_PARKED);
    }
    for _ in 0..60 {
        node.tick(1_000);
    }
    assert!(node.traces.pods.is_empty() && node.traces.keys.is_empty());
    assert_eq!(node.traces.parked.len(), 0);
}

proptest! {
    /// Many pods come and go: what is remembered stays bounded, and every pod is told of once.
    #[test]
    fn memory_is_bounded(starts in prop::collection::vec(any::<bool>(), 50..80)) {
        let mut node = Node::new();
        let mut roots: HashMap<PodUid, usize> = HashMap::new();
        let mut count = |spans: Vec<Span>| {
            for span in spans.iter().filter(|span| &*span.name == "pod start" && span.parent.is_none()) {
                *roots.entry(PodUid::parse(&format!("{:?}", span.trace_id)).unwrap()).or_default() += 1;
            }
        };
        for (pod, whole) in (1_u32..).zip(&starts) {
            let script = starts::complete(pod).in_order(pod.into());
            let part = if *whole { script.len() } else { script.len() / 2 };
            node.feed(&script[..part]);
            count(node.tick(1_000));
            prop_assert!(node.traces.pods.len() <= node::MAX_PODS + 1);
            prop_assert!(node.traces.parked.len() <= MAX_PARKED);
            let known: usize = node.traces.pods.values().map(|known| known.keys.len()).sum();
            prop_assert_eq!(node.traces.keys.values().map(Vec::len).sum::<usize>(), known);
        }
        let mut last = Vec::new();
        node.traces.finish(Nanos::new(0), &mut last);
        count(last);
        prop_assert!(roots.values().all(|times| *times == 1));
        prop_assert!(node.traces.kept.iter().count() <= node.traces.config.max_kept);
    }
}
