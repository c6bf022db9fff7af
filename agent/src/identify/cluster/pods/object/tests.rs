//! Pod objects as the API server writes them.

use serde_json::{Value, json};

use super::*;

const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// 2026-11-28T17:00:00Z.
const SECOND: u64 = 1_795_885_200;

fn at(seconds: u64) -> Nanos<Wall> {
    Nanos::new((SECOND + seconds) * 1_000_000_000)
}

fn sighting(object: &Value) -> Sighting {
    serde_json::from_str(&object.to_string()).unwrap()
}

fn read(object: &Value) -> Arc<Pod> {
    sighting(object).pod.unwrap()
}

/// A pod that has just been bound to its node.
fn bound() -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "web-5d-x", "generateName": "web-5d-", "namespace": "shop", "uid": UID,
            "resourceVersion": "41", "creationTimestamp": "2026-11-28T17:00:00Z",
            "labels": { "app": "web" },
            "annotations": { "kubernetes.io/config.hash": "no hash, for it is no mirror" },
            "ownerReferences": [
                { "apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "1" },
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d", "uid": "2", "controller": true },
            ],
            "managedFields": [{ "manager": "kubelet", "fieldsV1": { "f:metadata": { "f:labels": {} } } }],
        },
        "spec": {
            "nodeName": "node-1",
            "initContainers": [
                { "name": "fetch", "image": "fetch:1" },
                { "name": "proxy", "image": "proxy:2", "restartPolicy": "Always",
                  "startupProbe": { "tcpSocket": { "port": 1 } } },
            ],
            "containers": [
                { "name": "web", "image": "web:3", "resources": {},
                  "readinessProbe": { "httpGet": { "path": "/", "port": 80 } } },
                { "name": "log", "image": "log:4" },
            ],
        },
        "status": {
            "phase": "Pending",
            "conditions": [{
                "type": "PodScheduled", "status": "True",
                "lastProbeTime": null, "lastTransitionTime": "2026-11-28T17:00:01Z",
            }],
        },
    })
}

fn end(id: &str, exit_code: i32, reason: &str, message: &str, ran: (Nanos<Wall>, Nanos<Wall>)) -> End {
    End {
        id: id.into(),
        exit_code,
        reason: reason.into(),
        message: message.into(),
        started: ran.0,
        finished: ran.1,
    }
}

/// Of the container `web`, whose status has these fields.
fn container(status: &Value) -> Container {
    let mut object = bound();
    let mut entry = json!({ "name": "web", "image": "web:3", "restartCount": 0, "ready": false });
    entry
        .as_object_mut()
        .unwrap()
        .extend(status.as_object().unwrap().clone());
    object["status"]["containerStatuses"] =
        json!([{ "name": "log", "containerID": "containerd://4" }, entry]);
    read(&object).containers[2].clone()
}

#[test]
fn a_pod_is_read_before_it_has_a_status_of_its_containers() {
    let pod = read(&bound());
    assert_eq!(pod.uid, PodUid::parse(UID).unwrap());
    assert_eq!((&*pod.namespace, &*pod.name), ("shop", "web-5d-x"));
    assert!(!pod.is_static);
    let owner = pod.owner.as_ref().unwrap();
    assert_eq!((&*owner.kind, &*owner.name), ("ReplicaSet", "web-5d"));
    assert_eq!(
        (pod.created, pod.deletion, pod.deletion_grace),
        (at(0), None, None)
    );
    assert_eq!(pod.phase, Phase::Pending);
    let scheduled = Condition {
        kind: "PodScheduled".into(),
        is_true: true,
        since: at(1),
        reason: "".into(),
        message: "".into(),
    };
    assert_eq!(pod.conditions, [scheduled]);
    let names: Vec<_> = pod
        .containers
        .iter()
        .map(|container| (&*container.name, container.role))
        .collect();
    let expected = [
        ("fetch", Role::Init),
        ("proxy", Role::Sidecar),
        ("web", Role::Main),
        ("log", Role::Main),
    ];
    assert_eq!(names, expected);
    let probes: Vec<_> = pod
        .containers
        .iter()
        .map(|container| container.is_probed)
        .collect();
    assert_eq!(probes, [false, true, true, false]);
    let web = Container {
        name: "web".into(),
        role: Role::Main,
        image: "web:3".into(),
        is_probed: true,
        id: "".into(),
        state: State::Waiting {
            reason: "".into(),
            message: "".into(),
        },
        last_end: None,
        restarts: 0,
        is_ready: false,
    };
    assert_eq!(pod.containers[2], web);
}

