//! Durations in, counts out, beside what the definition says of each duration alone.

use proptest::prelude::*;

use super::*;

/// Exponents of the powers of two that `up_to` is asked for.
const EXPONENTS: std::ops::Range<i16> = -30..36;

/// From less than a nanosecond's worth to what a span of corrupt times has, each octave as likely.
fn durations() -> impl Strategy<Value = Vec<Duration>> {
    let any = (0_u32..64, any::<u64>()).prop_map(|(shift, bits)| Duration::from_nanos(bits >> shift));
    // Powers of two of a second are bounds that are met exactly.
    let bound = (0_u32..9).prop_map(|shift| Duration::from_nanos(1_000_000_000 >> shift));
    let usual = (100_000_u64..2_000_000_000).prop_map(Duration::from_nanos);
    prop::collection::vec(prop_oneof![any, bound, usual], 0..80)
}

fn recorded<'a>(durations: impl IntoIterator<Item = &'a Duration>) -> Histogram {
    let mut histogram = Histogram::default();
    for (at, duration) in durations.into_iter().enumerate() {
        histogram.record(*duration, Some(source(at as u64)));
    }
    histogram
}

fn source(at: u64) -> Source {
    Source {
        trace_id: TraceId([1; 16]),
        span_id: SpanId(at.to_be_bytes()),
        at: Nanos::new(at),
    }
}

/// Whether a duration belongs to a bucket, in floating point: good to 15 digits.
fn belongs(duration: Duration, index: i32, scale: i32) -> bool {
    const NEAR: f64 = 1e-12;
    let position = duration.as_secs_f64().log2() * f64::from(scale).exp2();
    let lower = f64::from(index);
    (lower - NEAR..=lower + 1.0 + NEAR).contains(&position)
}

/// All that can be said of a histogram without knowing how it was made.
fn holds(histogram: &Histogram, durations: &[Duration]) -> Result<(), TestCaseError> {
    prop_assert!(histogram.buckets().len() <= MAX_BUCKETS);
    prop_assert!(histogram.scale() >= 1, "nanoseconds in 64 bits need no less");
    prop_assert_eq!(histogram.count(), durations.len() as u64);
    prop_assert_eq!(
        histogram.zeros() + histogram.buckets().iter().sum::<u64>(),
        histogram.count()
    );
    prop_assert_eq!(histogram.sum(), durations.iter().sum::<Duration>());
    for exponent in EXPONENTS {
        let bound = f64::from(exponent).exp2();
        let expected = durations
            .iter()
            .filter(|duration| duration.as_secs_f64() <= bound.max(f64::from(ZERO).exp2()));
        let expected = if exponent < ZERO { 0 } else { expected.count() };
        prop_assert_eq!(histogram.up_to(exponent), expected as u64, "2^{} s", exponent);
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_duration_counts_in_the_bucket_that_otlp_defines(duration in durations()) {
        for duration in duration {
            let mut histogram = Histogram::default();
            histogram.record(duration, None);
            match histogram.buckets() {
                [] => prop_assert!(duration.as_secs_f64() <= f64::from(ZERO).exp2()),
                [1] => prop_assert!(belongs(duration, histogram.offset(), histogram.scale()), "{duration:?} {histogram:?}"),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn counts_stay_exact_however_far_durations_lie_apart(durations in durations()) {
        let histogram = recorded(&durations);
        holds(&histogram, &durations)?;
        let extremes = durations.iter().min().copied().zip(durations.iter().max().copied());
        prop_assert_eq!(histogram.extremes(), extremes);
        for (index, count) in (histogram.offset()..).zip(histogram.buckets()) {
            let scale = histogram.scale();
            let belonging = durations.iter().filter(|duration| belongs(**duration, index, scale));
            prop_assert!(*count <= belonging.count() as u64, "bucket {}", index);
        }
    }

    #[test]
    fn merging_is_recording_all(left in durations(), right in durations()) {
        let all: Vec<Duration> = left.iter().chain(&right).copied().collect();
        let mut merged = recorded(&left);
        merged.merge(&recorded(&right));
        holds(&merged, &all)?;
        let expected = recorded(&all);
        prop_assert_eq!(merged.extremes(), expected.extremes());
        prop_assert_eq!(
            (merged.scale(), merged.offset(), merged.buckets()),
            (expected.scale(), expected.offset(), expected.buckets())
        );
    }

    #[test]
    fn what_was_counted_elsewhere_counts_the_same(durations in durations()) {
        const FIRST: i32 = ZERO as i32 * 8;
        let mut buckets = vec![0; 512];
        let mut zeros = 0;
        for duration in &durations {
            match index(*duration) {
                Some(index) => buckets[usize::try_from(index - FIRST).unwrap()] += 1,
                None => zeros += 1,
            }
        }
        let counted = Histogram::of_counts(FIRST, buckets, zeros, durations.iter().sum());
        holds(&counted, &durations)?;
        prop_assert_eq!(counted.extremes(), None);
    }

    #[test]
    fn each_power_of_two_has_the_latest_of_its_spans(durations in durations()) {
        let histogram = recorded(&durations);
        let exemplars = histogram.exemplars();
        prop_assert!(exemplars.len() <= MAX_EXEMPLARS);
        let mut exponents: Vec<i16> = exemplars.iter().map(|exemplar| exemplar.exponent).collect();
        exponents.sort_unstable();
        exponents.dedup();
        prop_assert_eq!(exponents.len(), exemplars.len());
        for exemplar in exemplars {
            let within = |duration: &Duration| {
                let seconds = duration.as_secs_f64();
                let bound = f64::from(exemplar.exponent).exp2();
                seconds <= bound && (seconds > bound / 2.0 || exemplar.exponent == ZERO)
            };
            prop_assert!(within(&exemplar.duration));
            let at = usize::try_from(exemplar.source.at.count()).unwrap();
            prop_assert!(!durations[at + 1..].iter().any(within), "a later one was as long");
        }
    }
}

#[test]
fn extremes_are_said_only_where_all_durations_were_seen() {
    let seen = recorded(&[Duration::from_millis(2), Duration::from_millis(1)]);
    let counted = Histogram::of_counts(0, [1], 0, Duration::from_secs(1));
    let both = |mut one: Histogram, other: &Histogram| {
        one.merge(other);
        one.extremes()
    };
    let known = Some((Duration::from_millis(1), Duration::from_millis(2)));
    assert_eq!(both(Histogram::default(), &seen), known);
    assert_eq!(both(seen.clone(), &Histogram::default()), known);
    assert_eq!(both(seen.clone(), &counted), None);
    assert_eq!(both(counted.clone(), &seen), None);
    let mut counted = counted;
    counted.record(Duration::from_millis(1), None);
    assert_eq!(counted.extremes(), None);
}

#[test]
fn a_span_that_is_told_late_does_not_take_the_place_of_a_later_one() {
    let mut histogram = Histogram::default();
    for at in [5, 3] {
        histogram.record(Duration::from_millis(10), Some(source(at)));
    }
    let sources: Vec<Source> = histogram
        .exemplars()
        .iter()
        .map(|exemplar| exemplar.source)
        .collect();
    assert_eq!(sources, [source(5)]);
}
