//! A piece of work that some component did for a pod: what it was, and whose.
//!
//! In: spans, native ones and calls alike, told apart by name. Out: what was done, and the keys under which the pod
//! can be found. Names are those of Kubernetes 1.28 to 1.36, etcd 3.4 to 3.7, containerd 1.6 to 2.4 and CRI-O.

use std::sync::{Arc, LazyLock};

use crate::model::{
    attr::{self, Said},
    pod::PodUid,
    trace::{Link, Span, SpanKind, SpanRef, TraceId},
};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Deed {
    /// A controller looked at the object that owns pods.
    Reconcile,
    /// The API server answered a request about the pod.
    Request(Verb),
    /// The API server wrote the pod to its storage, as part of a request.
    Store(Verb),
    /// etcd's part of a write.
    Transaction,
    /// One attempt of the scheduler.
    Schedule,
    /// Choosing a node, and setting it aside for the pod.
    SchedulingCycle,
    /// Choosing a node.
    Choose,
    /// Telling the API server the choice.
    BindingCycle,
    /// The kubelet heard of the pod.
    Addition,
    /// The kubelet brought the pod nearer to what it should be.
    Sync,
    /// The kubelet stopped the pod's containers.
    SyncTerminating,
    /// The kubelet cleared away what the pod had.
    SyncTerminated,
    /// Waited for volumes to be mounted.
    Volumes,
    /// Waited for volumes to be unmounted.
    Unmount,
    RunSandbox,
    StopSandbox,
    RemoveSandbox,
    /// The network plugins set up the sandbox.
    Network,
    /// Saw to an image, pulling it or not.
    Image,
    /// Saw to an image that was not there.
    Pull,
    PullImage,
    Unpack,
    CreateContainer,
    StartContainer,
    StopContainer,
    RemoveContainer,
    /// What a container asks for after its start or before its end, `postStart` or `preStop`.
    Hook,
    /// The shim and runc made a container.
    TaskCreate,
    /// The shim and runc started it.
    TaskStart,
    /// The kubelet told the API server of the pod's status.
    ReportStatus,
    /// Anything else inside a call that worked on a pod.
    Detail,
}

/// What the API server was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Verb {
    Create,
    Bind,
    Status,
    Delete,
    /// A change of unknown purpose.
    Update,
}

/// Attributes of native spans that say what was done for whom.
static KEYS: LazyLock<[Arc<str>; 15]> = LazyLock::new(|| {
    [
        attr::CONTAINER_ID,
        attr::HTTP_TARGET,
        attr::K8S_NAMESPACE_NAME,
        attr::K8S_POD_NAME,
        attr::K8S_POD_UID,
        attr::SANDBOX_ID,
        attr::URL_PATH,
        "audit-id",
        "cni.id",
        "compare_first_key",
        "container.name",
        "image.ref",
        "key",
        "sandbox.name",
        "task.container.id",
    ]
    .map(Arc::from)
});

/// Those that name an object by its key in etcd.
const OBJECT_KEYS: [&str; 3] = ["key", attr::ETCD_KEY, "compare_first_key"];

