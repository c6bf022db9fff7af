//! One question: which span of the agent and which span of a component are of the same call?
//!
//! In: all spans that arrived. Out: for each kind of call the component's spans, each with the
//! agent's, one to one. Calls are told by ids: the agent reads the native context that a call
//! carries, so its span is below that native span, or below spans of its own that are.

use std::collections::{HashMap, HashSet};

use super::spans::Span;

/// Calls of the container runtime of which the agent makes a span each.
const CRI: [&str; 12] = [
    "runtime.v1.RuntimeService/RunPodSandbox",
    "runtime.v1.RuntimeService/CreateContainer",
    "runtime.v1.RuntimeService/StartContainer",
    "runtime.v1.RuntimeService/StopContainer",
    "runtime.v1.RuntimeService/RemoveContainer",
    "runtime.v1.RuntimeService/UpdateContainerResources",
    "runtime.v1.RuntimeService/ReopenContainerLog",
    "runtime.v1.RuntimeService/ExecSync",
    "runtime.v1.RuntimeService/StopPodSandbox",
    "runtime.v1.RuntimeService/RemovePodSandbox",
    "runtime.v1.ImageService/PullImage",
    "runtime.v1.ImageService/RemoveImage",
];

/// What the kubelet asks the container runtime all day long: the agent makes a span of a call only when it is slow.
const ASKED: [&str; 9] = [
    "runtime.v1.RuntimeService/ContainerStatus",
    "runtime.v1.RuntimeService/ListContainers",
    "runtime.v1.RuntimeService/ListPodSandbox",
    "runtime.v1.RuntimeService/PodSandboxStatus",
    "runtime.v1.RuntimeService/Status",
    "runtime.v1.RuntimeService/Version",
    "runtime.v1.ImageService/ImageFsInfo",
    "runtime.v1.ImageService/ImageStatus",
    "runtime.v1.ImageService/ListImages",
];

/// What the kubelet does with a pod, as it and as the agent calls it.
const SYNCS: [(&str, &str); 3] = [
    ("syncPod", "SyncPod"),
    ("syncTerminatingPod", "SyncTerminatingPod"),
    ("syncTerminatedPod", "SyncTerminatedPod"),
];

/// Calls of etcd, and what etcd calls the work within.
const KV: [(&str, &str); 4] = [
    ("etcdserverpb.KV/Txn", "txn"),
    ("etcdserverpb.KV/Range", "range"),
    ("etcdserverpb.KV/Put", "put"),
    ("etcdserverpb.KV/DeleteRange", "delete_range"),
];

/// Of these keys the agent makes a span of every call; of others when it is slow.
const PODS: &str = "/registry/pods/";

/// Where etcd says the key of its work, and where the agent does.
const NATIVE_KEYS: [&str; 3] = ["compare_first_key", "range_begin", "key"];
const OWN_KEY: &str = "etcd.key";
const POD: &str = "k8s.pod.uid";

/// How far the clocks of the agent and of a component may be apart on one machine, in nanoseconds.
const CLOCKS: u64 = 1_000_000;

/// How a call's context leads to the component's own span of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tie {
    /// A client makes its span within the call: both have the same parent.
    Parent,
    /// A server made its span before the call, which carries it.
    Context,
    /// The component's span is a child of the one that the call carries.
    Within,
    /// The call makes the span and is given none: the same pod, and the call is around the span.
    Pod,
}

/// Calls that a component reports under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) service: &'static str,
    /// The name of the component's spans.
    pub(crate) native: &'static str,
    own: &'static str,
    tie: Tie,
    made: Made,
}

/// Of which calls the agent makes a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Always,
    /// Of those about a pod's key, and of slow ones.
    OfPods,
    WhenSlow,
}

/// The calls of one kind.
#[derive(Debug)]
pub(crate) struct Twins<'a> {
    pub(crate) kind: Kind,
    pub(crate) pairs: Vec<Pair<'a>>,
}

/// A span of a component, and the agent's of the same call if there is one.
#[derive(Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) native: &'a Span,
    pub(crate) own: Option<&'a Span>,
    /// Whether the agent makes a span of every such call, however fast.
    pub(crate) expected: bool,
}

/// Which of these spans are of the same call.
pub(crate) fn find(spans: &[Span]) -> Vec<Twins<'_>> {
    let index = Index::of(spans);
    kinds()
        .into_iter()
        .map(|kind| Twins {
            kind,
            pairs: index.pairs(kind),
        })
        .collect()
}

fn kinds() -> Vec<Kind> {
    let kind = |service, native, own, tie, made| Kind {
        service,
        native,
        own,
        tie,
        made,
    };
    let runtime = |name, made| {
        [
            kind("kubelet", name, name, Tie::Parent, made),
            kind("containerd", name, name, Tie::Context, made),
        ]
    };
    let storage = |(name, within)| {
        [
            kind("apiserver", name, name, Tie::Parent, Made::OfPods),
            kind("etcd", name, name, Tie::Context, Made::OfPods),
            kind("etcd", within, name, Tie::Within, Made::OfPods),
        ]
    };
    let syncs = SYNCS.map(|(native, own)| kind("kubelet", native, own, Tie::Pod, Made::Always));
    let mut kinds = syncs.to_vec();
    kinds.extend(CRI.into_iter().flat_map(|name| runtime(name, Made::Always)));
    kinds.extend(ASKED.into_iter().flat_map(|name| runtime(name, Made::WhenSlow)));
    kinds.extend(KV.into_iter().flat_map(storage));
    kinds
}

