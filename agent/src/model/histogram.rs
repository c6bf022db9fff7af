//! Durations in an exponential histogram, as OTLP defines it: neighbouring buckets differ by a constant factor.
//!
//! In: durations one by one, or counted elsewhere in buckets of the same bounds. Out: how many there were of which
//! length, in seconds, and for each power of two the latest span that took so long.
//!
//! Invariant: no count is ever moved across a bound that is shown. Where durations lie so far apart that they would
//! take more than [`MAX_BUCKETS`], each two neighbours become one, by which a bucket only grows wider.

use std::time::Duration;

use super::{
    time::{Nanos, Wall},
    trace::{SpanId, TraceId},
};

/// OTLP's scale of the finest buckets: each power of two is cut into `2^SCALE`, which differ by 9 %.
pub const SCALE: u8 = 3;
/// Durations up to two to the power of this, in seconds, count as zero: 60 ns.
pub const ZERO: i16 = -24;
/// As many as the SDKs of OpenTelemetry have.
pub const MAX_BUCKETS: usize = 160;
const MAX_EXEMPLARS: usize = 24;

/// What `2^(i / 8)` is, for `i` from 1 to 7.
const BOUNDS: [f64; 7] = [
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    std::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];

/// Durations of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many times neighbours have become one.
    joined: u8,
    /// OTLP's index of the first bucket.
    first: i32,
    buckets: Vec<u64>,
    zeros: u64,
    count: u64,
    sum: Duration,
    /// Of nothing there are none, nor of what was counted elsewhere.
    extremes: Option<(Duration, Duration)>,
    exemplars: Vec<Exemplar>,
}

/// The span that a duration is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// When its duration was counted: later than all that has been exported before.
    pub at: Nanos<Wall>,
}

/// A span that took so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    pub duration: Duration,
    /// The exponent of the least power of two, in seconds, that the duration is not longer than.
    pub exponent: i16,
    pub source: Source,
}

impl Histogram {
    /// What was counted elsewhere: in buckets of [`SCALE`] from OTLP's index `first` on, and as [`ZERO`].
    pub fn of_counts(first: i32, buckets: impl IntoIterator<Item = u64>, zeros: u64, sum: Duration) -> Self {
        let mut counted = Self {
            zeros,
            count: zeros,
            sum,
            ..Self::default()
        };
        for (index, count) in (first..).zip(buckets) {
            counted.count += count;
            counted.add(index, 0, count);
        }
        counted
    }

    /// Counts one duration. Of each power of two the latest source is kept as an exemplar.
    pub fn record(&mut self, duration: Duration, source: Option<Source>) {
        let index = index(duration);
        match index {
            Some(index) => self.add(index, 0, 1),
            None => self.zeros += 1,
        }
        self.extremes = match self.extremes {
            Some((least, most)) => Some((least.min(duration), most.max(duration))),
            None => (self.count == 0).then_some((duration, duration)),
        };
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
        if let Some(source) = source {
            self.keep(Exemplar {
                duration,
                exponent: exponent(index),
                source,
            });
        }
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Self) {
        while self.joined < other.joined {
            self.join();
        }
        for (index, count) in (other.first..).zip(&other.buckets) {
            self.add(index, other.joined, *count);
        }
        self.extremes = match (self.extremes, other.extremes) {
            (Some(mine), Some(theirs)) => Some((mine.0.min(theirs.0), mine.1.max(theirs.1))),
            (None, theirs) if self.count == 0 => theirs,
            (mine, None) if other.count == 0 => mine,
            _ => None,
        };
        self.zeros += other.zeros;
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        for exemplar in &other.exemplars {
            self.keep(*exemplar);
        }
    }

    /// OTLP's scale of [`Self::buckets`].
    #[must_use]
    pub fn scale(&self) -> i32 {
        i32::from(SCALE) - i32::from(self.joined)
    }

    /// OTLP's index of the first of [`Self::buckets`].
    #[must_use]
    pub fn offset(&self) -> i32 {
        self.first
    }