impl Deed {
    /// What a span of this name is; none if it says nothing about a pod.
    pub(super) fn of(service: &str, name: &str, kind: SpanKind) -> Option<Self> {
        Some(match name {
            "syncPod" | "SyncPod" => Self::Sync,
            "syncTerminatingPod" | "SyncTerminatingPod" => Self::SyncTerminating,
            "syncTerminatedPod" | "SyncTerminatedPod" => Self::SyncTerminated,
            "HandlePodAdditions" => Self::Addition,
            "WaitForAttachAndMount" => Self::Volumes,
            "WaitForUnmount" => Self::Unmount,
            "EnsureImageExists" => Self::Image,
            "pullImage" => Self::Pull,
            "lifecycle.Run" => Self::Hook,
            "status.syncPod" => Self::ReportStatus,
            "scheduleOnePod" => Self::Schedule,
            "schedulingCycle" => Self::SchedulingCycle,
            "schedulePod" => Self::Choose,
            "bindingCycle" => Self::BindingCycle,
            "cni.Setup" | "cni.setup_pod_network" => Self::Network,
            "unpack" | "pkg.unpack.unpacker.unpack" => Self::Unpack,
            "Create etcd3" => Self::Store(Verb::Create),
            "GuaranteedUpdate etcd3" => Self::Store(Verb::Update),
            "Delete etcd3" => Self::Store(Verb::Delete),
            "etcdserverpb.KV/Txn" | "txn" => Self::Transaction,
            _ if service == "apiserver" => return Self::of_request(name, kind),
            _ if service == "kube-controller-manager" && name.starts_with("sync") => Self::Reconcile,
            _ => return Self::of_runtime_call(name),
        })
    }

    /// `POST /api/v1/namespaces/{:namespace}/pods`
    fn of_request(name: &str, kind: SpanKind) -> Option<Self> {
        if kind != SpanKind::Server {
            return None;
        }
        let (method, path) = name.split_once(' ')?;
        let below = path.strip_prefix("/api/v1/namespaces/{:namespace}/pods")?;
        Some(Self::Request(match (method, below) {
            ("POST", "") => Verb::Create,
            ("POST", "/{:name}/binding") => Verb::Bind,
            ("PATCH" | "PUT", "/{:name}/status") => Verb::Status,
            ("DELETE", "/{:name}") => Verb::Delete,
            ("PATCH" | "PUT", "/{:name}") => Verb::Update,
            _ => return None,
        }))
    }

    fn of_runtime_call(name: &str) -> Option<Self> {
        let (interface, method) = name.split_once('/')?;
        Some(match (interface, method) {
            ("runtime.v1.RuntimeService", "RunPodSandbox") => Self::RunSandbox,
            ("runtime.v1.RuntimeService", "StopPodSandbox") => Self::StopSandbox,
            ("runtime.v1.RuntimeService", "RemovePodSandbox") => Self::RemoveSandbox,
            ("runtime.v1.RuntimeService", "CreateContainer") => Self::CreateContainer,
            ("runtime.v1.RuntimeService", "StartContainer") => Self::StartContainer,
            ("runtime.v1.RuntimeService", "StopContainer") => Self::StopContainer,
            ("runtime.v1.RuntimeService", "RemoveContainer") => Self::RemoveContainer,
            ("runtime.v1.ImageService", "PullImage") => Self::PullImage,
            ("containerd.task.v2.Task" | "containerd.task.v3.Task", "Create") => Self::TaskCreate,
            ("containerd.task.v2.Task" | "containerd.task.v3.Task", "Start") => Self::TaskStart,
            _ => return None,
        })
    }
}

/// The attributes to keep of a native span, whose attributes `said` reads; none if it says nothing about a pod.
#[must_use]
pub fn wanted<'a>(span: SpanRef<'_>, said: impl Fn(&str) -> Option<Said<'a>>) -> Option<&'static [Arc<str>]> {
    // Most writes are not of pods.
    let object = match Deed::of(span.service, span.name, span.kind)? {
        Deed::Store(_) => said("key"),
        Deed::Transaction => said("compare_first_key"),
        _ => None,
    };
    let is_other =
        matches!(object, Some(Said::Text(key)) if !key.is_empty() && pod_of_object_key(key).is_none());
    (!is_other).then_some(&*KEYS)
}

/// What makes two pieces of work those of the same pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    Pod(PodUid),
    /// Namespace and name.
    Name(Arc<str>, Arc<str>),
    Sandbox(Arc<str>),
    Container(Arc<str>),
    Trace(TraceId),
    /// Kind, namespace and name of an object that owns pods.
    Owner(&'static str, Arc<str>, Arc<str>),
}

