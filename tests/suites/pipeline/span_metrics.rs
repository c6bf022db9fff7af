//! Spans of real components are counted: what the agent exports and shows is what prost counts of the same recording.

#![expect(
    clippy::panic,
    clippy::unreachable,
    reason = "another form of a request or a point is a failure"
)]

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use innerspan::model::Signal;
use nix::sys::signal::Signal as Kill;
use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value as Any},
    metrics::v1::{ExponentialHistogramDataPoint, Metric, metric::Data, number_data_point::Value as Number},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use serde_json::{Value, json};
use tests::{
    agent::Agent,
    client::Grpc,
    collector::{Arrival, Collector},
    metrics::Metrics,
    patience::{until, until_true},
    recording::recorded,
    request::Request,
};

use crate::{agent, endpoint};

/// A series by its labels, as OpenTelemetry names them.
type Labels = BTreeMap<String, String>;

/// What prost reads of the recording.
#[derive(Default)]
struct Expected {
    durations: BTreeMap<Labels, Vec<Duration>>,
    trace_ids: HashSet<Vec<u8>>,
}

impl Expected {
    fn of_recording() -> Self {
        let mut expected = Self::default();
        for request in recorded() {
            let Request::Traces(request) = Request::decode(Signal::Traces, &request) else {
                unreachable!("a recording of spans")
            };
            for one in request.resource_spans {
                let resource = one.resource.unwrap().attributes;
                let service = resource.iter().find(|pair| pair.key == "service.name").unwrap();
                for span in one.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    expected.add(&text(service), &span);
                }
            }
        }
        expected
    }

    fn add(&mut self, service: &str, span: &Span) {
        let code = span.status.as_ref().map_or(0, |status| status.code);
        let labels = [
            ("service.name", service),
            ("span.name", &span.name),
            ("span.kind", SpanKind::try_from(span.kind).unwrap().as_str_name()),
            ("status.code", StatusCode::try_from(code).unwrap().as_str_name()),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let nanoseconds = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
        self.durations
            .entry(labels.into())
            .or_default()
            .push(Duration::from_nanos(nanoseconds));
        self.trace_ids.insert(span.trace_id.clone());
    }

    fn spans(&self) -> u64 {
        self.durations
            .values()
            .map(|durations| durations.len() as u64)
            .sum()
    }
}

fn text(pair: &KeyValue) -> String {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::BoolValue(flag)) => flag.to_string(),
        other => panic!("neither text nor a flag: {other:?}"),
    }
}

fn labels(pairs: &[KeyValue]) -> Labels {
    pairs.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

/// The metrics of one arrival; all are of one resource.
fn metrics(arrival: &Arrival) -> Vec<Metric> {
    let Request::Metrics(request) = &arrival.request else {
        return Vec::new();
    };
    let [one] = &request.resource_metrics[..] else {
        panic!("one resource: {request:?}")
    };
    let resource = labels(&one.resource.as_ref().unwrap().attributes);
    assert_eq!(resource["service.name"], "innerspan");
    assert_eq!(resource["k8s.node.name"], "node1");
    assert!(resource.contains_key("service.instance.id"), "{resource:?}");
    one.scope_metrics[0].metrics.clone()
}

const DURATION: &str = "traces.span.metrics.duration";

/// The last state of the calls that arrived.
fn calls(collector: &Collector) -> BTreeMap<Labels, u64> {
    let mut calls = BTreeMap::new();
    for metric in collector.arrivals().iter().flat_map(metrics) {
        if let ("traces.span.metrics.calls", Some(Data::Sum(sum))) = (metric.name.as_str(), metric.data) {
            assert!(sum.is_monotonic);
            for point in sum.data_points {
                let Some(Number::AsInt(count)) = point.value else {
                    panic!("a whole number: {point:?}")
                };
                calls.insert(labels(&point.attributes), count.try_into().unwrap());
            }
        }
    }
    calls
}

/// The last state of the durations that arrived.
fn durations(collector: &Collector) -> BTreeMap<Labels, ExponentialHistogramDataPoint> {
    let mut durations = BTreeMap::new();
    for metric in collector.arrivals().iter().flat_map(metrics) {
        if let (DURATION, Some(Data::ExponentialHistogram(histogram))) = (metric.name.as_str(), metric.data) {
            assert_eq!(metric.unit, "s");
            let points = histogram.data_points.into_iter();
            durations.extend(points.map(|point| (labels(&point.attributes), point)));
        }
    }
    durations
}

/// Trace and span of all exemplars of spans that arrived; other metrics may name the same span.
fn exemplars(collector: &Collector) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut exemplars = Vec::new();
    let arrived = collector.arrivals();
    let of_spans = arrived
        .iter()
        .flat_map(metrics)
        .filter(|metric| metric.name == DURATION);
    for metric in of_spans {
        if let Some(Data::ExponentialHistogram(histogram)) = metric.data {
            let points = histogram.data_points.into_iter();
            let all = points.flat_map(|point| point.exemplars);
            exemplars.extend(all.map(|exemplar| (exemplar.trace_id, exemplar.span_id)));
        }
    }
    exemplars
}