    #[must_use]
    pub fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// Durations that count as zero.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The shortest and the longest, if they are known.
    #[must_use]
    pub fn extremes(&self) -> Option<(Duration, Duration)> {
        self.extremes
    }

    /// In no order.
    #[must_use]
    pub fn exemplars(&self) -> &[Exemplar] {
        &self.exemplars
    }

    /// How many were not longer than two to the power of `exponent`, in seconds: exact, as every power of two is a
    /// bound of buckets. None is shorter than [`ZERO`].
    #[must_use]
    pub fn up_to(&self, exponent: i16) -> u64 {
        if exponent < ZERO {
            return 0;
        }
        let scale = SCALE.saturating_sub(self.joined);
        let end = i32::from(exponent) << scale;
        let below = (self.first..end).zip(&self.buckets);
        self.zeros + below.map(|(_, count)| count).sum::<u64>()
    }

    fn keep(&mut self, exemplar: Exemplar) {
        let mut known = self.exemplars.iter_mut();
        if let Some(known) = known.find(|known| known.exponent == exemplar.exponent) {
            if known.source.at <= exemplar.source.at {
                *known = exemplar;
            }
        } else if self.exemplars.len() < MAX_EXEMPLARS {
            self.exemplars.push(exemplar);
        } else if let Some(oldest) = self.exemplars.iter_mut().min_by_key(|known| known.source.at) {
            *oldest = exemplar;
        }
    }

    /// Counts in the bucket of an index as it is where neighbours were `joined` as often.
    fn add(&mut self, index: i32, joined: u8, count: u64) {
        if count == 0 {
            return;
        }
        loop {
            let index = index >> (self.joined - joined);
            if self.buckets.is_empty() {
                self.first = index;
            }
            let away = index.abs_diff(self.first) as usize;
            if index >= self.first && away < MAX_BUCKETS {
                self.buckets.resize(self.buckets.len().max(away + 1), 0);
                self.buckets[away] += count;
                return;
            }
            if index < self.first && away + self.buckets.len() <= MAX_BUCKETS {
                self.buckets.splice(0..0, std::iter::repeat_n(0, away));
                self.first = index;
                self.buckets[0] += count;
                return;
            }
            self.join();
        }
    }

    /// Makes each two neighbours one.
    fn join(&mut self) {
        // Pairs begin at even indices.
        let alone = usize::from(self.first & 1 == 1 && !self.buckets.is_empty());
        let (alone, pairs) = self.buckets.split_at(alone);
        let pairs = pairs.chunks(2).map(|pair| pair.iter().sum());
        self.buckets = alone.iter().copied().chain(pairs).collect();
        self.first >>= 1;
        self.joined += 1;
    }
}

/// OTLP's index, at [`SCALE`], of the bucket that counts a duration: `i` counts those above `2^(i / 8)` seconds and up
/// to `2^((i + 1) / 8)`. None if it counts as zero.
fn index(duration: Duration) -> Option<i32> {
    const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;
    const ONE: u64 = 1.0_f64.to_bits();
    const LEAST: i32 = (ZERO as i32) << SCALE;
    let bits = duration.as_secs_f64().to_bits();
    // It is not negative, so that the exponent is all that is above the fraction.
    let exponent = i32::try_from(bits >> FRACTION).unwrap_or(i32::MAX) - 1023;
    let fraction = f64::from_bits(bits & ((1 << FRACTION) - 1) | ONE);
    let eighths: i32 = BOUNDS.iter().map(|bound| i32::from(fraction > *bound)).sum();
    // A power of two is the upper end of the bucket below it.
    let index = (exponent << SCALE) + eighths - i32::from(fraction <= 1.0);
    (index >= LEAST).then_some(index)
}

/// The exponent of the least power of two that is an upper end of this bucket or of one above it.
fn exponent(index: Option<i32>) -> i16 {
    let octave = index.and_then(|index| i16::try_from(index >> SCALE).ok());
    octave.map_or(ZERO, |octave| octave + 1)
}

#[cfg(test)]
mod tests;
