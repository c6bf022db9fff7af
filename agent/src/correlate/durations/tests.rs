//! Durations with attributes in, histograms out, beside a map of what was recorded.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// `key=value` pairs of every series, and what it counts.
fn shown(durations: &Durations) -> BTreeMap<String, u64> {
    let pair = |(key, value): &(Arc<str>, Value)| format!("{key}={value:?}");
    let series = durations.series().iter();
    let shown = series.map(|(labels, histogram)| {
        let pairs: Vec<String> = labels.iter().map(pair).collect();
        (pairs.join(" "), histogram.count())
    });
    shown.collect()
}

#[test]
fn every_set_of_attributes_has_a_histogram_of_its_own() {
    let mut durations = Durations::new(100);
    let sets: [&[(&str, Said<'_>)]; 8] = [
        &[],
        &[("a", Said::Text("1"))],
        &[("b", Said::Text("1"))],
        &[("a", Said::Integer(1))],
        &[("a", Said::Flag(true))],
        &[("a", Said::Number(f64::NAN))],
        &[("a", Said::Text("1")), ("b", Said::Text(""))],
        &[("a", Said::Text("")), ("b", Said::Text("1"))],
    ];
    for _ in 0..3 {
        for labels in sets {
            durations.record(labels, SECOND, None);
        }
    }
    let shown = shown(&durations);
    assert_eq!(shown.len(), sets.len(), "{shown:?}");
    assert!(shown.values().all(|count| *count == 3), "{shown:?}");
}

#[test]
fn texts_without_end_are_cut_where_a_letter_ends() {
    let mut durations = Durations::new(9);
    let long = "é".repeat(100_000);
    for text in [format!("a{long}1"), format!("a{long}2"), long] {
        durations.record(&[("a", Said::Text(&text))], SECOND, None);
    }
    let cut = |series: &(Labels, Arc<Histogram>)| {
        let text = series.0[0].1.text().unwrap();
        (text.len(), series.1.count())
    };
    let shown: Vec<_> = durations.series().iter().map(cut).collect();
    assert_eq!(shown, [(255, 2), (256, 1)]);
}

#[test]
fn what_was_shown_stays_as_it_was() {
    let mut durations = Durations::new(1);
    durations.record(&[], SECOND, None);
    let before = durations.series().to_vec();
    durations.record(&[], SECOND, None);
    assert_eq!((before[0].1.count(), durations.series()[0].1.count()), (1, 2));
}

#[test]
fn what_was_counted_elsewhere_is_added_to_the_same_series() {
    let labels = [("a", Said::Text("b"))];
    let mut durations = Durations::new(1);
    durations.record(&labels, SECOND, None);
    durations.merge(&labels, &Histogram::of_counts(0, [1, 2], 3, SECOND));
    assert_eq!(durations.series().len(), 1);
    assert_eq!(durations.series()[0].1.count(), 7);
}

proptest! {
    #[test]
    fn past_the_bound_all_others_count_as_one(
        kinds in prop::collection::vec(0_i64..40, 0..200),
        max_series in 0_usize..30,
    ) {
        let mut durations = Durations::new(max_series);
        let mut expected = BTreeMap::new();
        for kind in &kinds {
            durations.record(&[("kind", Said::Integer(*kind))], SECOND, None);
            let own = format!("kind={:?}", Value::Integer(*kind));
            let own = if expected.contains_key(&own) || expected.len() < max_series {
                own
            } else {
                "otel.metric.overflow=Flag(true)".to_owned()
            };
            *expected.entry(own).or_insert(0) += 1;
        }
        prop_assert!(durations.series().len() <= max_series + 1);
        prop_assert_eq!(shown(&durations), expected);
    }
}
