//! Families in, requests out, read again by prost.

use std::time::Duration;

use super::*;
use crate::model::{
    attr::Value,
    histogram::Source,
    trace::{SpanId, TraceId},
};

fn labels(pairs: &[(&str, Value)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| (Arc::from(*key), value.clone()))
        .collect()
}

fn family(name: &'static str, series: Series) -> Family {
    Family {
        name,
        description: "said of it",
        start: Nanos::new(10),
        series,
    }
}

fn encoded(families: &[Family], since: u64, node: &[(&str, &str)]) -> Vec<(u64, ResourceMetrics)> {
    let mut attributes = ResourceAttributes::default();
    for (key, value) in node {
        attributes.set(*key, *value);
    }
    let payloads = metrics(families, Nanos::new(since), Nanos::new(100), &attributes);
    let decode = |payload: Payload| {
        assert_eq!(payload.signal, Signal::Metrics);
        let request = ExportMetricsServiceRequest::decode(&*payload.body).unwrap();
        let [only] = request.resource_metrics.try_into().unwrap();
        (payload.tally.of(Component::Innerspan), only)
    };
    payloads.into_iter().map(decode).collect()
}

fn source(at: u64) -> Source {
    Source {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        at: Nanos::new(at),
    }
}

#[test]
fn counts_are_a_monotonic_cumulative_sum() {
    let series = Series::Counts(vec![(
        labels(&[("a", "b".into()), ("otel.metric.overflow", Value::Flag(true))]),
        7,
    )]);
    let [(points, one)] = encoded(&[family("calls", series)], 0, &[]).try_into().unwrap();
    let [metric] = &one.scope_metrics[0].metrics[..] else {
        panic!("one metric: {one:?}")
    };
    assert_eq!(
        (points, metric.name.as_str(), metric.unit.as_str()),
        (1, "calls", "")
    );
    let Some(Data::Sum(sum)) = &metric.data else {
        panic!("a sum: {metric:?}")
    };
    assert_eq!((sum.is_monotonic, sum.aggregation_temporality), (true, 2));
    let point = &sum.data_points[0];
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (10, 100));
    assert_eq!(point.value, Some(number_data_point::Value::AsInt(7)));
    let expected = [
        key_value("a", Said::Text("b")),
        key_value("otel.metric.overflow", Said::Flag(true)),
    ];
    assert_eq!(point.attributes, expected);
}

#[test]
fn durations_are_an_exponential_histogram_in_seconds() {
    let mut histogram = Histogram::default();
    for (milliseconds, at) in [(0, 20), (250, 30), (1000, 40)] {
        histogram.record(Duration::from_millis(milliseconds), Some(source(at)));
    }
    let series = Series::Durations(vec![(labels(&[]), Arc::new(histogram))]);
    let [(points, one)] = encoded(&[family("duration", series)], 30, &[])
        .try_into()
        .unwrap();
    let metric = &one.scope_metrics[0].metrics[0];
    assert_eq!((points, metric.unit.as_str()), (1, "s"));
    let Some(Data::ExponentialHistogram(histogram)) = &metric.data else {
        panic!("an exponential histogram: {metric:?}")
    };
    assert_eq!(histogram.aggregation_temporality, 2);
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.zero_count, point.scale), (3, 1, 3));
    assert_eq!(
        (point.sum, point.min, point.max),
        (Some(1.25), Some(0.0), Some(1.0))
    );
    // The upper ends of the two buckets are 2^-2 and 2^0: the indices before -16 and 0.
    let positive = point.positive.as_ref().unwrap();
    let counted = (positive.offset..)
        .zip(&positive.bucket_counts)
        .filter(|(_, count)| **count > 0);
    assert_eq!(counted.collect::<Vec<_>>(), [(-17, &1), (-1, &1)]);
    let [exemplar] = &point.exemplars[..] else {
        panic!("the others have gone out: {point:?}")
    };
    assert_eq!(
        (exemplar.time_unix_nano, &exemplar.trace_id[..]),
        (40, &[1; 16][..])
    );
    assert_eq!(exemplar.value, Some(exemplar::Value::AsDouble(1.0)));
}

#[test]
fn the_resource_is_this_agent_on_this_node() {
    let check = |node: &[(&str, &str)], expected: &[(&str, &str)]| {
        let series = Series::Counts(vec![(labels(&[]), 1)]);
        let [(_, one)] = encoded(&[family("calls", series)], 0, node).try_into().unwrap();
        let expected: Vec<KeyValue> = expected
            .iter()
            .map(|(key, value)| key_value(key, Said::Text(value)))
            .collect();
        assert_eq!(one.resource.unwrap().attributes, expected);
    };
    check(
        &[("k8s.node.name", "n1"), ("service.name", "other")],
        &[
            ("service.name", "innerspan"),
            ("k8s.node.name", "n1"),
            ("service.instance.id", "n1"),
        ],
    );
    check(
        &[("host.id", "h"), ("k8s.node.name", "n1")],
        &[
            ("service.name", "innerspan"),
            ("host.id", "h"),
            ("k8s.node.name", "n1"),
            ("service.instance.id", "h"),
        ],
    );
    check(
        &[("host.id", "h"), ("service.instance.id", "mine")],
        &[
            ("service.name", "innerspan"),
            ("host.id", "h"),
            ("service.instance.id", "mine"),
        ],
    );
    check(&[], &[("service.name", "innerspan")]);
}

#[test]
fn no_request_holds_more_than_its_share() {
    let series = |length: usize| {
        let one = |at: usize| (labels(&[("n", Value::Integer(i64::try_from(at).unwrap()))]), 1);
        Series::Counts((0..length).map(one).collect())
    };
    let families = [
        family("a", series(400)),
        family("b", series(2300)),
        family("none", series(0)),
        family("c", series(650)),
    ];
    let encoded = encoded(&families, 0, &[]);
    let points: Vec<u64> = encoded.iter().map(|(points, _)| *points).collect();
    assert_eq!(points, [400, 1000, 1000, 950]);
    for (points, one) in &encoded {
        let metrics = one.scope_metrics[0].metrics.iter();
        let held = metrics.map(|metric| match &metric.data {
            Some(Data::Sum(sum)) => sum.data_points.len() as u64,
            _ => 0,
        });
        assert_eq!(held.sum::<u64>(), *points);
    }
}

#[test]
fn nothing_is_no_request() {
    let none = family("duration", Series::Durations(Vec::new()));
    assert!(encoded(&[none], 0, &[]).is_empty());
}
