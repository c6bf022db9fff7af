//! Stops of pods, and restarts of containers.

use super::{
    node::{at, ready, runs, waits},
    *,
};
use crate::model::pod::End;

const OURS: &[(&str, &str)] = &[
    ("k8s.pod.uid", "UID"),
    ("k8s.pod.name", "POD"),
    ("k8s.namespace.name", "default"),
];
const PATH: (&str, &str) = ("url.path", "/api/v1/namespaces/default/pods/POD");

#[test]
fn a_stop_is_told_from_the_request_to_the_removal() {
    let delete = "apiserver server DELETE /api/v1/namespaces/{:namespace}/pods/{:name}";
    let script = Script::of(POD)
        .seen(50, ready)
        .native(1, delete, (90_000, 90_040), &[PATH])
        .seen(90_020, |pod| pod.deletion = Some(at(120_000)))
        .call("kubelet SyncTerminatingPod", (90_100, 92_000), OURS)
        .call("kubelet lifecycle.Run", (90_120, 90_190), OURS)
        .inner(
            2,
            "kubelet client runtime.v1.RuntimeService/StopContainer",
            (90_200, 91_500),
            &[("container.id", "c1")],
        )
        .inner(
            3,
            "kubelet client runtime.v1.RuntimeService/StopPodSandbox",
            (91_600, 91_900),
            &[("sandbox.id", "s1")],
        )
        .call("kubelet SyncTerminatedPod", (92_100, 92_300), OURS)
        .inner(1, "kubelet WaitForUnmount", (92_110, 92_290), OURS)
        .native(2, delete, (92_400, 92_430), &[PATH])
        .gone(92_450);
    check_story(
        &script,
        "pod stop",
        "\
pod stop 90000..92450
  delete 90000..90040
  notice 90040..90100
  terminate 90100..92000
    preStop 90120..90190
    stop container 90200..91500
    stop sandbox 91600..91900
  clean up 92100..92300
    unmount 92110..92290
  remove 92400..92430
",
    );
    let spans = story(Node::new().run_slowly(&script), "pod stop");
    assert_eq!(
        spans[0].links[0].trace_id,
        PodUid::parse(&node::uid(POD)).unwrap().trace_id()
    );
}

#[test]
fn a_restart_is_told_from_the_end_of_the_run_before() {
    let script = Script::of(POD)
        .seen(50, ready)
        .seen(60_900, |pod| {
            let container = &mut pod.containers[0];
            waits(container, "CrashLoopBackOff", "back-off 10s");
            container.restarts = 1;
            container.last_end = Some(End {
                id: "c0".into(),
                exit_code: 1,
                reason: "Error".into(),
                message: "".into(),
                started: at(0),
                finished: at(60_000),
            });
        })
        .call("kubelet SyncPod", (70_000, 70_500), OURS)
        .inner(
            1,
            "kubelet client runtime.v1.RuntimeService/CreateContainer",
            (70_100, 70_200),
            &[
                ("k8s.pod.uid", "UID"),
                ("k8s.container.name", "main"),
                ("container.id", "c1"),
            ],
        )
        .inner(
            2,
            "kubelet client runtime.v1.RuntimeService/StartContainer",
            (70_210, 70_400),
            &[("container.id", "c1")],
        )
        .seen(71_000, |pod| runs(&mut pod.containers[0]));
    let spans = story(Node::new().run_slowly(&script), "container restart");
    let expected = [
        "container restart 60000..71000",
        "  back-off 60000..70000",
        "  sync 70000..70500",
        "    create container 70100..70200",
        "    start container 70210..70400",
        "  observe 70400..71000",
    ];
    assert_eq!(lines(&spans), expected);
    tree(&spans);
}

#[test]
fn a_pod_that_follows_one_of_its_name_has_a_start_of_its_own() {
    let create = "apiserver server POST /api/v1/namespaces/{:namespace}/pods";
    let key = ("key", "/pods/default/POD");
    let first = Script::of(1)
        .seen(50, ready)
        .seen(90_000, |pod| pod.deletion = Some(at(91_000)))
        .call("kubelet SyncTerminatingPod", (90_100, 91_000), OURS)
        .gone(91_100);
    let second = Script::of(2)
        .named_as(1)
        .native(1, create, (91_200, 91_240), &[])
        .native(1, "apiserver Create etcd3", (91_210, 91_230), &[key])
        .call("apiserver GuaranteedUpdate etcd3", (91_300, 91_310), &[key])
        .seen(91_320, |pod| pod.created = at(91_000))
        .call("kubelet SyncPod", (91_400, 91_500), OURS)
        .seen(91_600, ready);
    let mut told = first.in_time();
    told.extend(second.in_time());
    told.sort_by_key(|(at, _)| *at);
    let spans = Node::new().run_in_time(told);
    let uid = PodUid::parse(&node::uid(2)).unwrap();
    let of_second: Vec<Span> = spans
        .iter()
        .filter(|span| span.trace_id == uid.trace_id())
        .cloned()
        .collect();
    let expected = [
        "pod start 91200..91600",
        "  create 91200..91240",
        "  status 91300..91310",
        "  notice 91320..91400",
        "  sync 91400..91500",
    ];
    assert_eq!(lines(&of_second), expected);
}