/// A piece of work.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Work {
    pub(super) deed: Deed,
    pub(super) span: Span,
    pub(super) place: Place,
    /// Whether a component reported it itself.
    pub(super) is_native: bool,
}

/// Where the span of a piece of work is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a trace of its own, or a native one.
    Elsewhere,
    /// Nowhere: the component reports the same work.
    Nowhere,
    /// In the trace of the pod, which must not lose it.
    Here,
}

impl Work {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        let attributes = self.span.attributes.iter();
        let mut found = attributes.filter(|(known, _)| &**known == key);
        found.next_back().and_then(|(_, value)| value.text())
    }

    /// The same, as one that no pod's trace has to keep.
    pub(super) fn elsewhere(mut self) -> Self {
        if self.place == Place::Here {
            self.place = Place::Elsewhere;
        }
        self
    }

    /// What a phase of the same work links to.
    pub(super) fn link(&self) -> Option<Link> {
        (self.place == Place::Elsewhere).then_some(Link {
            trace_id: self.span.trace_id,
            span_id: self.span.span_id,
        })
    }

    /// Under what this work, and whatever else the same pod is known by, can be found. `pod` is what the calls around
    /// it said.
    pub(super) fn keys(&self, pod: Option<PodUid>) -> Vec<Key> {
        let mut keys = vec![Key::Trace(self.span.trace_id)];
        let text = |key| self.text(key).filter(|text| !text.is_empty());
        let uid = text(attr::K8S_POD_UID).and_then(PodUid::parse);
        keys.extend(uid.or(pod).map(Key::Pod));
        if let (Some(namespace), Some(name)) = (text(attr::K8S_NAMESPACE_NAME), text(attr::K8S_POD_NAME)) {
            keys.push(Key::Name(namespace.into(), name.into()));
        }
        let stored = OBJECT_KEYS.into_iter().filter_map(text);
        keys.extend(stored.filter_map(pod_of_object_key));
        keys.extend(
            text(attr::URL_PATH)
                .or(text(attr::HTTP_TARGET))
                .and_then(pod_of_path),
        );
        let sandboxes = [text(attr::SANDBOX_ID), text("cni.id")];
        keys.extend(sandboxes.into_iter().flatten().map(|id| Key::Sandbox(id.into())));
        let containers = [text(attr::CONTAINER_ID), text("task.container.id")];
        keys.extend(
            containers
                .into_iter()
                .flatten()
                .map(|id| Key::Container(id.into())),
        );
        let named = [text("sandbox.name"), text("container.name")];
        keys.extend(named.into_iter().flatten().filter_map(pod_of_runtime_name));
        keys.extend(self.owner());
        keys
    }

    /// Of its keys those under which other work must be this pod's too. Its trace is none where it may be that of
    /// many pods: the kubelet collects the garbage of all in one, and so does a request that deletes a collection.
    pub(super) fn leads(&self, keys: Vec<Key>) -> impl Iterator<Item = Key> {
        let is_of_one_pod = match self.deed {
            Deed::Sync | Deed::SyncTerminating | Deed::SyncTerminated | Deed::Request(_) => true,
            Deed::Store(verb) => verb == Verb::Create,
            Deed::Addition => false,
            _ => self.span.parent.is_none(),
        };
        keys.into_iter()
            .filter(move |key| is_of_one_pod || !matches!(key, Key::Trace(_)))
    }

    /// Whether it says what it is about, and that is no pod.
    pub(super) fn is_of_another_object(&self, keys: &[Key]) -> bool {
        let names_object = OBJECT_KEYS
            .iter()
            .any(|key| self.text(key).is_some_and(|key| !key.is_empty()));
        names_object && !keys.iter().any(|key| matches!(key, Key::Name(..)))
    }

    /// Of a controller's work: the object that it looked at.
    fn owner(&self) -> Option<Key> {
        if self.deed != Deed::Reconcile {
            return None;
        }
        let namespace = self.text(attr::K8S_NAMESPACE_NAME)?;
        let (kind, name) = OWNERS
            .iter()
            .find_map(|(kind, key)| Some((*kind, self.text(key)?)))?;
        Some(Key::Owner(kind, namespace.into(), name.into()))
    }
}

