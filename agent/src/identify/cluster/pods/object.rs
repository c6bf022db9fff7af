//! A pod object of the API server turned into the vocabulary. Pure: values in, values out.
//!
//! It is read only as far as anything is made of it, and nothing of the rest is kept: managed fields, annotations and
//! volumes are most of a pod.

use std::{borrow::Cow, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Resource,
    core::{DynamicResourceScope, ObjectMeta},
};
use serde::{Deserialize, de::IgnoredAny};

use super::{Flaw, SUBJECT};
use crate::model::{
    pod::{Condition, Container, End, Owner, Phase, Pod, PodUid, Role, State},
    time::{Nanos, Wall},
};

/// What stands where a pod should. One that cannot be read spoils nothing around it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Received")]
pub(super) struct Sighting {
    pub(super) pod: Result<Arc<Pod>, Flaw>,
    /// The resource version alone, from which the watch is taken up again.
    meta: ObjectMeta,
}

/// What the API server sent.
#[derive(Deserialize)]
#[serde(untagged)]
enum Received {
    Pod(Box<Object>),
    Versioned { metadata: Version },
    Unreadable(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    namespace: Box<str>,
    name: Box<str>,
    resource_version: String,
    creation_timestamp: Time,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<u64>,
    #[serde(default)]
    annotations: Annotations,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
}

#[derive(Default, Deserialize)]
struct Annotations {
    /// Only the mirror of a static pod has this, and only a kubelet may make one.
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<IgnoredAny>,
    /// The UID by which the kubelet and the runtime know the static pod.
    #[serde(rename = "kubernetes.io/config.hash")]
    hash: Option<String>,
}

#[derive(Deserialize)]
struct OwnerReference {
    kind: Box<str>,
    name: Box<str>,
    #[serde(default)]
    controller: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    init_containers: Vec<ContainerSpec>,
    containers: Vec<ContainerSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerSpec {
    name: Box<str>,
    #[serde(default)]
    image: Box<str>,
    #[serde(default)]
    restart_policy: String,
    readiness_probe: Option<IgnoredAny>,
    startup_probe: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    reason: Box<str>,
    message: Box<str>,
    conditions: Vec<StatusCondition>,
    init_container_statuses: Vec<ContainerStatus>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusCondition {
    #[serde(rename = "type")]
    kind: Box<str>,
    status: String,
    last_transition_time: Option<Time>,
    #[serde(default)]
    reason: Box<str>,
    #[serde(default)]
    message: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: String,
    state: Stated,
    last_state: Stated,
    restart_count: u32,
    ready: bool,
}

/// Has one field at most.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Stated {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: Box<str>,
    message: Box<str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Option<Time>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terminated {
    #[serde(default, rename = "containerID")]
    container_id: String,
    exit_code: i32,
    #[serde(default)]
    reason: Box<str>,
    #[serde(default)]
    message: Box<str>,
    /// Null if it never was.
    started_at: Option<Time>,
    finished_at: Option<Time>,
}

impl Resource for Sighting {
    type DynamicType = ();
    type Scope = DynamicResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        SUBJECT.rule.group.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        SUBJECT.rule.resource.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

impl From<Received> for Sighting {
    fn from(received: Received) -> Self {
        let (version, pod) = match received {
            Received::Pod(mut object) => {
                let version = std::mem::take(&mut object.metadata.resource_version);
                (Some(version), pod(*object).map(Arc::new).ok_or(Flaw::Uid))
            }
            Received::Versioned { metadata } => (Some(metadata.resource_version), Err(Flaw::Shape)),
            Received::Unreadable(IgnoredAny) => (None, Err(Flaw::Shape)),
        };
        Self {
            pod,
            meta: ObjectMeta {
                resource_version: version,
                ..ObjectMeta::default()
            },
        }
    }
}

/// The pod, if it has a UID that can name a trace.
fn pod(object: Object) -> Option<Pod> {
    let Object {
        metadata,
        spec,
        status,
    } = object;
    let is_static = metadata.annotations.mirror.is_some();
    let hash = metadata.annotations.hash.filter(|_| is_static);
    let init = containers(spec.init_containers, status.init_container_statuses, |spec| {
        if spec.restart_policy == "Always" {
            Role::Sidecar
        } else {
            Role::Init
        }
    });
    let main = containers(spec.containers, status.container_statuses, |_| Role::Main);
    Some(Pod {
        uid: PodUid::parse(&hash.unwrap_or(metadata.uid))?,
        namespace: metadata.namespace.into(),
        name: metadata.name.into(),
        is_static,
        owner: owner(metadata.owner_references),
        created: nanos(metadata.creation_timestamp),
        deletion: metadata.deletion_timestamp.map(nanos),
        deletion_grace: metadata.deletion_grace_period_seconds,
        phase: match &*status.phase {
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            _ => Phase::Pending,
        },
        reason: status.reason,
        message: status.message,
        conditions: status.conditions.into_iter().map(Condition::from).collect(),
        containers: init.chain(main).collect(),
    })
}

fn owner(references: Vec<OwnerReference>) -> Option<Owner> {
    let controller = references.into_iter().find(|owner| owner.controller)?;
    Some(Owner {
        kind: controller.kind.into(),
        name: controller.name.into(),
    })
}

/// Each container of the specification with the status of its name.
fn containers(
    specs: Vec<ContainerSpec>,
    mut statuses: Vec<ContainerStatus>,
    role: impl Fn(&ContainerSpec) -> Role,
) -> impl Iterator<Item = Container> {
    specs.into_iter().map(move |spec| {
        let at = statuses.iter().position(|status| *status.name == *spec.name);
        let status = at.map(|at| statuses.swap_remove(at)).unwrap_or_default();
        Container {
            role: role(&spec),
            name: spec.name.into(),
            image: spec.image.into(),
            is_probed: spec.readiness_probe.is_some() || spec.startup_probe.is_some(),
            id: bare(&status.container_id),
            state: status.state.into(),
            last_end: status.last_state.terminated.map(End::from),
            restarts: status.restart_count,
            is_ready: status.ready,
        }
    })
}

impl From<StatusCondition> for Condition {
    fn from(condition: StatusCondition) -> Self {
        Self {
            kind: condition.kind.into(),
            is_true: condition.status == "True",
            since: instant(condition.last_transition_time),
            reason: condition.reason,
            message: condition.message,
        }
    }
}

impl From<Stated> for State {
    fn from(stated: Stated) -> Self {
        match stated {
            Stated {
                terminated: Some(end),
                ..
            } => Self::Terminated(end.into()),
            Stated {
                running: Some(running),
                ..
            } => Self::Running {
                since: instant(running.started_at),
            },
            Stated { waiting, .. } => {
                let Waiting { reason, message } = waiting.unwrap_or_default();
                Self::Waiting { reason, message }
            }
        }
    }
}

impl From<Terminated> for End {
    fn from(end: Terminated) -> Self {
        Self {
            id: bare(&end.container_id),
            exit_code: end.exit_code,
            reason: end.reason,
            message: end.message,
            started: instant(end.started_at),
            finished: instant(end.finished_at),
        }
    }
}

/// The runtime's id without the runtime's name in front.
fn bare(id: &str) -> Arc<str> {
    id.split_once("://").map_or(id, |(_, id)| id).into()
}

/// What never was is at the start of the epoch, where the kubelet often puts it itself.
fn instant(time: Option<Time>) -> Nanos<Wall> {
    time.map(nanos).unwrap_or_default()
}

fn nanos(Time(time): Time) -> Nanos<Wall> {
    Nanos::new(u64::try_from(time.as_nanosecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
