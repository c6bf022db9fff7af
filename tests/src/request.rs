//! Requests whose items carry numbers, so that what arrives can be compared with what was sent.

use std::{collections::BTreeMap, ops::Range};

use innerspan::model::Signal;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;

/// An export request of any signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

// === impl Request ===

impl Request {
    /// One item for each number, from the kubelet.
    #[must_use]
    pub fn new(signal: Signal, numbers: Range<u64>) -> Self {
        Self::padded(signal, numbers, 0)
    }

    /// Items that are larger by so many bytes, which no compression makes small.
    #[must_use]
    pub fn padded(signal: Signal, numbers: Range<u64>, padding: usize) -> Self {
        let resource = Some(Resource {
            attributes: vec![text("service.name", "kubelet".to_owned())],
            ..Resource::default()
        });
        match signal {
            Signal::Traces => {
                let spans = numbers.map(|number| span(number, padding)).collect();
                let scope_spans = vec![ScopeSpans {
                    spans,
                    ..ScopeSpans::default()
                }];
                let resource_spans = ResourceSpans {
                    resource,
                    scope_spans,
                    ..ResourceSpans::default()
                };
                Self::Traces(ExportTraceServiceRequest {
                    resource_spans: vec![resource_spans],
                })
            }
            Signal::Metrics => {
                let metrics = vec![gauge(numbers, padding)];
                let scope_metrics = vec![ScopeMetrics {
                    metrics,
                    ..ScopeMetrics::default()
                }];
                let resource_metrics = ResourceMetrics {
                    resource,
                    scope_metrics,
                    ..ResourceMetrics::default()
                };
                Self::Metrics(ExportMetricsServiceRequest {
                    resource_metrics: vec![resource_metrics],
                })
            }
            Signal::Logs => {
                let log_records = numbers.map(|number| record(number, padding)).collect();
                let scope_logs = vec![ScopeLogs {
                    log_records,
                    ..ScopeLogs::default()
                }];
                let resource_logs = ResourceLogs {
                    resource,
                    scope_logs,
                    ..ResourceLogs::default()
                };
                Self::Logs(ExportLogsServiceRequest {
                    resource_logs: vec![resource_logs],
                })
            }
        }
    }

    #[must_use]
    pub fn signal(&self) -> Signal {
        match self {
            Self::Traces(_) => Signal::Traces,
            Self::Metrics(_) => Signal::Metrics,
            Self::Logs(_) => Signal::Logs,
        }
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Traces(request) => request.encode_to_vec(),
            Self::Metrics(request) => request.encode_to_vec(),
            Self::Logs(request) => request.encode_to_vec(),
        }
    }

    #[must_use]
    pub fn decode(signal: Signal, bytes: &[u8]) -> Self {
        match signal {
            Signal::Traces => Self::Traces(ExportTraceServiceRequest::decode(bytes).unwrap()),
            Signal::Metrics => Self::Metrics(ExportMetricsServiceRequest::decode(bytes).unwrap()),
            Signal::Logs => Self::Logs(ExportLogsServiceRequest::decode(bytes).unwrap()),
        }
    }

    /// In OTLP's JSON.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        match self {
            Self::Traces(request) => serde_json::to_vec(request).unwrap(),
            Self::Metrics(request) => serde_json::to_vec(request).unwrap(),
            Self::Logs(request) => serde_json::to_vec(request).unwrap(),
        }
    }

    /// The numbers of its items.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        match self {
            Self::Traces(request) => {
                let scopes = request
                    .resource_spans
                    .iter()
                    .flat_map(|resource| &resource.scope_spans);
                scopes
                    .flat_map(|scope| &scope.spans)
                    .map(number_of_span)
                    .collect()
            }
            Self::Metrics(request) => {
                let scopes = request
                    .resource_metrics
                    .iter()
                    .flat_map(|resource| &resource.scope_metrics);
                scopes
                    .flat_map(|scope| &scope.metrics)
                    .flat_map(numbers_of_metric)
                    .collect()
            }
            Self::Logs(request) => {
                let scopes = request
                    .resource_logs
                    .iter()
                    .flat_map(|resource| &resource.scope_logs);
                scopes
                    .flat_map(|scope| &scope.log_records)
                    .map(number_of_record)
                    .collect()
            }
        }
    }

    /// The text attributes of every resource in it.
    #[must_use]
    pub fn resources(&self) -> Vec<BTreeMap<String, String>> {
        let resources: Vec<&Option<Resource>> = match self {
            Self::Traces(request) => request.resource_spans.iter().map(|of| &of.resource).collect(),
            Self::Metrics(request) => request.resource_metrics.iter().map(|of| &of.resource).collect(),
            Self::Logs(request) => request.resource_logs.iter().map(|of| &of.resource).collect(),
        };
        let attributes = |resource: &Option<Resource>| {
            let attributes = resource.iter().flat_map(|resource| &resource.attributes);
            attributes.filter_map(text_of).collect()
        };
        resources.into_iter().map(attributes).collect()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue {
        value: Some(Value::StringValue(value)),
    });
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}

fn text_of(attribute: &KeyValue) -> Option<(String, String)> {
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(value) => Some((attribute.key.clone(), value.clone())),
        _ => None,
    }
}

/// Text without patterns: a xorshift generator, seeded by the number.
fn padding(number: u64, length: usize) -> Vec<KeyValue> {
    if length == 0 {
        return Vec::new();
    }
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state % 94) as u8)
    });
    vec![text("padding", letters.take(length).collect())]
}

fn span(number: u64, size: usize) -> Span {
    Span {
        trace_id: u128::from(number).wrapping_add(1 << 64).to_be_bytes().to_vec(),
        // An id of zeros would be none.
        span_id: (number + 1).to_be_bytes().to_vec(),
        name: "numbered".to_owned(),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_001_000_000,
        attributes: padding(number, size),
        ..Span::default()
    }
}

fn number_of_span(span: &Span) -> u64 {
    u64::from_be_bytes(span.span_id.as_slice().try_into().unwrap()) - 1
}

fn gauge(numbers: Range<u64>, size: usize) -> Metric {
    let point = |number: u64| NumberDataPoint {
        time_unix_nano: 1_700_000_000_000_000_000,
        attributes: padding(number, size),
        value: Some(number_data_point::Value::AsInt(number.try_into().unwrap())),
        ..NumberDataPoint::default()
    };
    Metric {
        name: "numbered".to_owned(),
        data: Some(metric::Data::Gauge(Gauge {
            data_points: numbers.map(point).collect(),
        })),
        ..Metric::default()
    }
}

fn numbers_of_metric(metric: &Metric) -> Vec<u64> {
    let Some(metric::Data::Gauge(gauge)) = &metric.data else {
        panic!("another metric than was sent")
    };
    let number = |point: &NumberDataPoint| match point.value {
        Some(number_data_point::Value::AsInt(number)) => number.try_into().unwrap(),
        _ => panic!("another data point than was sent"),
    };
    gauge.data_points.iter().map(number).collect()
}

fn record(number: u64, size: usize) -> LogRecord {
    LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000,
        body: Some(AnyValue {
            value: Some(Value::IntValue(number.try_into().unwrap())),
        }),
        attributes: padding(number, size),
        ..LogRecord::default()
    }
}

fn number_of_record(record: &LogRecord) -> u64 {
    match &record.body {
        Some(AnyValue {
            value: Some(Value::IntValue(number)),
        }) => (*number).try_into().unwrap(),
        _ => panic!("another log record than was sent"),
    }
}