/// Kinds of objects that own pods, directly or through one another, and the attribute that names one.
pub(super) const OWNERS: [(&str, &str); 5] = [
    ("ReplicaSet", "k8s.replicaset.name"),
    ("Deployment", "k8s.deployment.name"),
    ("StatefulSet", "k8s.statefulset.name"),
    ("DaemonSet", "k8s.daemonset.name"),
    ("Job", "k8s.job.name"),
];

/// `/registry/pods/NAMESPACE/NAME`, or without the first part.
fn pod_of_object_key(key: &str) -> Option<Key> {
    let (_, rest) = key.split_once("/pods/")?;
    let (namespace, name) = rest.split_once('/')?;
    Some(Key::Name(namespace.into(), name.into()))
}

/// `/api/v1/namespaces/NAMESPACE/pods/NAME/status?query`
fn pod_of_path(path: &str) -> Option<Key> {
    let path = path.split('?').next()?;
    let (namespace, rest) = path.strip_prefix("/api/v1/namespaces/")?.split_once("/pods/")?;
    let name = rest.split('/').next().filter(|name| !name.is_empty())?;
    Some(Key::Name(namespace.into(), name.into()))
}

/// `[CONTAINER_]POD_NAMESPACE_UID_ATTEMPT`, as the runtimes name sandboxes and containers.
fn pod_of_runtime_name(name: &str) -> Option<Key> {
    let uid = name.rsplit('_').nth(1)?;
    PodUid::parse(uid).map(Key::Pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_known_by_what_components_call_it() {
        let name = |text: &str| Some(Key::Name("default".into(), text.into()));
        assert_eq!(pod_of_object_key("/registry/pods/default/a"), name("a"));
        assert_eq!(pod_of_object_key("/pods/default/a"), name("a"));
        assert_eq!(pod_of_object_key("/registry/leases/default/a"), None);
        assert_eq!(
            pod_of_path("/api/v1/namespaces/default/pods/a/status?x=/pods/b"),
            name("a")
        );
        assert_eq!(pod_of_path("/api/v1/namespaces/default/pods"), None);
        let uid = "e4ca9bb2-76b5-4f1c-8a1c-0dfbae5ad301";
        let key = PodUid::parse(uid).map(Key::Pod);
        assert_eq!(pod_of_runtime_name(&format!("c_p_default_{uid}_0")), key);
        assert_eq!(pod_of_runtime_name("c_p"), None);
    }

    #[test]
    fn names_tell_what_was_done() {
        use SpanKind::{Client, Internal, Server};
        let of = Deed::of;
        let pods = "/api/v1/namespaces/{:namespace}/pods";
        let request = |method: &str, below: &str| of("apiserver", &format!("{method} {pods}{below}"), Server);
        assert_eq!(request("POST", ""), Some(Deed::Request(Verb::Create)));
        assert_eq!(
            request("POST", "/{:name}/binding"),
            Some(Deed::Request(Verb::Bind))
        );
        assert_eq!(
            request("PATCH", "/{:name}/status"),
            Some(Deed::Request(Verb::Status))
        );
        assert_eq!(request("GET", "/{:name}"), None);
        assert_eq!(of("kubelet", "syncPod", Internal), Some(Deed::Sync));
        let run = "runtime.v1.RuntimeService/RunPodSandbox";
        assert_eq!(of("kubelet", run, Client), Some(Deed::RunSandbox));
        assert_eq!(
            of("kubelet", "runtime.v1.RuntimeService/ListContainers", Client),
            None
        );
        assert_eq!(
            of("kube-controller-manager", "syncReplicaSet", Internal),
            Some(Deed::Reconcile)
        );
    }
}
