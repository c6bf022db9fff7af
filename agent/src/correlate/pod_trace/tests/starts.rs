//! Starts that go well.

use super::{
    node::{container, ready, runs},
    *,
};
use crate::model::pod::Role;

const UID: (&str, &str) = ("k8s.pod.uid", "UID");
const NAME: (&str, &str) = ("k8s.pod.name", "POD");
const NAMESPACE: (&str, &str) = ("k8s.namespace.name", "default");
const KEY: (&str, &str) = ("etcd.key", "/registry/pods/default/POD");
const SANDBOX: (&str, &str) = ("sandbox.id", "s-POD");
const CONTAINER: (&str, &str) = ("container.id", "c-POD");
const MAIN: (&str, &str) = ("k8s.container.name", "main");

/// A start with nothing but probes in all components.
pub(super) fn complete(pod: u32) -> Script {
    let ours: &[(&str, &str)] = &[UID, NAME, NAMESPACE];
    Script::of(pod)
        .call(
            "kube-controller-manager syncReplicaSet",
            (90, 170),
            &[NAMESPACE, ("k8s.replicaset.name", "web")],
        )
        .call(
            "apiserver Create etcd3",
            (100, 120),
            &[("etcd.key", "/pods/default/POD")],
        )
        .call("apiserver client etcdserverpb.KV/Txn", (101, 119), &[KEY])
        .call("etcd server etcdserverpb.KV/Txn", (102, 118), &[KEY])
        .call("kube-scheduler scheduleOnePod", (130, 140), ours)
        .inner(1, "kube-scheduler schedulingCycle", (131, 139), ours)
        .call("kube-scheduler bindingCycle", (140, 160), ours)
        .call(
            "apiserver GuaranteedUpdate etcd3",
            (142, 158),
            &[("etcd.key", "/pods/default/POD")],
        )
        .call("etcd server etcdserverpb.KV/Txn", (144, 156), &[KEY])
        .seen(160, |_| {})
        .call("kubelet SyncPod", (170, 900), ours)
        .inner(1, "kubelet WaitForAttachAndMount", (180, 300), ours)
        .inner(2, "kubelet kuberuntime.SyncPod", (310, 890), ours)
        .inner(
            1,
            "kubelet client runtime.v1.RuntimeService/RunPodSandbox",
            (320, 500),
            &[UID, NAME, NAMESPACE, SANDBOX],
        )
        .inner(
            1,
            "containerd server runtime.v1.RuntimeService/RunPodSandbox",
            (321, 499),
            &[UID, SANDBOX],
        )
        .inner(1, "containerd cni.Setup", (330, 400), &[])
        .inner(
            2,
            "containerd client containerd.task.v3.Task/Create",
            (410, 480),
            &[],
        )
        .inner(5, "kubelet EnsureImageExists", (510, 700), ours)
        .inner(
            1,
            "kubelet client runtime.v1.ImageService/PullImage",
            (520, 690),
            &[],
        )
        .inner(
            7,
            "kubelet client runtime.v1.RuntimeService/CreateContainer",
            (710, 750),
            &[UID, MAIN, CONTAINER],
        )
        .inner(
            8,
            "kubelet client runtime.v1.RuntimeService/StartContainer",
            (760, 860),
            &[CONTAINER],
        )
        .call(
            "apiserver GuaranteedUpdate etcd3",
            (1750, 1770),
            &[("etcd.key", "/pods/default/POD")],
        )
        .seen(1780, ready)
}

#[test]
fn a_start_is_told_from_probes_alone() {
    check(
        &complete(POD),
        "\
pod start 100..1780
  create 100..120
    etcd txn 102..118
  reconcile 100..170
  schedule 120..160
    queue 120..131
    scheduling cycle 131..139
    binding cycle 140..160
  bind 142..158
    etcd txn 144..156
  notice 156..170
  sync 170..900
    volumes 180..300
    kuberuntime.SyncPod 310..890
    sandbox 320..500
      runtime.v1.RuntimeService/RunPodSandbox 321..499
      cni 330..400
      runc create 410..480
    pull 510..700
    create container 710..750
    start container 760..860
  observe 860..1780
  status 1750..1770
",
    );
}

/// What the root says.
fn said(script: &Script, key: &str) -> String {
    let spans = Node::new().run(&script.in_order(3));
    let attribute = spans[0].attributes.iter().find(|(known, _)| **known == *key);
    attribute.map_or("nothing".to_owned(), |(_, value)| format!("{value:?}"))
}

