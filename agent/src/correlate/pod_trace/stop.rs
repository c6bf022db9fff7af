//! Where did the time go between a pod's deletion and its removal?
//!
//! In: the pod's history and the work that was done for it. Out: the phases of its stop. What a container does with the
//! grace that it is given is the time of `stop container`.

use super::{
    phase::{Phase, Sighting},
    tree::{Evidence, Told, Tree},
    work::{Deed, Verb},
};
use crate::model::time::{Nanos, Wall};

/// The phases of a stop that was first seen at this instant, and of which the last is known from that one on.
pub(super) fn tell(evidence: &Evidence<'_>, seen: Nanos<Wall>, gone: Option<Nanos<Wall>>) -> Told {
    let request = request(evidence, seen);
    let begun = request.as_ref().map_or(seen, Sighting::start);
    let end = gone.unwrap_or(evidence.now).max(begun);
    let mut tree = Tree::new(evidence, (begun, end));
    if let Some(request) = &request {
        tree.write("delete", request);
    }
    let terminating = tree.seen(Deed::SyncTerminating);
    if let Some(first) = terminating.first() {
        let heard = request.as_ref().map_or(seen, Sighting::end);
        if heard < first.start() {
            tree.add(Phase::new("notice", "kubelet", None, (heard, first.start())));
        }
    }
    for sync in &terminating {
        tree.add(Phase::of("terminate", None, sync));
    }
    for sync in &tree.seen(Deed::SyncTerminated) {
        tree.add(Phase::of("clean up", None, sync));
    }
    let stops = [
        ("preStop", tree.seen(Deed::Hook)),
        ("stop container", tree.asked(Deed::StopContainer)),
        ("stop sandbox", tree.asked(Deed::StopSandbox)),
    ];
    let stops = stops
        .into_iter()
        .flat_map(|(name, found)| found.into_iter().map(move |seen| (name, seen)));
    tree.parts("terminate", stops.collect());
    let unmounts = tree.seen(Deed::Unmount).into_iter().map(|seen| ("unmount", seen));
    tree.parts("clean up", unmounts.collect());
    removal(&mut tree, request.as_ref());
    tree.finish()
}

/// The request that asked for the deletion, which this agent hears of soon after.
fn request<'a>(evidence: &'a Evidence<'_>, seen: Nanos<Wall>) -> Option<Sighting<'a>> {
    const SOON: u64 = 5_000_000_000;
    let requests = evidence.seen(Deed::Request(Verb::Delete), None).into_iter();
    let mut before =
        requests.filter(|request| request.start() <= seen && seen.count() - request.start().count() < SOON);
    before.next_back()
}

/// The kubelet's own request, at the end: the pod's object goes.
fn removal(tree: &mut Tree<'_>, request: Option<&Sighting<'_>>) {
    let mut removals = tree.seen(Deed::Request(Verb::Delete));
    if removals.is_empty() {
        removals = tree.seen(Deed::Store(Verb::Delete));
    }
    let is_other = |removal: &&Sighting<'_>| request.is_none_or(|request| request.start() != removal.start());
    if let Some(removal) = removals.iter().rfind(is_other) {
        tree.write("remove", removal);
    }
}
