//! The pods of this node, from their first sight to their end.
//!
//! In: a list of the pods that are bound to this node, and what becomes of them. Out: [`PodEvent`]s, each state once;
//! when the API server lists them again, only what is news. Keeps of each pod what was told last, nothing else.
//!
//! Who takes the events may be slow: then the watch waits, and the API server with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::{Api, Client, runtime::watcher::Event};
use tokio::sync::mpsc;
use tracing::debug;

mod object;

use self::object::Sighting;
use super::{
    Rule,
    follow::{Follow, Subject},
    metrics::Metrics,
};
use crate::model::{
    pod::{Pod, PodEvent, PodUid},
    time::{Nanos, Wall},
};

pub(super) const SUBJECT: Subject = Subject {
    rule: Rule {
        group: "",
        resource: "pods",
        verbs: &["list", "watch"],
    },
    meanwhile: "pods are known only by what else is seen of them",
};

/// Events on their way: more than there are pods on most nodes, so that a list passes at once.
const EVENTS: usize = 256;

/// What is wrong with a pod that is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flaw {
    /// It is not what a pod looks like.
    Shape,
    /// Its UID is no UUID and no hash; the manifest of a static pod may have put anything there.
    Uid,
}

impl Flaw {
    pub(super) const ALL: [Self; 2] = [Self::Shape, Self::Uid];
}

/// Follows the pods of this node.
#[derive(Debug)]
pub(super) struct Watch {
    events: mpsc::Sender<PodEvent>,
    now: fn() -> Nanos<Wall>,
    told: Told,
}

/// What was told last, and what has been listed since the list began.
#[derive(Debug, Default)]
struct Told {
    pods: BTreeMap<PodUid, Arc<Pod>>,
    listed: BTreeSet<PodUid>,
    metrics: Metrics,
}

impl Watch {
    pub(super) fn new(now: fn() -> Nanos<Wall>, metrics: Metrics) -> (Self, mpsc::Receiver<PodEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let watch = Self {
            events,
            now,
            told: Told {
                metrics,
                ..Told::default()
            },
        };
        (watch, receiver)
    }

    /// Tells of the pods until nobody listens.
    pub(super) async fn run(mut self, client: Client, node: &str) {
        let fields = format!("spec.nodeName={node}");
        let mut pods = Follow::<Sighting>::new(SUBJECT, Api::all(client), &fields);
        while let Some(event) = pods.next().await {
            if !matches!(event, Event::Init) {
                pods.settle();
            }
            for event in self.told.take(event, (self.now)()) {
                if self.events.send(event).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Told {
    /// What there is to tell.
    fn take(&mut self, event: Event<Sighting>, at: Nanos<Wall>) -> Vec<PodEvent> {
        let news = match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(Sighting { pod, .. }) => {
                let pod = self.readable(pod);
                self.listed.extend(pod.as_ref().map(|pod| pod.uid));
                self.see(pod, at, true)
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone = self.pods.extract_if(.., |uid, _| !listed.contains(uid));
                gone.map(|(uid, _)| PodEvent::Gone { uid, at }).collect()
            }
            Event::Apply(Sighting { pod, .. }) => {
                let pod = self.readable(pod);
                self.see(pod, at, false)
            }
            Event::Delete(Sighting { pod, .. }) => {
                let known = self.readable(pod).and_then(|pod| self.pods.remove(&pod.uid));
                known
                    .map(|pod| PodEvent::Gone { uid: pod.uid, at })
                    .into_iter()
                    .collect()
            }
        };
        self.metrics.set_pods(self.pods.len());
        news
    }

    /// A pod in a state that it did not have when it was told of last.
    fn see(&mut self, pod: Option<Arc<Pod>>, at: Nanos<Wall>, listed: bool) -> Vec<PodEvent> {
        let news = pod.filter(|pod| self.pods.get(&pod.uid) != Some(pod));
        if let Some(pod) = &news {
            self.pods.insert(pod.uid, Arc::clone(pod));
        }
        news.map(|pod| PodEvent::Seen { pod, at, listed })
            .into_iter()
            .collect()
    }

    fn readable(&self, pod: Result<Arc<Pod>, Flaw>) -> Option<Arc<Pod>> {
        pod.inspect_err(|flaw| {
            debug!(?flaw, "a pod is passed over");
            self.metrics.reject(*flaw);
        })
        .ok()
    }
}
