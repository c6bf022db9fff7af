//! How long did a pod's start take, as SIG Scalability's pod startup latency counts it?
//!
//! In: the phases of the start and what is known of its images. Out: the totals that its root says. The kubelet is the
//! measure: its log and its metric `kubelet_pod_start_sli_duration_seconds` say the same of the same pod.

use super::{
    history::History,
    phase::Sighting,
    render::seconds,
    tree::{Times, Told, Tree},
    work::Deed,
};
use crate::model::{
    attr::{self, Attribute, Value},
    time::covered,
};

/// How long it took: to the first instant at which all containers were seen running, and the same as SIG Scalability's
/// pod startup latency counts it.
pub(super) fn totals(told: &Told, history: &History) -> Vec<Attribute> {
    let (begun, end) = told.times;
    let (Some(started), Some(pod)) = (history.started().filter(|at| *at <= end), history.pod()) else {
        return Vec::new();
    };
    let whole = started.count().saturating_sub(begun.count());
    let counted = whole.saturating_sub(told.excluded);
    let rounded = begun.count().saturating_sub(pod.created.count());
    let totals = [
        (attr::INNERSPAN_POD_START_END_TO_END, whole),
        (attr::INNERSPAN_POD_START_SLI, counted),
    ];
    let rounded = (rounded > 0).then_some((attr::INNERSPAN_POD_START_CREATION_ROUNDING, rounded));
    let totals = totals.into_iter().chain(rounded);
    totals
        .map(|(key, nanoseconds)| (key.into(), Value::Number(seconds(nanoseconds))))
        .collect()
}

/// Nanoseconds in which images were pulled or containers ran that had to end first: no part of that latency.
pub(super) fn excluded(tree: &Tree<'_>) -> u64 {
    let inits = tree.phases.iter().filter(|phase| phase.name == "init");
    let times = inits.map(|phase| (phase.start, phase.end)).chain(pulling(tree));
    u64::try_from(covered(times.collect()).as_nanos()).unwrap_or(u64::MAX)
}

/// When images were pulled, as the kubelet counts it: without looking whether the image is there, and a pull that
/// failed goes on until it is.
fn pulling(tree: &Tree<'_>) -> Vec<Times> {
    let images = tree.seen(Deed::Image);
    let there = images.iter().filter(|image| !image.failed());
    let there: Vec<_> = there.map(Sighting::end).collect();
    let until = |end| {
        let next = there.iter().copied().filter(|at| *at >= end).min();
        next.unwrap_or(tree.times.1)
    };
    let calls = tree.seen(Deed::Pull);
    let mut pulls: Vec<_> = calls
        .iter()
        .map(|call| (call.start(), call.end(), call.failed()))
        .collect();
    if pulls.is_empty() {
        let phases = tree.phases.iter().filter(|phase| phase.name == "pull");
        pulls.extend(phases.map(|phase| (phase.start, phase.end, phase.error.is_some())));
    }
    let pulls = pulls.into_iter();
    pulls
        .map(|(start, end, failed)| (start, if failed { until(end) } else { end }))
        .collect()
}
