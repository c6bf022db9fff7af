//! What several rounds of one measurement say together.

/// The middle, and the middle half: what a slow minute of a shared machine does is outside of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

impl Spread {
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let sorted = sorted(values);
        let at = |part: usize| sorted.get(part * (sorted.len().max(1) - 1) / 4).copied();
        let [low, median, high] = [1, 2, 3].map(|part| at(part).unwrap_or(f64::NAN));
        Self { low, median, high }
    }

    /// `12.3 (11.9 to 13.0)`
    pub(super) fn show(self, format: impl Fn(f64) -> String) -> String {
        let Self { low, median, high } = self;
        format!("{} ({} to {})", format(median), format(low), format(high))
    }
}

/// The upper one of the two in the middle of an even number.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let sorted = sorted(values);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_leaves_the_outer_quarters_out() {
        let spread = Spread::of([90.0, 3.0, 1.0, 2.0, 4.0]);
        let expected = Spread {
            low: 2.0,
            median: 3.0,
            high: 4.0,
        };
        assert_eq!(spread, expected);
        assert_eq!(spread.show(|value| format!("{value:.1}")), "3.0 (2.0 to 4.0)");
    }

    #[test]
    fn one_round_is_its_own_spread_and_none_is_no_number() {
        let one = Spread {
            low: 5.0,
            median: 5.0,
            high: 5.0,
        };
        assert_eq!(Spread::of([5.0]), one);
        assert!(Spread::of([]).median.is_nan() && median([]).is_nan());
    }
}