fn data_points(collector: &Collector) -> u64 {
    let arrivals = collector.arrivals();
    let points = arrivals.iter().flat_map(metrics).map(|metric| match metric.data {
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        other => panic!("no metric of ours: {other:?}"),
    });
    points.sum::<usize>() as u64
}

fn measuring(collector: &Collector, more: Value, span_metrics: Value) -> Agent {
    let span_metrics = tests::agent::laid_over(json!({"enabled": true}), span_metrics);
    let correlate = json!({"metrics": {"interval": "1s"}, "span_metrics": span_metrics});
    agent(&[endpoint(collector, more)], json!({"correlate": correlate}))
}

fn send_recording(agent: &Agent) {
    let client = Grpc::connect(&agent.grpc());
    for request in recorded() {
        client.send_bytes(Signal::Traces, request).unwrap();
    }
}

#[test]
fn what_leaves_is_what_was_recorded() {
    let expected = Expected::of_recording();
    let collector = Collector::start();
    let agent = measuring(&collector, json!({}), json!({}));
    send_recording(&agent);
    until_true("all spans to be counted at the collector", || {
        calls(&collector).values().sum::<u64>() == expected.spans()
    });
    let counted: BTreeMap<Labels, u64> = expected
        .durations
        .iter()
        .map(|(labels, durations)| (labels.clone(), durations.len() as u64))
        .collect();
    assert_eq!(calls(&collector), counted);

    until_true("their durations", || {
        durations(&collector)
            .values()
            .map(|point| point.count)
            .sum::<u64>()
            == expected.spans()
    });
    let arrived = durations(&collector);
    assert!(arrived.keys().eq(expected.durations.keys()));
    for (labels, point) in &arrived {
        let durations = &expected.durations[labels];
        let sum: Duration = durations.iter().sum();
        assert_eq!(point.count, durations.len() as u64, "{labels:?}");
        assert_eq!(point.sum, Some(sum.as_secs_f64()), "{labels:?}");
        assert_eq!(point.max, durations.iter().max().map(Duration::as_secs_f64));
        let buckets = &point.positive.as_ref().unwrap().bucket_counts;
        assert_eq!(point.zero_count + buckets.iter().sum::<u64>(), point.count);
        check_buckets(point, durations);
    }
    let exemplars = exemplars(&collector);
    let once: HashSet<_> = exemplars.iter().collect();
    assert_eq!(once.len(), exemplars.len(), "an exemplar left twice");
    assert!(exemplars.len() >= arrived.len(), "each series has one at least");
    assert!(
        exemplars
            .iter()
            .all(|(trace_id, _)| expected.trace_ids.contains(trace_id))
    );
    until_true("an account of all data points", || {
        let account = agent.account("default", Signal::Metrics);
        account.dropped.is_empty() && account.exported == data_points(&collector)
    });
}

/// Each bucket counts the durations between its bounds, but for those that floating point cannot tell from a bound.
fn check_buckets(point: &ExponentialHistogramDataPoint, durations: &[Duration]) {
    const NEAR: f64 = 1e-9;
    let positive = point.positive.as_ref().unwrap();
    let per_octave = f64::from(point.scale).exp2();
    for (index, count) in (positive.offset..).zip(&positive.bucket_counts) {
        let within = |slack: f64| {
            let (lower, upper) = (f64::from(index) - slack, f64::from(index) + 1.0 + slack);
            let positions = durations
                .iter()
                .map(|duration| duration.as_secs_f64().log2() * per_octave);
            positions
                .filter(|position| lower < *position && *position <= upper)
                .count() as u64
        };
        assert!((within(-NEAR)..=within(NEAR)).contains(count), "{point:?}");
    }
}

