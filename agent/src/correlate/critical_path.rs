//! One question: what did a whole wait for, at every instant of it?
//!
//! In: the parts of a whole, as a tree. Out: for every instant the deepest part that was under way, and from that how
//! long each part was the one waited for, which adds up to the whole exactly.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::model::time::{Nanos, Wall};

/// What is said of the time in which no part was under way.
pub const OTHER: &str = "other";

/// A part of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The place among the parts of the one that this is a part of, which stands before it; none if that is the whole.
    pub parent: Option<usize>,
    pub start: Nanos<Wall>,
    pub end: Nanos<Wall>,
}

/// A stretch of the critical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The place of the part among the parts; none where there was none.
    pub part: Option<usize>,
    pub start: Nanos<Wall>,
    pub end: Nanos<Wall>,
}

/// The critical path from `start` to `end`, without gaps. Of parts equally deep the one that began last counts: what
/// goes on beside the work is not what it waits for.
#[must_use]
pub fn path(parts: &[Part], (start, end): (Nanos<Wall>, Nanos<Wall>)) -> Vec<Stretch> {
    let depths = depths(parts);
    let mut bounds: Vec<_> = parts
        .iter()
        .flat_map(|part| [part.start, part.end])
        .chain([start, end])
        .filter(|at| (start..=end).contains(at))
        .collect();
    bounds.sort_unstable();
    bounds.dedup();
    let mut path: Vec<Stretch> = Vec::new();
    for pair in bounds.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let under_way = parts
            .iter()
            .enumerate()
            .filter(|(_, part)| part.start <= from && to <= part.end);
        // Of what began at once the shorter one, so that the order of the parts says nothing.
        let deepest = under_way.max_by_key(|(at, part)| (depths[*at], part.start, Reverse(part.end), *at));
        let part = deepest.map(|(at, _)| at);
        match path.last_mut() {
            Some(last) if last.part == part => last.end = to,
            _ => path.push(Stretch {
                part,
                start: from,
                end: to,
            }),
        }
    }
    path
}

/// Nanoseconds on the critical path, summed by the name of the part.
pub fn sums<'a>(path: &[Stretch], name: impl Fn(usize) -> &'a str) -> BTreeMap<&'a str, u64> {
    let mut sums = BTreeMap::new();
    for stretch in path {
        let name = stretch.part.map_or(OTHER, &name);
        *sums.entry(name).or_default() += stretch.end.count() - stretch.start.count();
    }
    sums
}

fn depths(parts: &[Part]) -> Vec<usize> {
    let mut depths: Vec<usize> = Vec::with_capacity(parts.len());
    for part in parts {
        let around = part.parent.and_then(|at| depths.get(at));
        depths.push(around.map_or(0, |depth| depth + 1));
    }
    depths
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(parent: Option<usize>, start: u64, end: u64) -> Part {
        Part {
            parent,
            start: Nanos::new(start),
            end: Nanos::new(end),
        }
    }

    /// Each stretch by the letter of its part: `a` is the first.
    fn check(parts: &[Part], expected: &[(&str, u64, u64)]) {
        let said: Vec<_> = path(parts, (Nanos::new(0), Nanos::new(100)))
            .iter()
            .map(|stretch| {
                let name = stretch.part.map_or(OTHER, |at| &"abc"[at..=at]);
                (name, stretch.start.count(), stretch.end.count())
            })
            .collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn the_deepest_part_counts_and_gaps_are_named() {
        check(
            &[part(None, 10, 90), part(Some(0), 20, 60), part(Some(1), 30, 40)],
            &[
                ("other", 0, 10),
                ("a", 10, 20),
                ("b", 20, 30),
                ("c", 30, 40),
                ("b", 40, 60),
                ("a", 60, 90),
                ("other", 90, 100),
            ],
        );
    }

    #[test]
    fn of_parts_side_by_side_the_later_one_counts_and_then_the_shorter_one() {
        check(
            &[part(None, 0, 100), part(None, 40, 50), part(None, 40, 70)],
            &[("a", 0, 40), ("b", 40, 50), ("c", 50, 70), ("a", 70, 100)],
        );
    }

    proptest! {
        #[test]
        fn the_path_has_no_gaps_and_its_sums_are_the_whole(
            times in prop::collection::vec((0_u64..100, 0_u64..100, any::<prop::sample::Index>()), 0..20)
        ) {
            let mut parts = Vec::new();
            for (one, other, parent) in times {
                let parent = (!parts.is_empty()).then(|| parent.index(parts.len()));
                parts.push(part(parent, one.min(other), one.max(other)));
            }
            let path = path(&parts, (Nanos::new(0), Nanos::new(100)));
            let mut at = Nanos::new(0);
            for stretch in &path {
                prop_assert_eq!(stretch.start, at);
                prop_assert!(stretch.start < stretch.end);
                at = stretch.end;
            }
            prop_assert_eq!(at.count(), 100);
            prop_assert_eq!(sums(&path, |_| "part").values().sum::<u64>(), 100);
        }
    }
}
