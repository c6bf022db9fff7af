//! Starts that fail or take long: their traces name the cause.

use super::{
    node::{is, ready, waits},
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
        .seen(20_000, |pod| pod.deletion = Some(node::at(20_000)));
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
        .failed("")
        .call("kube-scheduler scheduleOnePod", (5_110, 5_120), OURS)
        .inner(1, "kube-scheduler schedulingCycle", (5_111, 5_119), OURS)
        .call("kube-scheduler bindingCycle", (5_120, 5_150), OURS)
        .seen(5_160, |pod| {
            is(
                pod,
                "PodScheduled",
                false,
                "Unschedulable",
                "0/1 nodes are available",
            );
        })
        .call("kubelet SyncPod", (5_200, 5_300), OURS)
        .seen(6_000, |pod| {
            is(pod, "PodScheduled", true, "", "");
            ready(pod);
        });
    check(
        &script,
        "\
pod start 0..6000
  schedule 0..5150
    queue 0..111
    scheduling cycle 111..119 !
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
        .seen(9_000, |pod| pod.deletion = Some(node::at(9_000)));
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
