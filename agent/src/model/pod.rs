//! Pods of this node, as the API server tells of them.
//!
//! Only what says where a pod's start stands and whose it is; a status that a component wrote has a resolution of
//! one second, so every sighting carries the instant at which this agent had it.

use std::{fmt, sync::Arc};

use super::{
    time::{Nanos, Wall},
    trace::TraceId,
};

/// A pod's UID: a UUID, or of a static pod the 32 hex digits that the kubelet makes of its manifest. Of the mirror of
/// a static pod it is not `metadata.uid` but the annotation `kubernetes.io/config.hash`, by which the kubelet and the
/// runtime know it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodUid([u8; 16]);

impl PodUid {
    /// Reads 32 hex digits, with or without the dashes of a UUID; none if it is no such text, or all zeros.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const DASHES: [usize; 4] = [8, 13, 18, 23];
        let bytes = text.as_bytes();
        let dashed = bytes.len() == 36 && DASHES.iter().all(|at| bytes[*at] == b'-');
        if !dashed && bytes.len() != 32 {
            return None;
        }
        let digits = bytes
            .iter()
            .enumerate()
            .filter(|(at, _)| !(dashed && DASHES.contains(at)));
        let mut value = 0_u128;
        for (_, digit) in digits {
            value = value << 4 | u128::from(char::from(*digit).to_digit(16)?);
        }
        (value != 0).then_some(Self(value.to_be_bytes()))
    }

    /// The trace of the pod's start has the pod's UID as its id.
    #[must_use]
    pub fn trace_id(self) -> TraceId {
        TraceId(self.0)
    }
}

/// In the form of a UUID.
impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A pod as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub uid: PodUid,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// Whether it is the mirror of a static pod.
    pub is_static: bool,
    /// The controller that made it.
    pub owner: Option<Owner>,
    /// `metadata.creationTimestamp`: whole seconds, rounded down.
    pub created: Nanos<Wall>,
    /// `metadata.deletionTimestamp`: when its grace period ends; whole seconds.
    pub deletion: Option<Nanos<Wall>>,
    /// `metadata.deletionGracePeriodSeconds`.
    pub deletion_grace: Option<u64>,
    pub phase: Phase,
    /// `status.reason`, such as `Evicted`; empty if there is none.
    pub reason: Box<str>,
    /// `status.message`; empty if there is none.
    pub message: Box<str>,
    pub conditions: Vec<Condition>,
    /// Init containers in their order, then the others in theirs.
    pub containers: Vec<Container>,
}

/// `metadata.ownerReferences` of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub kind: Arc<str>,
    pub name: Arc<str>,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
}

/// One of `status.conditions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `PodScheduled`, `Initialized`, `ContainersReady`, `Ready`, `PodReadyToStartContainers` and others.
    pub kind: Arc<str>,
    pub is_true: bool,
    /// `lastTransitionTime`: whole seconds.
    pub since: Nanos<Wall>,
    /// Empty if there is none.
    pub reason: Box<str>,
    /// Empty if there is none.
    pub message: Box<str>,
}

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that goes on running: the next one starts when it has started.
    Sidecar,
    Main,
}

/// A container of the specification, with its status as far as there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub name: Arc<str>,
    pub role: Role,
    /// As the specification names it.
    pub image: Arc<str>,
    /// Whether it becomes ready only by a probe, of its startup or its readiness.
    pub is_probed: bool,
    /// The runtime's id, without `containerd://` in front; empty before there is one.
    pub id: Arc<str>,
    pub state: State,
    /// How the run before this one ended.
    pub last_end: Option<End>,
    pub restarts: u32,
    pub is_ready: bool,
}

/// `status.containerStatuses[].state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Such as `ContainerCreating`, `ImagePullBackOff`, `CrashLoopBackOff`; empty before there is a status.
    Waiting {
        reason: Box<str>,
        message: Box<str>,
    },
    /// Since then, in whole seconds.
    Running {
        since: Nanos<Wall>,
    },
    Terminated(End),
}

/// How a container's run ended; times in whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The runtime's id of the run; empty if it never started.
    pub id: Arc<str>,
    pub exit_code: i32,
    /// Such as `Completed`, `Error`, `OOMKilled`, `StartError`.
    pub reason: Box<str>,
    pub message: Box<str>,
    pub started: Nanos<Wall>,
    pub finished: Nanos<Wall>,
}

impl Pod {
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| &*condition.kind == kind)
    }
}

/// What becomes known of this node's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodEvent {
    /// A pod is so, as the agent had it at that instant. `listed` says that it was so before: it stood in a list, and
    /// what made it so may be long past.
    Seen {
        pod: Arc<Pod>,
        at: Nanos<Wall>,
        listed: bool,
    },
    /// A pod is no more.
    Gone { uid: PodUid, at: Nanos<Wall> },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_a_uuid_or_a_hash_of_the_same_length() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let uid = PodUid::parse(text).unwrap();
        assert_eq!(uid.to_string(), text);
        assert_eq!(PodUid::parse(&text.replace('-', "")), Some(uid));
        assert_eq!(format!("{:?}", uid.trace_id()), text.replace('-', ""));
        for none in [
            "",
            "0f8fad5b",
            "0f8fad5b-d9cb-469f-a165-70867728950g",
            "0f8fad5bd-9cb-469f-a165-70867728950e",
            "00000000-0000-0000-0000-000000000000",
            "+f8fad5bd9cb469fa16570867728950e",
        ] {
            assert_eq!(PodUid::parse(none), None, "{none}");
        }
    }
}
