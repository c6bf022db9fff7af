//! How many items of each component.

use std::ops::{AddAssign, SubAssign};

use super::Component;

/// Items (spans, metric data points or log records) per component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u64; Component::ALL.len()]);

impl Tally {
    pub fn add(&mut self, component: Component, items: u64) {
        self.0[component.index()] += items;
    }

    #[must_use]
    pub fn of(&self, component: Component) -> u64 {
        self.0[component.index()]
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Takes out at most `items` items, spread over the components by their share.
    ///
    /// A backend that rejects a part of a batch says how many items, not which: the total is exact, the
    /// share of each component is the likeliest one.
    #[must_use]
    pub fn take(&mut self, items: u64) -> Self {
        let total = self.total();
        let mut taken = Self::default();
        let (mut left, mut seen) = (items.min(total), 0_u64);
        for (index, have) in self.0.iter_mut().enumerate() {
            seen += *have;
            // What may still be taken later bounds from below what must be taken here.
            let share = proportion(items.min(total), *have, total).max(left.saturating_sub(total - seen));
            let share = share.min(*have).min(left);
            *have -= share;
            left -= share;
            taken.0[index] = share;
        }
        taken
    }
}

/// `amount * part / whole`, rounded down; zero of nothing.
fn proportion(amount: u64, part: u64, whole: u64) -> u64 {
    let exact = (u128::from(amount) * u128::from(part))
        .checked_div(u128::from(whole))
        .unwrap_or(0);
    u64::try_from(exact).unwrap_or(u64::MAX)
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl SubAssign for Tally {
    fn sub_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine -= theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn taking_moves_exactly_the_items_asked_for(have in prop::array::uniform7(0_u64..1000), items in 0_u64..8000) {
            let before = Tally(have);
            let mut rest = before;
            let taken = rest.take(items);
            prop_assert_eq!(taken.total(), items.min(before.total()));
            rest += taken;
            prop_assert_eq!(rest, before);
        }
    }

    #[test]
    fn taking_follows_the_shares() {
        let mut tally = Tally([60, 30, 10, 0, 0, 0, 0]);
        assert_eq!(tally.take(10), Tally([6, 3, 1, 0, 0, 0, 0]));
        assert_eq!(tally, Tally([54, 27, 9, 0, 0, 0, 0]));
    }
}
