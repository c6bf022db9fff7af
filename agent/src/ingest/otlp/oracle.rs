//! Holds the scanner against prost, for property tests and fuzzing alike.
//!
//! In: any bytes. Out: nothing, or a panic that says how the two differ. Hidden from the documentation: it
//! is public for the fuzz target, which is a crate of its own.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::any_value::Value,
    metrics::v1::{Metric, metric::Data},
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::{DecodeError, Message as _};

use super::scan::{Irregular, Scan, scan};
use crate::model::{Component, Signal, attr::SERVICE_NAME};

/// Asserts that the scanner takes a request exactly if prost does, and finds in it what prost finds.
pub fn check(signal: Signal, request: &[u8]) {
    let (ours, theirs) = (scan(signal, request), count(signal, request));
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{signal:?} of {request:02x?}"),
        (Err(_), Err(_)) => {}
        _ => assert!(
            ours.is_ok() == theirs.is_ok(),
            "{ours:?}, but prost: {theirs:?}, of {request:02x?}"
        ),
    }
}

fn count(signal: Signal, request: &[u8]) -> Result<Scan, DecodeError> {
    let mut found = Scan::default();
    match signal {
        Signal::Traces => {
            for envelope in ExportTraceServiceRequest::decode(request)?.resource_spans {
                let spans = envelope.scope_spans.into_iter().flat_map(|scope| scope.spans);
                let items = spans.inspect(|span| note(&mut found, span)).count();
                enter(&mut found, envelope.resource.as_ref(), items);
            }
        }
        Signal::Metrics => {
            for envelope in ExportMetricsServiceRequest::decode(request)?.resource_metrics {
                let metrics = envelope.scope_metrics.iter().flat_map(|scope| &scope.metrics);
                enter(&mut found, envelope.resource.as_ref(), metrics.map(points).sum());
            }
        }
        Signal::Logs => {
            for envelope in ExportLogsServiceRequest::decode(request)?.resource_logs {
                let records = envelope.scope_logs.iter().map(|scope| scope.log_records.len());
                enter(&mut found, envelope.resource.as_ref(), records.sum());
            }
        }
    }
    Ok(found)
}

fn enter(found: &mut Scan, resource: Option<&Resource>, items: usize) {
    let attributes = resource.into_iter().flat_map(|resource| &resource.attributes);
    let services = attributes.filter(|attribute| attribute.key == SERVICE_NAME);
    let mut texts =
        services
            .rev()
            .filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
                Value::StringValue(text) => Some(Component::of_service(text.as_bytes())),
                _ => None,
            });
    found
        .tally
        .add(texts.next().unwrap_or(Component::Other), items as u64);
    found.resources += 1;
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
    }
}

fn note(found: &mut Scan, span: &Span) {
    let is_id = |id: &[u8], length| id.len() == length && id.iter().any(|byte| *byte != 0);
    found
        .irregular
        .note(Irregular::TraceId, !is_id(&span.trace_id, 16));
    found.irregular.note(Irregular::SpanId, !is_id(&span.span_id, 8));
    found.irregular.note(
        Irregular::Times,
        span.end_time_unix_nano < span.start_time_unix_nano,
    );
}