#[test]
fn the_totals_are_those_of_the_startup_latency_sli() {
    let said = |key: &str| said(&complete(POD), key);
    assert_eq!(said("innerspan.pod_start.end_to_end"), "Number(1.68)");
    assert_eq!(said("innerspan.pod_start.sli"), "Number(1.49)");
    assert_eq!(said("innerspan.pod_start.creation_rounding"), "Number(0.1)");
    assert_eq!(said("innerspan.outcome"), "Text(\"ready\")");
    assert_eq!(said("k8s.replicaset.name"), "Text(\"web\")");
}

#[test]
fn a_phase_takes_its_times_from_the_component_and_links_to_its_span() {
    let ours: &[(&str, &str)] = &[UID, NAME, NAMESPACE];
    let script = Script::of(POD)
        .seen(50, |_| {})
        .native(7, "kubelet syncPod", (101, 899), ours)
        .call("kubelet SyncPod", (100, 900), ours)
        .kept(7)
        .native(
            7,
            "kubelet client runtime.v1.RuntimeService/RunPodSandbox",
            (201, 299),
            &[],
        )
        .call(
            "kubelet client runtime.v1.RuntimeService/RunPodSandbox",
            (200, 300),
            &[UID, SANDBOX],
        )
        .kept(7)
        .native(7, "containerd cni.setup_pod_network", (210, 250), &[SANDBOX])
        .native(7, "containerd cni.Setup", (211, 249), &[])
        .seen(1000, ready);
    check(
        &script,
        "\
pod start 0..1000
  notice 50..101
  sync 101..899
    sandbox 201..299
      cni 210..250
",
    );
    let spans = Node::new().run(&script.in_order(0));
    let sandbox = spans.iter().find(|span| &*span.name == "sandbox").unwrap();
    assert_eq!(sandbox.links.len(), 1);
    assert_eq!(sandbox.links[0].trace_id.0, [7; 16]);
}

#[test]
fn init_containers_and_probes_have_their_time() {
    let ours: &[(&str, &str)] = &[UID, NAME, NAMESPACE];
    let create = "kubelet client runtime.v1.RuntimeService/CreateContainer";
    let start = "kubelet client runtime.v1.RuntimeService/StartContainer";
    let named =
        |name: &'static str, id: &'static str| [UID, ("k8s.container.name", name), ("container.id", id)];
    let script = Script::of(POD)
        .seen(50, |pod| {
            pod.containers = vec![container("setup", Role::Init), container("main", Role::Main)];
            pod.containers[1].is_probed = true;
        })
        .call("kubelet SyncPod", (100, 300), ours)
        .inner(1, create, (110, 150), &named("setup", "c1"))
        .inner(2, start, (160, 200), &[("container.id", "c1")])
        .call("kubelet SyncPod", (2000, 2300), ours)
        .inner(1, create, (2010, 2050), &named("main", "c2"))
        .inner(2, start, (2060, 2100), &[("container.id", "c2")])
        .seen(3000, |pod| runs(&mut pod.containers[1]))
        .seen(8000, |pod| {
            pod.containers[1].is_ready = true;
            ready(pod);
        });
    check(
        &script,
        "\
pod start 0..8000
  notice 50..100
  sync 100..300
    create container 110..150
    start container 160..200
  init 200..2000
  sync 2000..2300
    create container 2010..2050
    start container 2060..2100
  observe 2100..3000
  probe 3000..8000
",
    );
}

#[test]
fn an_image_that_was_not_there_was_pulled_whoever_asked_the_runtime() {
    let ours: &[(&str, &str)] = &[UID, NAME, NAMESPACE];
    let image = &[UID, NAME, NAMESPACE, ("container.image.name", "image:1")];
    let script = Script::of(POD)
        .seen(160, |_| {})
        .call("kubelet SyncPod", (170, 900), ours)
        .inner(1, "kubelet EnsureImageExists", (200, 201), image)
        .inner(2, "kubelet EnsureImageExists", (300, 400), image)
        .inner(1, "kubelet pullImage", (310, 390), &[UID])
        .seen(1780, ready);
    check(
        &script,
        "\
pod start 0..1780
  notice 160..170
  sync 170..900
    EnsureImageExists 200..201
    pull 300..400
",
    );
    // To look whether it is there is part of the start.
    assert_eq!(said(&script, "innerspan.pod_start.sli"), "Number(1.7)");
    assert_eq!(said(&script, "innerspan.pod_start.creation_rounding"), "nothing");
}