#[test]
fn the_page_of_metrics_shows_what_was_recorded() {
    let expected = Expected::of_recording();
    let collector = Collector::start();
    let agent = measuring(&collector, json!({"signals": ["traces"]}), json!({}));
    send_recording(&agent);
    let page = until("all spans to be counted on the page", || {
        let page = agent.metrics();
        (page.sum("traces_span_metrics_calls_total", &[]) == Some(expected.spans())).then_some(page)
    });
    assert!(agent.logged("no endpoint takes metrics: span metrics and durations are on /metrics alone"));
    let of = |name: &str| -> BTreeMap<Labels, u64> {
        let samples = page.samples(name);
        samples
            .map(|sample| (sample.labels.clone(), whole(sample.value)))
            .collect()
    };
    let shown = |labels: &Labels| -> Labels {
        let pairs = labels.iter();
        pairs
            .map(|(key, value)| (key.replace('.', "_"), value.clone()))
            .collect()
    };
    let counts: BTreeMap<Labels, u64> = expected
        .durations
        .iter()
        .map(|(labels, durations)| (shown(labels), durations.len() as u64))
        .collect();
    assert_eq!(of("traces_span_metrics_calls_total"), counts);
    assert_eq!(of("traces_span_metrics_duration_seconds_count"), counts);

    let mut buckets = 0;
    for (labels, durations) in &expected.durations {
        for (bound, count) in bounds(&page, &shown(labels)) {
            let within = durations
                .iter()
                .filter(|duration| duration.as_secs_f64() <= bound);
            assert_eq!(count, within.count() as u64, "{labels:?} up to {bound}");
            buckets += 1;
        }
    }
    assert_eq!(buckets, 23 * counts.len());
    let samples = page.samples("traces_span_metrics_duration_seconds_bucket");
    let exemplars: Vec<_> = samples.filter_map(|sample| sample.exemplar.as_ref()).collect();
    assert!(exemplars.len() >= counts.len(), "each series has one at least");
    let hex = |id: &Vec<u8>| {
        let digits: Vec<String> = id.iter().map(|byte| format!("{byte:02x}")).collect();
        digits.concat()
    };
    let known: HashSet<String> = expected.trace_ids.iter().map(hex).collect();
    assert!(
        exemplars
            .iter()
            .all(|exemplar| known.contains(&exemplar["trace_id"]))
    );
}

fn bounds(page: &Metrics, labels: &Labels) -> Vec<(f64, u64)> {
    let buckets = page.samples("traces_span_metrics_duration_seconds_bucket");
    let of_series = buckets.filter(|sample| labels.iter().all(|(key, value)| sample.labels[key] == *value));
    of_series
        .map(|sample| (sample.labels["le"].parse().unwrap(), whole(sample.value)))
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts stay far below what a float counts exactly"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[test]
fn what_there_is_no_room_for_counts_as_one_series() {
    let expected = Expected::of_recording();
    let collector = Collector::start();
    let agent = measuring(&collector, json!({}), json!({"max_series": 10}));
    send_recording(&agent);
    until_true("all spans to be counted", || {
        calls(&collector).values().sum::<u64>() == expected.spans()
    });
    let calls = calls(&collector);
    let overflow = Labels::from([("otel.metric.overflow".to_owned(), "true".to_owned())]);
    assert_eq!(calls.len(), 11);
    assert!(calls[&overflow] > 0);
}

#[test]
fn what_was_counted_last_leaves_before_the_end() {
    let collector = Collector::start();
    let correlate = json!({"metrics": {"interval": "1h"}, "span_metrics": {"enabled": true}});
    let mut agent = agent(
        &[endpoint(&collector, json!({}))],
        json!({"correlate": correlate}),
    );
    Grpc::connect(&agent.grpc())
        .send(&Request::new(Signal::Traces, 0..100))
        .unwrap();
    agent.signal(Kill::SIGTERM);
    assert!(agent.until_ended().success());
    assert_eq!(calls(&collector).values().copied().collect::<Vec<_>>(), [100]);
    assert_eq!(durations(&collector).len(), 1);
}
