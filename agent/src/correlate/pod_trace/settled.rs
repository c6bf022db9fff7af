//! Pods that have their start behind them, and what can still begin with one.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{history::is_ready, plot::Plot};
use crate::model::{
    pod::{Phase, Pod, PodUid},
    time::{Nanos, Wall},
};

/// Pods whose start is over, with the last state of those on this node: what is done for them now is no part of it.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) pods: HashMap<PodUid, Option<Arc<Pod>>>,
    oldest: VecDeque<PodUid>,
}

impl Settled {
    const MAX: usize = 16_384;

    pub(super) fn insert(&mut self, uid: PodUid, pod: Option<Arc<Pod>>) {
        if self.pods.insert(uid, pod).is_none() {
            self.oldest.push_back(uid);
        }
        if self.oldest.len() > Self::MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.pods.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, uid: PodUid) -> bool {
        self.pods.contains_key(&uid)
    }
}

/// What begins when a pod that had started is as it is now.
pub(super) fn plots(last: &Pod, pod: &Pod, at: Nanos<Wall>) -> Vec<Plot> {
    let mut plots = Vec::new();
    if pod.deletion.is_some() {
        plots.push(Plot::Stop { seen: at });
    }
    for (before, container) in last.containers.iter().zip(&pod.containers) {
        if let Some(end) = &container.last_end
            && container.restarts > before.restarts
        {
            plots.push(Plot::Restart {
                container: Arc::clone(&container.name),
                run: container.restarts,
                ended: end.finished,
            });
        }
    }
    plots
}

/// Whether a pod that was there before the agent has its start behind it.
pub(super) fn is_past_its_start(pod: &Pod) -> bool {
    is_ready(pod)
        || pod.deletion.is_some()
        || matches!(pod.phase, Phase::Succeeded | Phase::Failed)
        || pod.containers.iter().any(|container| container.restarts > 0)
}
