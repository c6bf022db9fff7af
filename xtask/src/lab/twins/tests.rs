//! Spans in, pairs of their ids out. Only `check` touches the API.

use super::{Kind, Twins, find};
use crate::lab::spans::Span;

/// A span of trace 1, or from id 100 on of a pod's own: whether it is the agent's, service, name, id, parent (0 for none), begin and end in
/// milliseconds, and one attribute.
type Line = (
    bool,
    &'static str,
    &'static str,
    u8,
    u8,
    u64,
    u64,
    (&'static str, &'static str),
);

fn spans(lines: &[Line]) -> Vec<Span> {
    let span = |(own, service, name, id, parent, begin, end, (key, value)): &Line| Span {
        service: (*service).to_owned(),
        name: (*name).to_owned(),
        trace: vec![if *id < 100 { 1 } else { 2 }],
        id: vec![*id],
        parent: if *parent == 0 { Vec::new() } else { vec![*parent] },
        begin: begin * 1_000_000,
        end: end * 1_000_000,
        own: *own,
        attributes: vec![((*key).to_owned(), (*value).to_owned())],
        ..Span::default()
    };
    lines.iter().map(span).collect()
}

/// Native spans of which the agent makes one too, with the agent's of the same call, by id; 0 for none.
fn check(lines: &[Line], service: &str, native: &str, expected: &[(u8, u8)]) {
    let spans = spans(lines);
    let is_asked = |Kind {
                        service: of,
                        native: name,
                        ..
                    }: Kind| of == service && name == native;
    let pairs: Vec<_> = find(&spans)
        .into_iter()
        .filter(|twins| is_asked(twins.kind))
        .flat_map(|Twins { pairs, .. }| pairs)
        .filter(|pair| pair.expected)
        .map(|pair| (pair.native.id[0], pair.own.map_or(0, |own| own.id[0])))
        .collect();
    assert_eq!(pairs, expected);
}

const RUN: &str = "runtime.v1.RuntimeService/RunPodSandbox";
const START: &str = "runtime.v1.RuntimeService/StartContainer";
const TXN: &str = "etcdserverpb.KV/Txn";
const NONE: (&str, &str) = ("", "");

#[test]
fn a_client_has_its_parent_in_common_also_past_calls_around_it() {
    check(
        &[
            (false, "kubelet", "syncPod", 1, 0, 0, 100, NONE),
            (true, "kubelet", "createPodSandbox", 2, 1, 5, 60, NONE),
            (true, "kubelet", RUN, 3, 2, 10, 50, NONE),
            (false, "kubelet", RUN, 4, 1, 11, 49, NONE),
            (true, "kubelet", RUN, 5, 9, 10, 50, NONE),
        ],
        "kubelet",
        RUN,
        &[(4, 3)],
    );
}

#[test]
fn calls_below_one_span_are_told_by_when_they_began_and_none_is_used_twice() {
    check(
        &[
            (true, "kubelet", START, 3, 1, 10, 20, NONE),
            (true, "kubelet", START, 4, 1, 30, 40, NONE),
            (false, "kubelet", START, 5, 1, 11, 19, NONE),
            (false, "kubelet", START, 6, 1, 31, 39, NONE),
            (false, "kubelet", START, 7, 1, 32, 33, NONE),
        ],
        "kubelet",
        START,
        &[(5, 3), (6, 4), (7, 0)],
    );
}

#[test]
fn without_a_context_a_call_is_the_one_around_the_span() {
    check(
        &[
            (true, "kubelet", START, 3, 0, 10, 20, NONE),
            (true, "kubelet", START, 4, 0, 9, 40, NONE),
            (false, "kubelet", START, 5, 0, 12, 39, NONE),
            (false, "kubelet", START, 6, 0, 50, 60, NONE),
        ],
        "kubelet",
        START,
        &[(5, 4), (6, 0)],
    );
}

#[test]
fn a_server_carries_its_span_and_calls_about_other_keys_are_left_out() {
    let (web, db) = ("/registry/pods/default/web", "/registry/pods/default/db");
    let lines = [
        (false, "apiserver", TXN, 10, 9, 0, 30, NONE),
        (false, "etcd", TXN, 1, 10, 1, 20, NONE),
        (false, "etcd", "txn", 2, 1, 3, 10, ("compare_first_key", web)),
        (true, "etcd", TXN, 3, 1, 2, 11, ("etcd.key", web)),
        (true, "apiserver", TXN, 11, 9, 0, 31, ("etcd.key", web)),
        (false, "etcd", TXN, 4, 0, 1, 20, NONE),
        (
            false,
            "etcd",
            "txn",
            5,
            4,
            3,
            10,
            ("compare_first_key", "/registry/leases/a/b"),
        ),
        (false, "etcd", TXN, 6, 0, 2, 20, NONE),
        (false, "etcd", "txn", 7, 6, 3, 10, ("compare_first_key", web)),
        (true, "etcd", TXN, 8, 6, 3, 11, ("etcd.key", db)),
    ];
    check(&lines, "etcd", TXN, &[(1, 3), (6, 0)]);
    check(&lines, "etcd", "txn", &[(2, 3), (7, 0)]);
    check(&lines, "apiserver", TXN, &[(10, 11)]);
}

#[test]
fn a_sync_is_told_by_its_pod() {
    check(
        &[
            (true, "kubelet", "SyncPod", 101, 0, 0, 30, ("k8s.pod.uid", "a")),
            (true, "kubelet", "SyncPod", 102, 100, 0, 30, ("k8s.pod.uid", "b")),
            (false, "kubelet", "syncPod", 3, 0, 1, 29, ("k8s.pod.uid", "b")),
        ],
        "kubelet",
        "syncPod",
        &[(3, 102)],
    );
}
