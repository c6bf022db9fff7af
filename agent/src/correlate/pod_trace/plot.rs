//! The kinds of stories that are told of a pod: what each is called, when it is over, and what it shows.

use std::sync::Arc;

use super::{
    history::History,
    identity,
    known::Known,
    latency,
    render::Title,
    restart, start, stop,
    tree::{Evidence, Told},
};
use crate::model::{
    attr::{self, Attribute, Value},
    pod::{PodUid, State},
    time::{Nanos, Wall},
    trace::Link,
};

/// What is told of a pod. Several may be told at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    Start,
    /// From the instant at which the deletion was seen.
    Stop {
        seen: Nanos<Wall>,
    },
    /// Of a container whose run ended at that time: the run with this number follows.
    Restart {
        container: Arc<str>,
        run: u32,
        ended: Nanos<Wall>,
    },
}

/// Why a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Closing {
    /// The pod became ready, or the container runs.
    Ready,
    /// It ran to its end, or failed for good.
    Ended,
    /// It was deleted before it was ready.
    Deleted,
    /// It is no more, as was asked for.
    Removed,
    /// It was not done in time.
    GivenUp,
    /// Nothing more was heard of it.
    Quiet,
    /// Too many pods were starting.
    Evicted,
    /// The agent ends.
    Shutdown,
    /// What the control plane did for a pod of another node, as far as it is done.
    Part,
    /// It is not over: somebody asked.
    Open,
}

impl Closing {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Ended => "ended",
            Self::Deleted => "deleted",
            Self::Removed => "removed",
            Self::GivenUp => "given_up",
            Self::Quiet => "quiet",
            Self::Evicted => "evicted",
            Self::Shutdown => "shutdown",
            Self::Part => "part",
            Self::Open => "open",
        }
    }

    /// Whether the story came to an end of its own, and was not just broken off.
    pub(super) fn is_an_end(self) -> bool {
        matches!(
            self,
            Self::Ready | Self::Ended | Self::Deleted | Self::Removed | Self::GivenUp
        )
    }

    /// Whether what was to be came about, as far as is known.
    pub(super) fn is_good(self) -> bool {
        !matches!(self, Self::Ended | Self::Deleted | Self::GivenUp | Self::Evicted)
    }
}

impl Plot {
    pub(super) fn title(&self, pod: PodUid) -> Title {
        match self {
            Self::Start => Title {
                pod,
                name: "pod start",
                trace_id: pod.trace_id(),
                story: "pod start".into(),
            },
            Self::Stop { .. } => Title::of(pod, "pod stop", "pod stop".into()),
            Self::Restart { container, run, .. } => {
                let story = format!("container restart {container} {run}");
                Title::of(pod, "container restart", story)
            }
        }
    }

    /// When it was over, and how, if it is.
    pub(super) fn end(&self, known: &Known) -> Option<(Nanos<Wall>, Closing)> {
        let history = &known.history;
        let deleted = || history.deleted().or(known.gone).map(|at| (at, Closing::Deleted));
        match self {
            Self::Start => {
                let ready = history.ready().map(|at| (at, Closing::Ready));
                let ended = history.ended().map(|at| (at, Closing::Ended));
                // Whatever a pod says while it is taken away is not why.
                ready.or_else(|| ended.into_iter().chain(deleted()).min_by_key(|(at, _)| *at))
            }
            Self::Stop { .. } => known.gone.map(|at| (at, Closing::Removed)),
            Self::Restart { .. } => self.runs(known).map(|at| (at, Closing::Ready)).or_else(deleted),
        }
    }

    /// When a restarted container was seen to run.
    fn runs(&self, known: &Known) -> Option<Nanos<Wall>> {
        let Self::Restart { container, run, .. } = self else {
            return None;
        };
        known.history.first(|pod| {
            let mut containers = pod.containers.iter().filter(|known| known.name == *container);
            containers.any(|known| known.restarts >= *run && matches!(known.state, State::Running { .. }))
        })
    }

    pub(super) fn tell(&self, evidence: &Evidence<'_>, known: &Known) -> Told {
        match self {
            Self::Start => start::tell(evidence),
            Self::Stop { seen } => stop::tell(evidence, *seen, known.gone),
            Self::Restart { container, ended, .. } => {
                restart::tell(evidence, container, *ended, self.runs(known))
            }
        }
    }

    /// What the root of this kind says besides whose it is.
    pub(super) fn attributes(&self, told: &Told, known: &Known) -> Vec<Attribute> {
        match self {
            Self::Start => latency::totals(told, &known.history),
            Self::Stop { .. } => Vec::new(),
            Self::Restart { container, run, .. } => vec![
                (attr::K8S_CONTAINER_NAME.into(), (&**container).into()),
                (
                    "k8s.container.restart_count".into(),
                    Value::Integer((*run).into()),
                ),
            ],
        }
    }

    /// What held it up.
    pub(super) fn reasons(&self, told: &Told, history: &History) -> Vec<String> {
        match self {
            Self::Start => start::reasons(told, history),
            Self::Stop { .. } | Self::Restart { .. } => Vec::new(),
        }
    }

    /// Whatever happens to a pod later leads back to its start.
    pub(super) fn links(&self, pod: PodUid) -> Vec<Link> {
        if *self == Self::Start {
            return Vec::new();
        }
        let start = Self::Start.title(pod);
        vec![Link {
            trace_id: start.trace_id,
            span_id: start.root_id(),
        }]
    }
}

impl Title {
    /// A story that is not the pod's start has a trace of its own.
    fn of(pod: PodUid, name: &'static str, story: String) -> Self {
        Self {
            pod,
            name,
            trace_id: identity::trace_id(pod, &story),
            story: story.into(),
        }
    }
}
