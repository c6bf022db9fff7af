//! Where did the time go between the end of a container's run and its next one?

use std::sync::Arc;

use super::{
    phase::{Phase, Sighting},
    tree::{Evidence, Told, Tree},
    work::Deed,
};
use crate::model::{
    attr,
    time::{Nanos, Wall},
};

/// The phases of a restart: from the end of the run before, in whole seconds as the status has it, until the container
/// was seen to run again.
pub(super) fn tell(
    evidence: &Evidence<'_>,
    container: &Arc<str>,
    ended: Nanos<Wall>,
    runs: Option<Nanos<Wall>>,
) -> Told {
    let end = runs.unwrap_or(evidence.now).max(ended);
    let mut tree = Tree::new(evidence, (ended, end));
    let mut creates = tree.asked(Deed::CreateContainer).into_iter();
    let create = creates.find(|create| said_by(create, attr::K8S_CONTAINER_NAME) == Some(container));
    let Some(create) = create else {
        return tree.finish();
    };
    let sync = tree
        .seen(Deed::Sync)
        .into_iter()
        .find(|sync| create.is_within((sync.start(), sync.end())));
    let resumed = sync.as_ref().map_or(create.start(), Sighting::start);
    if ended < resumed {
        tree.add(Phase::new("back-off", "kubelet", None, (ended, resumed)));
    }
    if let Some(sync) = &sync {
        tree.add(Phase::of("sync", None, sync));
    }
    let made = said_by(&create, attr::CONTAINER_ID);
    let mut starts = tree.asked(Deed::StartContainer).into_iter();
    let start = starts.rfind(|start| made.is_some() && said_by(start, attr::CONTAINER_ID) == made);
    let started = start.as_ref().map(Sighting::end);
    let parts = start.map(|start| ("start container", start));
    tree.parts(
        "sync",
        std::iter::once(("create container", create))
            .chain(parts)
            .collect(),
    );
    if let Some(started) = started.filter(|started| *started < end) {
        tree.add(Phase::new("observe", "kubelet", None, (started, end)));
    }
    tree.finish()
}

fn said_by<'a>(seen: &Sighting<'a>, key: &str) -> Option<&'a str> {
    seen.0.iter().find_map(|work| work.text(key))
}
