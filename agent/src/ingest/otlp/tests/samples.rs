//! Requests that use every field of OTLP.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{
        AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
        Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};
use prost::Message as _;

use crate::model::Signal;

/// A request with all that OTLP can say.
pub(in super::super) fn rich(signal: Signal) -> Vec<u8> {
    match signal {
        Signal::Traces => traces().encode_to_vec(),
        Signal::Metrics => metrics().encode_to_vec(),
        Signal::Logs => logs().encode_to_vec(),
    }
}

/// A request for each signal with one item.
pub(in super::super) fn small(signal: Signal) -> Vec<u8> {
    match signal {
        Signal::Traces => ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource("kubelet")),
                scope_spans: vec![ScopeSpans {
                    spans: vec![span()],
                    ..Default::default()
                }],
                ..Default::default()
            }],
        }
        .encode_to_vec(),
        Signal::Metrics => {
            let mut request = metrics();
            request.resource_metrics[0].scope_metrics[0].metrics.truncate(1);
            request.encode_to_vec()
        }
        Signal::Logs => logs().encode_to_vec(),
    }
}

pub(in super::super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

pub(in super::super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn attributes() -> Vec<KeyValue> {
    let array = ["a", "ü"].map(|text| AnyValue {
        value: Some(Value::StringValue(text.into())),
    });
    vec![
        text("rpc.method", "Überprüfen"),
        attribute("int", Value::IntValue(-1)),
        attribute("bool", Value::BoolValue(true)),
        attribute("double", Value::DoubleValue(0.5)),
        attribute("bytes", Value::BytesValue(vec![0xff, 0])),
        attribute("array", Value::ArrayValue(ArrayValue { values: array.into() })),
        attribute(
            "list",
            Value::KvlistValue(KeyValueList {
                values: vec![text("in", "side")],
            }),
        ),
        attribute("index", Value::StringValueStrindex(3)),
        KeyValue {
            key: "empty".into(),
            value: None,
            key_strindex: 1,
        },
    ]
}

pub(in super::super) fn resource(service: &str) -> Resource {
    Resource {
        attributes: vec![text("service.name", service), text("host.name", "mine")],
        dropped_attributes_count: 300,
        entity_refs: vec![EntityRef {
            schema_url: "https://schema".into(),
            r#type: "service".into(),
            id_keys: vec!["service.name".into()],
            description_keys: vec!["host.name".into()],
        }],
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "otelgrpc".into(),
        version: "0.68".into(),
        attributes: attributes(),
        dropped_attributes_count: 1,
    }
}

fn span() -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        trace_state: "a=b".into(),
        parent_span_id: vec![3; 8],
        flags: 0x101,
        name: "/runtime.v1.RuntimeService/RunPodSandbox".into(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_000_000_001,
        attributes: attributes(),
        dropped_attributes_count: 1,
        events: vec![Event {
            time_unix_nano: 1,
            name: "sent".into(),
            attributes: attributes(),
            ..Default::default()
        }],
        dropped_events_count: 1,
        links: vec![Link {
            trace_id: vec![4; 16],
            span_id: vec![5; 8],
            trace_state: "c=d".into(),
            attributes: attributes(),
            dropped_attributes_count: 1,
            flags: 1,
        }],
        dropped_links_count: 1,
        status: Some(Status {
            message: "deadline".into(),
            code: 2,
        }),
    }
}

fn traces() -> ExportTraceServiceRequest {
    let short_id = Span {
        trace_id: vec![1; 15],
        ..span()
    };
    let zero_id = Span {
        span_id: vec![0; 8],
        ..span()
    };
    let backwards = Span {
        end_time_unix_nano: 0,
        ..span()
    };
    let spans = |spans| {
        vec![ScopeSpans {
            scope: Some(scope()),
            spans,
            schema_url: "https://schema".into(),
        }]
    };
    ExportTraceServiceRequest {
        resource_spans: vec![
            ResourceSpans {
                resource: Some(resource("apiserver")),
                scope_spans: spans(vec![span(), short_id, zero_id]),
                schema_url: "https://schema".into(),
            },
            ResourceSpans {
                resource: None,
                scope_spans: spans(vec![backwards]),
                ..Default::default()
            },
        ],
    }
}

fn exemplars() -> Vec<Exemplar> {
    vec![
        Exemplar {
            filtered_attributes: attributes(),
            time_unix_nano: 1,
            span_id: vec![1; 8],
            trace_id: vec![2; 16],
            value: Some(exemplar::Value::AsInt(-1)),
        },
        Exemplar {
            value: Some(exemplar::Value::AsDouble(1.5)),
            ..Default::default()
        },
    ]
}

/// Data of all five kinds.
fn kinds() -> [Data; 5] {
    let int = NumberDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        exemplars: exemplars(),
        flags: 1,
        value: Some(number_data_point::Value::AsInt(-7)),
    };
    let double = NumberDataPoint {
        value: Some(number_data_point::Value::AsDouble(0.5)),
        ..int.clone()
    };
    let histogram = HistogramDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(4.0),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        exemplars: exemplars(),
        flags: 1,
        min: Some(0.0),
        max: Some(1.0),
    };
    let buckets = Some(Buckets {
        offset: -1,
        bucket_counts: vec![1, 300],
    });
    let exponential = ExponentialHistogramDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(4.0),
        scale: -2,
        zero_count: 1,
        positive: buckets.clone(),
        negative: buckets,
        flags: 1,
        exemplars: exemplars(),
        min: Some(0.0),
        max: Some(1.0),
        zero_threshold: 0.1,
    };
    let summary = SummaryDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: 4.0,
        quantile_values: vec![ValueAtQuantile {
            quantile: 0.99,
            value: 1.0,
        }],
        flags: 1,
    };
    [
        Data::Gauge(Gauge {
            data_points: vec![int.clone(), double.clone()],
        }),
        Data::Sum(Sum {
            data_points: vec![int, double],
            aggregation_temporality: 2,
            is_monotonic: true,
        }),
        Data::Histogram(Histogram {
            data_points: vec![histogram],
            aggregation_temporality: 2,
        }),
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential],
            aggregation_temporality: 1,
        }),
        Data::Summary(Summary {
            data_points: vec![summary],
        }),
    ]
}

fn metrics() -> ExportMetricsServiceRequest {
    let metric = |data| Metric {
        name: "rpc.server.duration".into(),
        description: "how long".into(),
        unit: "ms".into(),
        metadata: attributes(),
        data: Some(data),
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource("containerd")),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: kinds().map(metric).into(),
                schema_url: "https://schema".into(),
            }],
            schema_url: "https://schema".into(),
        }],
    }
}

fn logs() -> ExportLogsServiceRequest {
    let record = LogRecord {
        time_unix_nano: 1,
        observed_time_unix_nano: 2,
        severity_number: 9,
        severity_text: "INFO".into(),
        body: Some(AnyValue {
            value: Some(Value::StringValue("started".into())),
        }),
        attributes: attributes(),
        dropped_attributes_count: 1,
        flags: 1,
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        event_name: "start".into(),
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource("etcd")),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: vec![record],
                schema_url: "https://schema".into(),
            }],
            schema_url: "https://schema".into(),
        }],
    }
}
