//! Spans in, series out, as the connector would name them.

use super::*;
use crate::model::{
    attr::Value,
    trace::{SpanId, TraceId},
};

fn span(name: &str) -> SpanRef<'_> {
    SpanRef {
        service: "kubelet",
        name,
        kind: SpanKind::Client,
        status: StatusCode::Unset,
        start: Nanos::new(5_000_000_000),
        end: Nanos::new(5_250_000_000),
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        parent: None,
    }
}

fn metrics(dimensions: &[&str], max_series: usize) -> SpanMetrics {
    let config = Config {
        enabled: true,
        dimensions: dimensions.iter().copied().map(Arc::from).collect(),
        max_series,
    };
    SpanMetrics::new(config, Nanos::new(1))
}

/// The series of the calls, each in one line; that of the durations has the same ones.
fn check(metrics: &SpanMetrics, expected: &[&str]) {
    let [calls, durations] = metrics.families();
    assert_eq!(
        (calls.name, durations.name),
        ("traces.span.metrics.calls", "traces.span.metrics.duration")
    );
    let (Series::Counts(calls), Series::Durations(durations)) = (calls.series, durations.series) else {
        panic!("calls are counts, and durations are durations");
    };
    let line = |(labels, count): &(Arc<[attr::Attribute]>, u64)| {
        let pairs = labels.iter().map(|(key, value)| match value {
            Value::Text(text) => format!("{key}={text} "),
            other => format!("{key}={other:?} "),
        });
        format!("{}{count}", pairs.collect::<String>())
    };
    let shown: Vec<String> = calls.iter().map(line).collect();
    assert_eq!(shown, expected);
    let counts: Vec<_> = durations
        .iter()
        .map(|(labels, durations)| (Arc::clone(labels), durations.count()))
        .collect();
    assert_eq!(counts, calls);
}

#[test]
fn spans_count_by_service_name_kind_and_status() {
    let mut metrics = metrics(&[], 10);
    let failed = SpanRef {
        status: StatusCode::Error,
        ..span("Status")
    };
    for counted in [span("Status"), failed, span("Status"), span("Version")] {
        metrics.record(counted, |_| None, Nanos::new(9));
    }
    check(
        &metrics,
        &[
            "service.name=kubelet span.name=Status span.kind=SPAN_KIND_CLIENT status.code=STATUS_CODE_UNSET 2",
            "service.name=kubelet span.name=Status span.kind=SPAN_KIND_CLIENT status.code=STATUS_CODE_ERROR 1",
            "service.name=kubelet span.name=Version span.kind=SPAN_KIND_CLIENT status.code=STATUS_CODE_UNSET 1",
        ],
    );
}

#[test]
fn attributes_that_are_named_tell_series_apart() {
    let mut metrics = metrics(&["http.response.status_code", "k8s.namespace.name"], 10);
    let said = |key: &str| match key {
        "http.response.status_code" => Some(Said::Integer(200)),
        _ => None,
    };
    metrics.record(span("GET"), said, Nanos::new(9));
    metrics.record(span("GET"), |_| Some(Said::Text("default")), Nanos::new(9));
    metrics.record(span("GET"), |_| None, Nanos::new(9));
    let same = "service.name=kubelet span.name=GET span.kind=SPAN_KIND_CLIENT status.code=STATUS_CODE_UNSET";
    check(
        &metrics,
        &[
            &format!("{same} http.response.status_code=Integer(200) 1"),
            &format!("{same} http.response.status_code=default k8s.namespace.name=default 1"),
            &format!("{same} 1"),
        ],
    );
}

#[test]
fn past_the_bound_spans_still_count() {
    let mut metrics = metrics(&[], 1);
    for name in ["a", "b", "c", "a"] {
        metrics.record(span(name), |_| None, Nanos::new(9));
    }
    check(
        &metrics,
        &[
            "service.name=kubelet span.name=a span.kind=SPAN_KIND_CLIENT status.code=STATUS_CODE_UNSET 2",
            "otel.metric.overflow=Flag(true) 2",
        ],
    );
}

#[test]
fn a_span_of_our_own_counts_like_a_native_one_and_is_its_exemplar() {
    let mut metrics = metrics(&["k8s.pod.uid"], 10);
    let own = Span {
        service: "kubernetes".into(),
        trace_id: TraceId([3; 16]),
        span_id: SpanId([4; 8]),
        parent: None,
        name: "pod start".into(),
        kind: SpanKind::Internal,
        start: Nanos::new(1_000_000_000),
        end: Nanos::new(3_000_000_000),
        error: Some("ImagePullBackOff".into()),
        attributes: vec![("k8s.pod.uid".into(), "u".into())],
        links: Vec::new(),
    };
    metrics.record_own(&own, Nanos::new(9));
    check(
        &metrics,
        &[
            "service.name=kubernetes span.name=pod start span.kind=SPAN_KIND_INTERNAL status.code=STATUS_CODE_ERROR \
           k8s.pod.uid=u 1",
        ],
    );
    let [_, durations] = metrics.families();
    let Series::Durations(durations) = durations.series else {
        panic!("durations are durations");
    };
    let source = Source {
        trace_id: TraceId([3; 16]),
        span_id: SpanId([4; 8]),
        at: Nanos::new(9),
    };
    assert_eq!(durations[0].1.exemplars()[0].source, source);
}

#[test]
fn a_span_that_ends_before_it_begins_took_no_time() {
    let mut metrics = metrics(&[], 10);
    let backwards = SpanRef {
        end: Nanos::new(1),
        ..span("a")
    };
    metrics.record(backwards, |_| None, Nanos::new(9));
    let [_, durations] = metrics.families();
    let Series::Durations(durations) = durations.series else {
        panic!("durations are durations");
    };
    assert_eq!((durations[0].1.zeros(), durations[0].1.count()), (1, 1));
}

#[test]
fn nothing_is_counted_where_they_are_turned_off() {
    let mut metrics = metrics(&[], 10);
    metrics.config.enabled = false;
    metrics.record(span("a"), |_| None, Nanos::new(9));
    assert!(metrics.families().iter().all(|family| family.series.is_empty()));
}
