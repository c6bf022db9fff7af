//! Durations of a hot function, counted in the kernel: an OTLP exponential histogram as it stands.
//!
//! Bucket `i` counts durations above `2^(i / 8)` and up to `2^((i + 1) / 8)` seconds, which is OTLP's scale 3:
//! neighbours differ by 9 %.

use crate::bytes::as_bytes;

/// OTLP's scale: each power of two is cut into `2^SCALE` buckets.
pub const SCALE: u8 = 3;
/// Durations up to two to the power of this, in seconds, count as zero: 60 ns, less than a probe takes.
pub const ZERO: i16 = -24;
/// OTLP's index of the first bucket.
pub const FIRST: i32 = (ZERO as i32) << SCALE;
pub const BUCKETS: u32 = 256;

/// The durations of one function on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Durations that count as zero, see [`ZERO`].
    pub zero: u64,
    /// Of all durations, in nanoseconds.
    pub sum: u64,
    /// From [`FIRST`]; the last also counts what is longer, from four minutes on.
    pub buckets: [u64; BUCKETS as usize],
}

/// A second is `2^FRACTION` of these, and a nanosecond [`PER_NANOSECOND`]: less than a billionth too few, so that a
/// power of two of a second, which is the upper end of a bucket, does not leave it.
const FRACTION: u32 = 55;
const PER_NANOSECOND: u64 = (1 << FRACTION) / 1_000_000_000;
/// Longer ones are of the last bucket, whose upper end is 256 s.
const MAX_NANOSECONDS: u64 = 1 << 38;
/// The octave of [`FIRST`].
const OCTAVE: u32 = FRACTION.wrapping_add_signed(ZERO as i32);

/// What `2^(i / 8)` is, for `i` from 1 to 7, as fractions of 2^63, rounded down.
const BOUNDS: [u64; 7] = [
    0x8b95_c1e3_ea8b_d6e6,
    0x9837_f051_8db8_a96f,
    0xa5fe_d6a9_b151_38ea,
    0xb504_f333_f9de_6484,
    0xc567_2a11_5506_dadd,
    0xd744_fcca_d69d_6af4,
    0xeac0_c6e7_dd24_392e,
];

as_bytes! {
    Histogram: 2064,
}

/// The bucket that counts a duration; none if it counts as zero.
#[inline(always)]
#[must_use]
#[expect(
    clippy::inline_always,
    reason = "the verifier follows it with what the program knows"
)]
pub const fn bucket(nanoseconds: u64) -> Option<u32> {
    let nanoseconds = if nanoseconds < MAX_NANOSECONDS {
        nanoseconds
    } else {
        MAX_NANOSECONDS
    };
    let duration = nanoseconds * PER_NANOSECOND;
    if duration < 1 << OCTAVE {
        return None;
    }
    let octave = duration.ilog2();
    let fraction = duration << (63 - octave);
    // Written out: a loop over the bounds would put them into a map of their own.
    let eighth = (fraction > BOUNDS[0]) as u32
        + (fraction > BOUNDS[1]) as u32
        + (fraction > BOUNDS[2]) as u32
        + (fraction > BOUNDS[3]) as u32
        + (fraction > BOUNDS[4]) as u32
        + (fraction > BOUNDS[5]) as u32
        + (fraction > BOUNDS[6]) as u32;
    let index = ((octave - OCTAVE) << SCALE) + eighth;
    Some(if index < BUCKETS { index } else { BUCKETS - 1 })
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the tests stay where a float holds every whole number"
)]
mod tests {
    use super::*;

    /// The definition, in floating point: good to 15 digits. None for zero.
    fn defined(nanoseconds: u64) -> Option<u32> {
        let position = (nanoseconds as f64 / 1e9).log2() * 8.0 - f64::from(FIRST);
        (position > 0.0).then(|| (position.ceil() as u32 - 1).min(BUCKETS - 1))
    }

    #[test]
    fn a_duration_counts_between_the_bounds_that_otlp_defines() {
        for index in FIRST..FIRST + 300 {
            let bound = (f64::from(index) / 8.0).exp2() * 1e9;
            // A duration that is nearer to a bound than this may count on its other side.
            let off = (bound * 1e-9) as u64 + 2;
            let bound = bound as u64;
            for near in [bound - bound / 32, bound - off, bound + off, bound + bound / 32] {
                assert_eq!(bucket(near), defined(near), "{near} ns");
            }
        }
    }

    #[test]
    fn a_power_of_two_of_a_second_is_the_upper_end_of_its_bucket() {
        // Those that are whole nanoseconds.
        for power in -9..=8 {
            let nanoseconds = (f64::from(power).exp2() * 1e9) as u64;
            let end = (power * 8 - FIRST) as u32;
            assert_eq!(bucket(nanoseconds), Some(end - 1), "2^{power} s");
            assert_eq!(
                bucket(nanoseconds + nanoseconds / 1_000_000),
                Some(end.min(BUCKETS - 1))
            );
        }
    }

    #[test]
    fn no_duration_is_without_a_bucket() {
        assert_eq!(bucket(0), None);
        assert_eq!(bucket(59), None);
        assert_eq!(bucket(60), Some(0));
        assert_eq!(bucket(256_000_000_000), Some(BUCKETS - 1));
        assert_eq!(bucket(256_000_000_001), Some(BUCKETS - 1));
        assert_eq!(bucket(u64::MAX), Some(BUCKETS - 1));
    }
}
