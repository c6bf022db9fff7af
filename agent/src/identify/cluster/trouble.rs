//! Why the API server does not tell of this node, and what to do about it.

use std::fmt;

use kube::runtime::watcher;

use super::Rule;

/// What keeps this node's objects from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    NoCredentials,
    Unauthorized,
    Forbidden(Rule),
    NoSuchNode,
    Unreachable,
}

impl Trouble {
    /// None for what a watch meets every day: a version that is gone, a stream that ends.
    pub(super) fn of(error: &watcher::Error, rule: Rule) -> Option<Self> {
        let error = match error {
            watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => error,
            watcher::Error::WatchError(_)
            | watcher::Error::WatchFailed(_)
            | watcher::Error::NoResourceVersion => {
                return None;
            }
        };
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Some(Self::Unauthorized),
                403 => Some(Self::Forbidden(rule)),
                410 => None,
                _ => Some(Self::Unreachable),
            },
            _ => Some(Self::Unreachable),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials => f.write_str(
                "there are no credentials for the API server: mount the service account's token, set \
                 identify.cluster.kubeconfig, or set identify.cluster.enabled to false",
            ),
            Self::Unauthorized => f.write_str("the API server does not accept the credentials: renew them"),
            Self::Forbidden(Rule { resource, verbs, .. }) => write!(
                f,
                "the API server refuses to show {resource}: let the service account {} {resource} (a ClusterRole \
                 with those two verbs)",
                verbs.join(" and ")
            ),
            Self::NoSuchNode => f.write_str(
                "the API server has no node of this name: set identify.cluster.node_name from spec.nodeName",
            ),
            Self::Unreachable => f.write_str("the API server does not answer"),
        }
    }
}