/// A span's trace and its own id, or its parent's.
type Id<'a> = (&'a [u8], &'a [u8]);

#[derive(Debug)]
struct Index<'a> {
    natives: HashMap<(&'a str, &'a str), Vec<&'a Span>>,
    own: HashMap<(&'a str, &'a str), Vec<&'a Span>>,
    own_by_id: HashMap<Id<'a>, &'a Span>,
    native_traces: HashSet<&'a [u8]>,
    native_children: HashMap<Id<'a>, Vec<&'a Span>>,
}

impl<'a> Index<'a> {
    /// A span that was sent twice counts once.
    fn of(spans: &'a [Span]) -> Self {
        let mut index = Self {
            natives: HashMap::new(),
            own: HashMap::new(),
            own_by_id: HashMap::new(),
            native_traces: HashSet::new(),
            native_children: HashMap::new(),
        };
        let mut seen: HashSet<Id<'_>> = HashSet::new();
        let mut spans: Vec<_> = spans
            .iter()
            .filter(|span| seen.insert((&span.trace, &span.id)))
            .collect();
        spans.sort_by_key(|span| span.begin);
        for span in spans {
            let name = (&*span.service, &*span.name);
            if span.own {
                index.own.entry(name).or_default().push(span);
                index.own_by_id.insert((&span.trace, &span.id), span);
            } else {
                index.natives.entry(name).or_default().push(span);
                index.native_traces.insert(&span.trace);
                let parent = (&*span.trace, &*span.parent);
                index.native_children.entry(parent).or_default().push(span);
            }
        }
        index
    }

    fn pairs(&self, kind: Kind) -> Vec<Pair<'a>> {
        let named = |spans: &HashMap<_, Vec<&'a Span>>, name| {
            spans.get(&(kind.service, name)).cloned().unwrap_or_default()
        };
        let mut free: HashMap<Option<Id<'_>>, Vec<&Span>> = HashMap::new();
        for span in named(&self.own, kind.own) {
            free.entry(self.context(span)).or_default().push(span);
        }
        let natives = named(&self.natives, kind.native).into_iter();
        natives
            .map(|native| {
                let candidates = free.get_mut(&carried(kind, native));
                Pair {
                    native,
                    own: candidates.and_then(|free| self.take(kind, native, free)),
                    expected: match kind.made {
                        Made::Always => true,
                        Made::OfPods => self.key(native).is_some_and(|key| key.starts_with(PODS)),
                        Made::WhenSlow => false,
                    },
                }
            })
            .collect()
    }

    /// Takes the one of these calls that the native span is about; of several the one that began next to it.
    fn take(&self, kind: Kind, native: &Span, free: &mut Vec<&'a Span>) -> Option<&'a Span> {
        let fits = |own: &Span| {
            let is_around = own.begin <= native.begin + CLOCKS && native.end <= own.end + CLOCKS;
            (carried(kind, native).is_some() || is_around)
                && (kind.tie != Tie::Pod || own.attribute(POD) == native.attribute(POD))
                && (kind.made != Made::OfPods || own.attribute(OWN_KEY) == self.key(native))
        };
        let (nearest, _) = free
            .iter()
            .enumerate()
            .filter(|(_, own)| fits(own))
            .min_by_key(|(_, own)| own.begin.abs_diff(native.begin))?;
        Some(free.swap_remove(nearest))
    }

    /// The native span that one of the agent's is below, past others of the agent's: the context of its call. A call
    /// without one is in a trace of its own, or in its pod's.
    fn context(&self, own: &'a Span) -> Option<Id<'a>> {
        if !self.native_traces.contains(&*own.trace) {
            return None;
        }
        let mut span = own;
        let mut steps = 0..self.own_by_id.len();
        while let Some(parent) = self.own_by_id.get(&(&*span.trace, &*span.parent)) {
            // A span cannot be above itself; if the agent said so, this would not end.
            steps.next()?;
            span = parent;
        }
        (!span.parent.is_empty()).then_some((&span.trace, &span.parent))
    }

    /// The key that a call of etcd is about: etcd says it of the work within.
    fn key(&self, native: &'a Span) -> Option<&'a str> {
        NATIVE_KEYS
            .iter()
            .find_map(|name| native.attribute(name))
            .or_else(|| {
                let children = self.native_children.get(&(&*native.trace, &*native.id))?;
                children.iter().find_map(|child| self.key(child))
            })
    }
}

/// The context of the call that this native span is about; none if it was given none.
fn carried(kind: Kind, native: &Span) -> Option<Id<'_>> {
    let id = match kind.tie {
        Tie::Parent | Tie::Within => &native.parent,
        Tie::Context => &native.id,
        Tie::Pod => return None,
    };
    (!id.is_empty()).then_some((&native.trace, id))
}

#[cfg(test)]
mod tests;
