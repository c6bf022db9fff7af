//! What the API server told of one pod, one state after another, and what follows from it.
//!
//! In: states of a pod with the instants at which this agent had them. Out: when it was scheduled, started and ready,
//! and why it is not. A status has a resolution of a second, so that an instant at which a state arrived says more than
//! the times in it; of a state that was listed it says nothing.

use std::{borrow::Cow, sync::Arc, time::Duration};

use crate::model::{
    pod::{Container, Phase, Pod, Role, State},
    time::{Nanos, Wall},
};

/// States of one pod that are remembered; the first and the last of them always.
const MAX_STATES: usize = 48;

/// For so long a pod has to be ready to have started; less than its trace lingers.
const STEADY: Duration = Duration::from_secs(10);

/// The states of a pod in the order in which they arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    states: Vec<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    at: Nanos<Wall>,
    pod: Arc<Pod>,
    listed: bool,
}

impl History {
    pub(super) fn add(&mut self, pod: Arc<Pod>, at: Nanos<Wall>, listed: bool) {
        if self.states.last().is_some_and(|last| last.pod == pod) {
            return;
        }
        if self.states.len() >= MAX_STATES {
            self.states.remove(MAX_STATES / 2);
        }
        let place = self.states.partition_point(|seen| seen.at <= at);
        self.states.insert(place, Seen { at, pod, listed });
    }

    /// The latest state.
    pub(super) fn pod(&self) -> Option<&Pod> {
        self.states.last().map(|seen| &*seen.pod)
    }

    /// The same, to be kept.
    pub(super) fn last(&self) -> Option<Arc<Pod>> {
        self.states.last().map(|seen| Arc::clone(&seen.pod))
    }

    /// When this agent heard of the pod.
    pub(super) fn first_heard(&self) -> Option<Nanos<Wall>> {
        self.states
            .first()
            .filter(|seen| !seen.listed)
            .map(|seen| seen.at)
    }

    /// Whether the agent came when the pod was there already.
    pub(super) fn begins_in_the_middle(&self) -> bool {
        self.states.first().is_some_and(|seen| seen.listed)
    }

    /// When all containers were first seen running: the end of SIG Scalability's pod startup latency.
    pub(super) fn started(&self) -> Option<Nanos<Wall>> {
        self.first(has_started)
    }

    /// When the pod was ready for good: one that crashes soon after had not started.
    pub(super) fn ready(&self) -> Option<Nanos<Wall>> {
        let crashes = |ready: &Seen, later: &Seen| {
            later.at.since(&ready.at) < STEADY && failures(&later.pod) > failures(&ready.pod)
        };
        let mut ready = self
            .states
            .iter()
            .enumerate()
            .filter(|(_, seen)| is_ready(&seen.pod));
        let steady =
            ready.find(|(index, seen)| !self.states[*index..].iter().any(|later| crashes(seen, later)));
        steady.map(|(_, seen)| seen.at)
    }

    /// When the pod was seen to have ended.
    pub(super) fn ended(&self) -> Option<Nanos<Wall>> {
        self.first(|pod| matches!(pod.phase, Phase::Succeeded | Phase::Failed))
    }

    /// When the pod was seen to be deleted.
    pub(super) fn deleted(&self) -> Option<Nanos<Wall>> {
        self.first(|pod| pod.deletion.is_some())
    }

    /// When the container of this name was first seen ready.
    pub(super) fn container_ready(&self, name: &str) -> Option<Nanos<Wall>> {
        self.first(|pod| {
            let container = pod.containers.iter().find(|container| &*container.name == name);
            container.is_some_and(|container| container.is_ready)
        })
    }

    /// When the pod was first seen to be so.
    pub(super) fn first(&self, is_so: impl Fn(&Pod) -> bool) -> Option<Nanos<Wall>> {
        self.states
            .iter()
            .find(|seen| is_so(&seen.pod))
            .map(|seen| seen.at)
    }

    /// What held the pod up until then, in the order in which it was said, each thing once.
    pub(super) fn reasons(&self, until: Nanos<Wall>) -> Vec<String> {
        let mut reasons = Vec::new();
        for seen in self.states.iter().filter(|seen| seen.at <= until) {
            for reason in troubles(&seen.pod).map(|(reason, _)| reason.to_owned()) {
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
        }
        reasons
    }

    /// What held the pod up then, as its status said it: the reason, and the words with it.
    pub(super) fn trouble(&self, at: Nanos<Wall>) -> Option<String> {
        let seen = self.states.iter().rfind(|seen| seen.at <= at)?;
        let (reason, message) = troubles(&seen.pod).last()?;
        Some(if message.is_empty() {
            reason.to_owned()
        } else {
            format!("{reason}: {message}")
        })
    }
}

/// As the kubelet sees it: every container that has a status runs.
fn has_started(pod: &Pod) -> bool {
    let mut main = pod
        .containers
        .iter()
        .filter(|container| container.role == Role::Main)
        .peekable();
    main.peek().is_some() && main.all(|container| matches!(container.state, State::Running { .. }))
}

/// Ends of containers that ought to go on, as far as the status remembers them.
fn failures(pod: &Pod) -> u32 {
    let ended = |container: &Container| {
        let failed = matches!(&container.state, State::Terminated(end) if end.exit_code != 0);
        container.restarts + u32::from(failed)
    };
    pod.containers.iter().map(ended).sum()
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    pod.condition("Ready").is_some_and(|condition| condition.is_true)
}

/// What a status says of why the pod is not ready, from what is most general to what is most particular: the reason,
/// and the words with it.
fn troubles(pod: &Pod) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let scheduled = pod
        .condition("PodScheduled")
        .filter(|condition| !condition.is_true && !condition.reason.is_empty())
        .map(|condition| (&*condition.reason, Cow::from(&*condition.message)));
    let whole = (!pod.reason.is_empty()).then_some((&*pod.reason, Cow::from(&*pod.message)));
    let containers = pod.containers.iter().flat_map(container_troubles);
    scheduled.into_iter().chain(whole).chain(containers)
}

fn container_troubles(container: &Container) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    // What every container goes through.
    const USUAL: [&str; 3] = ["", "ContainerCreating", "PodInitializing"];
    let ended = match (&container.last_end, &container.state) {
        (_, State::Terminated(end)) | (Some(end), _) if end.exit_code != 0 => {
            let message = match &*end.message {
                "" => format!("exit code {}", end.exit_code).into(),
                message => message.into(),
            };
            Some((&*end.reason, message))
        }
        _ => None,
    };
    let waits = match &container.state {
        State::Waiting { reason, message } if !USUAL.contains(&&**reason) => {
            Some((&**reason, Cow::from(&**message)))
        }
        _ => None,
    };
    // How a run ended says more than that the next one has to wait.
    waits.into_iter().chain(ended)
}
