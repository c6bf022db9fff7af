//! For every instant of a start: the deepest phase that was under way.
//!
//! In: phases. Out: how long each kind of phase was the deepest one, which adds up to the whole exactly.

use std::collections::BTreeMap;

use super::phase::Phase;
use crate::model::time::{Nanos, Wall};

/// What is said of the time in which no phase was under way.
pub(super) const OTHER: &str = "other";

/// A stretch of the critical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The place of the phase among the phases; none where there was none.
    pub(super) phase: Option<usize>,
    pub(super) start: Nanos<Wall>,
    pub(super) end: Nanos<Wall>,
}

/// The critical path from `start` to `end`, without gaps. Of phases equally deep the one that began last counts: what
/// goes on beside the work is not what it waits for.
pub(super) fn path(phases: &[Phase], (start, end): (Nanos<Wall>, Nanos<Wall>)) -> Vec<Stretch> {
    let depths = depths(phases);
    let mut bounds: Vec<_> = phases
        .iter()
        .flat_map(|phase| [phase.start, phase.end])
        .chain([start, end])
        .filter(|at| (start..=end).contains(at))
        .collect();
    bounds.sort_unstable();
    bounds.dedup();
    let mut path: Vec<Stretch> = Vec::new();
    for pair in bounds.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let under_way = phases
            .iter()
            .enumerate()
            .filter(|(_, phase)| phase.start <= from && to <= phase.end);
        let deepest = under_way.max_by_key(|(at, phase)| (depths[*at], phase.start, *at));
        let phase = deepest.map(|(at, _)| at);
        match path.last_mut() {
            Some(last) if last.phase == phase => last.end = to,
            _ => path.push(Stretch {
                phase,
                start: from,
                end: to,
            }),
        }
    }
    path
}

/// Nanoseconds on the critical path by the name of the phase.
pub(super) fn sums(phases: &[Phase], path: &[Stretch]) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for stretch in path {
        let name = stretch.phase.map_or(OTHER, |at| phases[at].name);
        *sums.entry(name).or_default() += stretch.end.count() - stretch.start.count();
    }
    sums
}

fn depths(phases: &[Phase]) -> Vec<usize> {
    let mut depths: Vec<usize> = Vec::with_capacity(phases.len());
    for phase in phases {
        // A parent stands before its parts.
        depths.push(
            phase
                .parent
                .and_then(|at| depths.get(at))
                .map_or(0, |depth| depth + 1),
        );
    }
    depths
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phase(name: &'static str, parent: Option<usize>, start: u64, end: u64) -> Phase {
        Phase::new(name, "kubelet", parent, (Nanos::new(start), Nanos::new(end)))
    }

    fn check(phases: &[Phase], expected: &[(&str, u64, u64)]) {
        let path = path(phases, (Nanos::new(0), Nanos::new(100)));
        let said: Vec<_> = path
            .iter()
            .map(|stretch| {
                let name = stretch.phase.map_or(OTHER, |at| phases[at].name);
                (name, stretch.start.count(), stretch.end.count())
            })
            .collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn the_deepest_phase_counts_and_gaps_are_named() {
        check(
            &[
                phase("sync", None, 10, 90),
                phase("sandbox", Some(0), 20, 60),
                phase("cni", Some(1), 30, 40),
            ],
            &[
                ("other", 0, 10),
                ("sync", 10, 20),
                ("sandbox", 20, 30),
                ("cni", 30, 40),
                ("sandbox", 40, 60),
                ("sync", 60, 90),
                ("other", 90, 100),
            ],
        );
    }

    #[test]
    fn of_phases_side_by_side_the_later_one_counts() {
        check(
            &[phase("pull", None, 0, 100), phase("status", None, 40, 50)],
            &[("pull", 0, 40), ("status", 40, 50), ("pull", 50, 100)],
        );
    }

    proptest! {
        #[test]
        fn the_path_has_no_gaps_and_its_sums_are_the_whole(
            times in prop::collection::vec((0_u64..100, 0_u64..100, any::<prop::sample::Index>()), 0..20)
        ) {
            let mut phases = Vec::new();
            for (one, other, parent) in times {
                let parent = (!phases.is_empty()).then(|| parent.index(phases.len()));
                phases.push(phase("sync", parent, one.min(other), one.max(other)));
            }
            let path = path(&phases, (Nanos::new(0), Nanos::new(100)));
            let mut at = Nanos::new(0);
            for stretch in &path {
                prop_assert_eq!(stretch.start, at);
                prop_assert!(stretch.start < stretch.end);
                at = stretch.end;
            }
            prop_assert_eq!(at.count(), 100);
            prop_assert_eq!(sums(&phases, &path).values().sum::<u64>(), 100);
        }
    }
}
