//! Starts that fail or take long: their traces name the cause.

use super::{
    node::{at, ready, waits},
    *,
};

const OURS: &[(&str, &str)] = &[
    ("k8s.pod.uid", "UID"),
    ("k8s.pod.name", "POD"),
    ("k8s.namespace.name", "default"),
];

#[test]
fn an_image_that_cannot_be_pulled_is_the_cause() {
    let image = "kubelet EnsureImageExists";
    let pull = "kubelet client runtime.v1.ImageService/PullImage";
    let script = Script::of(POD)
        .seen(50, |_| {})
        .call("kubelet SyncPod", (100, 400), OURS)
        .failed("")
        .inner(1, image, (200, 390), OURS)
        .failed("")
        .inner(1, pull, (210, 380), &[])
        .failed("")
        .seen(450, |pod| {
            waits(&mut pod.containers[0], "ErrImagePull", "not found");
        })
        .call("kubelet SyncPod", (10_000, 10_400), OURS)
        .failed("")
        .inner(1, image, (10_200, 10_390), OURS)
        .failed("")
        .inner(1, pull, (10_210, 10_380), &[])
        .failed("")
        .seen(10_450, |pod| {
            waits(
                &mut pod.containers[0],
                "ImagePullBackOff",
                "Back-off pulling image",
            );
        })
        .seen(20_000, |pod| pod.deletion = Some(at(20_000)));
    check(
        &script,
        "\
pod start 0..20000 ! ImagePullBackOff: Back-off pulling image
  notice 50..100
  sync 100..400 !
    pull 200..390 !
  back-off 390..10200
  sync 10000..10400 !
    pull 10200..10390 !
  back-off 10390..20000
",
    );
}

#[test]
fn a_pod_that_no_node_could_take_says_so_when_it_has_started() {
    let script = Script::of(POD)
        .call("kube-scheduler scheduleOnePod", (110, 120), OURS)
        .inner(1, "kube-scheduler schedulingCycle", (111, 119), OURS)
        .inner(1, "kube-scheduler schedulePod", (112, 118), OURS)
        .failed("")
        .call("kube-scheduler scheduleOnePod", (5_110, 5_120), OURS)
        .inner(1, "kube-scheduler schedulingCycle", (5_111, 5_119), OURS)
        .call("kube-scheduler bindingCycle", (5_120, 5_150), OURS)
        .seen(5_160, |_| {})
        .call("kubelet SyncPod", (5_200, 5_300), OURS)
        .seen(6_000, ready);
    check(
        &script,
        "\
pod start 0..6000
  schedule 0..5150
    queue 0..111
    scheduling cycle 111..119 ! no node fits
      schedulePod 112..118 !
    queue 119..5111
    scheduling cycle 5111..5119
    binding cycle 5120..5150
  notice 5160..5200
  sync 5200..5300
",
    );
    let spans = Node::new().run(&script.in_order(0));
    let held_up = spans[0]
        .attributes
        .iter()
        .find(|(key, _)| &**key == "innerspan.held_up_by");
    assert_eq!(held_up.unwrap().1.text(), Some("Unschedulable"));
}

#[test]
fn a_pod_whose_sandbox_fails_says_what_failed() {
    let run = "kubelet client runtime.v1.RuntimeService/RunPodSandbox";
    let script = Script::of(POD)
        .seen(50, |_| {})
        .call("kubelet SyncPod", (100, 400), OURS)
        .failed("")
        .inner(1, run, (200, 390), OURS)
        .failed("no runtime for \"none\" is configured")
        .seen(9_000, |pod| pod.deletion = Some(at(9_000)));
    check(
        &script,
        "\
pod start 0..9000 ! sandbox failed: no runtime for \"none\" is configured
  notice 50..100
  sync 100..400 !
    sandbox 200..390 ! no runtime for \"none\" is configured
  back-off 390..9000
",
    );
}