#[test]
fn a_container_waits_and_says_why() {
    let status =
        json!({ "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } });
    let expected = State::Waiting {
        reason: "ImagePullBackOff".into(),
        message: "no such image".into(),
    };
    assert_eq!(container(&status).state, expected);
    let nothing = State::Waiting {
        reason: "".into(),
        message: "".into(),
    };
    assert_eq!(container(&json!({ "state": {} })).state, nothing);
    assert_eq!(container(&json!({ "state": { "waiting": {} } })).state, nothing);
}

#[test]
fn a_container_runs_after_a_run_that_ended() {
    let web = container(&json!({
        "containerID": "containerd://bb", "restartCount": 2, "ready": true, "started": true,
        "state": { "running": { "startedAt": "2026-11-28T17:00:09Z" } },
        "lastState": { "terminated": {
            "containerID": "containerd://aa", "exitCode": 137, "reason": "OOMKilled",
            "startedAt": "2026-11-28T17:00:03Z", "finishedAt": "2026-11-28T17:00:05Z",
        } },
    }));
    assert_eq!((&*web.id, web.restarts, web.is_ready), ("bb", 2, true));
    assert_eq!(web.state, State::Running { since: at(9) });
    assert_eq!(
        web.last_end,
        Some(end("aa", 137, "OOMKilled", "", (at(3), at(5))))
    );
}

#[test]
fn a_container_that_never_started_has_an_end_without_times() {
    let web = container(&json!({
        "state": { "terminated": {
            "exitCode": 128, "reason": "StartError", "message": "no such file",
            "startedAt": null, "finishedAt": "2026-11-28T17:00:05Z",
        } },
    }));
    let never = Nanos::default();
    assert_eq!(
        web.state,
        State::Terminated(end("", 128, "StartError", "no such file", (never, at(5))))
    );
}

#[test]
fn a_pod_that_failed_or_ends_says_so() {
    let mut object = bound();
    object["status"]["phase"] = json!("Failed");
    object["status"]["reason"] = json!("Evicted");
    object["status"]["message"] = json!("low on memory");
    object["metadata"]["deletionTimestamp"] = json!("2026-11-28T17:00:30Z");
    object["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    let pod = read(&object);
    assert_eq!(
        (pod.phase, &*pod.reason, &*pod.message),
        (Phase::Failed, "Evicted", "low on memory")
    );
    assert_eq!((pod.deletion, pod.deletion_grace), (Some(at(30)), Some(30)));
}

#[test]
fn the_mirror_of_a_static_pod_has_the_uid_by_which_the_kubelet_knows_it() {
    let hash = "3a4b5c6d7e8f90123a4b5c6d7e8f9012";
    let mut object = bound();
    object["metadata"]["annotations"] = json!({
        "kubernetes.io/config.hash": hash,
        "kubernetes.io/config.mirror": hash,
        "kubernetes.io/config.source": "file",
    });
    let pod = read(&object);
    assert!(pod.is_static);
    assert_eq!(pod.uid, PodUid::parse(hash).unwrap());
}

#[test]
fn what_cannot_be_read_keeps_its_version_if_it_has_one() {
    let mut object = bound();
    object["metadata"]["uid"] = json!("my-static-pod");
    let unnamed = sighting(&object);
    assert_eq!(unnamed.pod, Err(Flaw::Uid));
    assert_eq!(unnamed.meta.resource_version.as_deref(), Some("41"));
    for (path, value) in [
        ("/metadata/uid", json!(5)),
        ("/metadata/creationTimestamp", Value::Null),
        ("/metadata/creationTimestamp", json!("yesterday")),
        ("/spec", Value::Null),
        ("/spec/containers/0", json!({})),
        ("/status/phase", json!(["Running"])),
    ] {
        let mut object = bound();
        *object.pointer_mut(path).unwrap() = value;
        let misshapen = sighting(&object);
        assert_eq!(misshapen.pod, Err(Flaw::Shape), "{path}");
        assert_eq!(misshapen.meta.resource_version.as_deref(), Some("41"), "{path}");
    }
    for nothing in [Value::Null, json!(7), json!([]), json!({ "metadata": 1 })] {
        assert_eq!(sighting(&nothing).pod, Err(Flaw::Shape), "{nothing}");
    }
}

mod properties {
    use proptest::{
        collection::{btree_map, vec},
        prelude::*,
    };

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-zA-Z:/-]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                btree_map("[a-zA-Z]{1,8}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    /// Every place in an object.
    fn places(value: &Value, path: String, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                places(value, format!("{path}/{}", key.replace('/', "~1")), into);
            }),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(at, value)| places(value, format!("{path}/{at}"), into)),
            _ => {}
        }
        into.push(path);
    }

    proptest! {
        /// Whatever stands in the place of a part, the object is read or passed over.
        #[test]
        fn any_damage_is_read_or_passed_over(place in any::<prop::sample::Index>(), damage in any_json()) {
            let mut object = bound();
            let mut all = Vec::new();
            places(&object, String::new(), &mut all);
            let place: &String = place.get(&all);
            *object.pointer_mut(place).unwrap() = damage;
            let read: Result<Sighting, _> = serde_json::from_str(&object.to_string());
            prop_assert!(read.is_ok());
        }
    }
}
