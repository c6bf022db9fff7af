//! Durations of a hot function, counted in the kernel: an OTLP exponential histogram as it stands.
//!
//! Bucket `i` counts durations above `2^(i / 8)` and up to `2^((i + 1) / 8)` nanoseconds, which is OTLP's
//! scale 3: neighbours differ by 9 %.

use crate::bytes::as_bytes;

/// OTLP's scale: each power of two is cut into `2^SCALE` buckets.
pub const SCALE: u8 = 3;
/// OTLP's index of the first bucket.
pub const OFFSET: u32 = OCTAVE << SCALE;
pub const BUCKETS: u32 = 256;
/// Durations up to 2^6 nanoseconds, less than a probe takes, count as zero.
pub const ZERO_THRESHOLD: u64 = 1 << OCTAVE;
const OCTAVE: u32 = 6;

/// The durations of one function on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Durations up to [`ZERO_THRESHOLD`].
    pub zero: u64,
    /// Of all durations, in nanoseconds.
    pub sum: u64,
    /// From [`OFFSET`]; the last also counts what is longer, from four and a half minutes on.
    pub buckets: [u64; BUCKETS as usize],
}

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
    if nanoseconds <= ZERO_THRESHOLD {
        return None;
    }
    let octave = nanoseconds.ilog2();
    let fraction = nanoseconds << (63 - octave);
    // Written out: a loop over the bounds would put them into a map of their own.
    let eighth = (fraction > BOUNDS[0]) as u32
        + (fraction > BOUNDS[1]) as u32
        + (fraction > BOUNDS[2]) as u32
        + (fraction > BOUNDS[3]) as u32
        + (fraction > BOUNDS[4]) as u32
        + (fraction > BOUNDS[5]) as u32
        + (fraction > BOUNDS[6]) as u32;
    // A power of two is the upper end of the bucket below it.
    let end = nanoseconds.is_power_of_two() as u32;
    let index = (octave << SCALE) + eighth - end - OFFSET;
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

    /// The definition, in floating point: good to 15 digits.
    fn defined(nanoseconds: u64) -> u32 {
        let position = (nanoseconds as f64).log2() * 8.0;
        (position.ceil() as u32 - 1 - OFFSET).min(BUCKETS - 1)
    }

    #[test]
    fn a_duration_counts_between_the_bounds_that_otlp_defines() {
        for octave in OCTAVE..45 {
            for eighth in 0..8 {
                let bound = 2f64.powf(f64::from(octave) + f64::from(eighth) / 8.0) as u64;
                for near in [bound - 1, bound, bound + 1, bound + bound / 32] {
                    let expected = (near > ZERO_THRESHOLD).then(|| defined(near));
                    assert_eq!(bucket(near), expected, "{near} ns");
                }
            }
        }
    }

    #[test]
    fn no_duration_is_without_a_bucket() {
        assert_eq!(bucket(0), None);
        assert_eq!(bucket(ZERO_THRESHOLD), None);
        assert_eq!(bucket(ZERO_THRESHOLD + 1), Some(0));
        assert_eq!(bucket(1 << 38), Some(BUCKETS - 1));
        assert_eq!(bucket((1 << 38) + 1), Some(BUCKETS - 1));
        assert_eq!(bucket(u64::MAX), Some(BUCKETS - 1));
    }
}
