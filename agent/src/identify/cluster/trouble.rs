//! Why the API server does not tell of this node, and what to do about it.

use std::fmt;

use kube::runtime::watcher;

/// What keeps this node's object from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    NoCredentials,
    Unauthorized,
    Forbidden,
    NoSuchNode,
    Unreachable,
}

impl Trouble {
    /// None for what a watch meets every day: a version that is gone, a stream that ends.
    pub(super) fn of(error: &watcher::Error) -> Option<Self> {
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
                403 => Some(Self::Forbidden),
                410 => None,
                _ => Some(Self::Unreachable),
            },
            _ => Some(Self::Unreachable),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCredentials => {
                "there are no credentials for the API server: mount the service account's token, set \
                 identify.cluster.kubeconfig, or set identify.cluster.enabled to false"
            }
            Self::Unauthorized => "the API server does not accept the credentials: renew them",
            Self::Forbidden => {
                "the API server refuses this node's object: let the service account list and watch nodes \
                 (a ClusterRole with those two verbs)"
            }
            Self::NoSuchNode => {
                "the API server has no node of this name: set identify.cluster.node_name from spec.nodeName"
            }
            Self::Unreachable => "the API server does not answer",
        })
    }
}