#[test]
fn what_is_collected_with_a_pods_garbage_is_not_the_pods() {
    let runtime = |method: &str| format!("containerd server runtime.v1.RuntimeService/{method}");
    let script = Script::of(POD)
        .seen(50, |_| {})
        .call("kubelet SyncPod", (100, 400), OURS)
        .failed("")
        .inner(
            1,
            "kubelet client runtime.v1.RuntimeService/RunPodSandbox",
            (200, 390),
            &[("sandbox.id", "s1")],
        )
        .native(9, "kubelet Containers/GarbageCollect", (8_000, 8_900), &[])
        .native(
            9,
            &runtime("RemoveContainer"),
            (8_100, 8_200),
            &[("container.id", "other")],
        )
        .native(
            9,
            &runtime("RemovePodSandbox"),
            (8_200, 8_300),
            &[("sandbox.id", "s1")],
        )
        .native(
            8,
            &runtime("StartContainer"),
            (500, 600),
            &[("container.id", "other")],
        )
        .seen(9_000, |pod| pod.deletion = Some(at(9_000)));
    check(
        &script,
        "\
pod start 0..9000 ! sync failed
  notice 50..100
  sync 100..400 !
    sandbox 200..390
",
    );
}

#[test]
fn a_pod_that_was_there_before_the_agent_is_marked() {
    let mut node = Node::new();
    let script = Script::of(POD).seen(50, |_| {}).seen(2_000, ready);
    let mut told = script.in_order(0);
    if let node::Told::Pod(PodEvent::Seen { listed, .. }) = &mut told[0] {
        *listed = true;
    }
    let spans = node.run(&told);
    assert_eq!(lines(&spans), ["pod start 0..2000"]);
    let incomplete = spans[0]
        .attributes
        .iter()
        .find(|(key, _)| &**key == "innerspan.incomplete");
    assert_eq!(
        incomplete.unwrap().1.text(),
        Some("the agent came in the middle of it")
    );
}

#[test]
fn a_pod_that_crashes_as_soon_as_it_is_ready_has_not_started() {
    let create = "kubelet client runtime.v1.RuntimeService/CreateContainer";
    let start = "kubelet client runtime.v1.RuntimeService/StartContainer";
    let named = |id: &'static str| {
        [
            ("k8s.pod.uid", "UID"),
            ("k8s.container.name", "main"),
            ("container.id", id),
        ]
    };
    let script = Script::of(POD)
        .seen(50, |_| {})
        .call("kubelet SyncPod", (100, 300), OURS)
        .inner(1, create, (110, 150), &named("c1"))
        .inner(2, start, (160, 200), &[("container.id", "c1")])
        .seen(400, ready)
        .call("kubelet SyncPod", (500, 510), OURS)
        .failed("")
        .seen(600, |pod| {
            pod.conditions.clear();
            let container = &mut pod.containers[0];
            waits(container, "CrashLoopBackOff", "back-off 10s");
            container.restarts = 1;
        })
        .call("kubelet SyncPod", (10_500, 10_800), OURS)
        .inner(1, create, (10_510, 10_550), &named("c2"))
        .inner(2, start, (10_560, 10_600), &[("container.id", "c2")])
        .seen(10_900, |pod| {
            waits(&mut pod.containers[0], "CrashLoopBackOff", "back-off 20s");
            pod.containers[0].restarts = 2;
        })
        .seen(20_000, |pod| pod.deletion = Some(at(20_000)));
    check(
        &script,
        "\
pod start 0..20000 ! CrashLoopBackOff: back-off 20s
  notice 50..100
  sync 100..300
    create container 110..150
    start container 160..200
  observe 200..400
  run 200..500 ! CrashLoopBackOff: back-off 20s
  sync 500..510 !
  back-off 500..10510
  sync 10500..10800
    create container 10510..10550
    start container 10560..10600
",
    );
}

#[test]
fn what_a_pod_says_while_it_is_taken_away_is_not_why_it_did_not_start() {
    let script = Script::of(POD)
        .seen(50, |pod| {
            waits(&mut pod.containers[0], "ImagePullBackOff", "no such image");
        })
        .seen(5_000, |pod| pod.deletion = Some(at(35_000)))
        .seen(6_000, |pod| {
            pod.phase = crate::model::pod::Phase::Failed;
            waits(&mut pod.containers[0], "ContainerStatusUnknown", "");
        })
        .gone(6_100);
    check(&script, "pod start 0..5000 ! ImagePullBackOff: no such image");
}
