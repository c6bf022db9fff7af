//! Our own metrics as OTLP: cumulative, with exponential histograms.
//!
//! In: families as they stand, when they were last sent, and this node's attributes. Out: valid requests of bounded
//! size, all of one resource: this agent on this node. Exemplars go out once, so that whoever takes them gets them in
//! the order of time.

use std::sync::Arc;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, Exemplar as EncodedExemplar, ExponentialHistogram,
        ExponentialHistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message as _;

use super::{key_value, resource, scope};
use crate::model::{
    Component, Payload, ResourceAttributes, Signal, Tally,
    attr::{self, Said},
    histogram::{self, Exemplar, Histogram},
    metric::{Family, Labels, Series},
    time::{Nanos, Wall},
};

/// Data points of one request: with their exemplars about a megabyte.
const MAX_POINTS: usize = 1000;

/// Encodes families as they stand at one moment.
///
/// `since`: when they were last encoded; exemplars that were counted before have gone out.
#[must_use]
pub fn metrics(
    families: &[Family],
    since: Nanos<Wall>,
    at: Nanos<Wall>,
    node: &ResourceAttributes,
) -> Vec<Payload> {
    let agent = agent(node);
    let mut payloads = Vec::new();
    let (mut metrics, mut points) = (Vec::new(), 0);
    for family in families {
        let moment = Moment {
            start: family.start,
            since,
            at,
        };
        for (metric, count) in moment.encode(family) {
            if points + count > MAX_POINTS {
                payloads.extend(payload(std::mem::take(&mut metrics), points, &agent));
                points = 0;
            }
            metrics.push(metric);
            points += count;
        }
    }
    payloads.extend(payload(metrics, points, &agent));
    payloads
}

fn payload(metrics: Vec<Metric>, points: usize, agent: &Resource) -> Option<Payload> {
    let mut tally = Tally::default();
    tally.add(Component::Innerspan, points as u64);
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(agent.clone()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    (points > 0).then(|| Payload {
        signal: Signal::Metrics,
        body: request.encode_to_vec().into(),
        tally,
    })
}

/// This agent among those of other nodes: without an instance of its own their series would be one.
fn agent(node: &ResourceAttributes) -> Resource {
    let mut resource = resource("innerspan", node);
    let said = |wanted: &str| node.iter().find(|(key, _)| *key == wanted);
    // What is known from the start on, so that the instance stays the same.
    let of_node = [attr::HOST_ID, attr::K8S_NODE_NAME, attr::HOST_NAME];
    if said(attr::SERVICE_INSTANCE_ID).is_none()
        && let Some((_, id)) = of_node.into_iter().find_map(said)
    {
        resource
            .attributes
            .push(key_value(attr::SERVICE_INSTANCE_ID, Said::Text(id)));
    }
    resource
}

/// What all data points of a family have in common.
#[derive(Clone, Copy, Debug)]
struct Moment {
    start: Nanos<Wall>,
    since: Nanos<Wall>,
    at: Nanos<Wall>,
}

impl Moment {
    /// The family in pieces, none too large for a request, each with the number of its data points.
    fn encode(self, family: &Family) -> Vec<(Metric, usize)> {
        let metric = |unit: &str, data: Data| Metric {
            name: family.name.to_owned(),
            description: family.description.to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        };
        let aggregation_temporality = AggregationTemporality::Cumulative.into();
        match &family.series {
            Series::Counts(counts) => counts
                .chunks(MAX_POINTS)
                .map(|counts| {
                    let sum = Sum {
                        data_points: counts
                            .iter()
                            .map(|(labels, count)| self.count(labels, *count))
                            .collect(),
                        aggregation_temporality,
                        is_monotonic: true,
                    };
                    (metric("", Data::Sum(sum)), counts.len())
                })
                .collect(),
            Series::Durations(durations) => durations
                .chunks(MAX_POINTS)
                .map(|durations| {
                    let histogram = ExponentialHistogram {
                        data_points: durations.iter().map(|series| self.durations(series)).collect(),
                        aggregation_temporality,
                    };
                    (
                        metric("s", Data::ExponentialHistogram(histogram)),
                        durations.len(),
                    )
                })
                .collect(),
        }
    }

    fn count(self, labels: &Labels, count: u64) -> NumberDataPoint {
        NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.start.count(),
            time_unix_nano: self.at.count(),
            value: Some(number_data_point::Value::AsInt(
                i64::try_from(count).unwrap_or(i64::MAX),
            )),
            ..NumberDataPoint::default()
        }
    }

    fn durations(self, (labels, histogram): &(Labels, Arc<Histogram>)) -> ExponentialHistogramDataPoint {
        let extremes = histogram.extremes();
        let exemplars = histogram.exemplars().iter();
        let new = exemplars.filter(|exemplar| exemplar.source.at > self.since);
        let mut exemplars: Vec<EncodedExemplar> = new.map(encode_exemplar).collect();
        exemplars.sort_by_key(|exemplar| exemplar.time_unix_nano);
        ExponentialHistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.start.count(),
            time_unix_nano: self.at.count(),
            count: histogram.count(),
            sum: Some(histogram.sum().as_secs_f64()),
            scale: histogram.scale(),
            zero_count: histogram.zeros(),
            positive: Some(Buckets {
                offset: histogram.offset(),
                bucket_counts: histogram.buckets().to_vec(),
            }),
            exemplars,
            min: extremes.map(|(least, _)| least.as_secs_f64()),
            max: extremes.map(|(_, most)| most.as_secs_f64()),
            zero_threshold: f64::from(histogram::ZERO).exp2(),
            ..ExponentialHistogramDataPoint::default()
        }
    }
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    let pairs = labels.iter();
    pairs.map(|(key, value)| key_value(key, value.said())).collect()
}

fn encode_exemplar(exemplar: &Exemplar) -> EncodedExemplar {
    EncodedExemplar {
        time_unix_nano: exemplar.source.at.count(),
        trace_id: exemplar.source.trace_id.0.to_vec(),
        span_id: exemplar.source.span_id.0.to_vec(),
        value: Some(exemplar::Value::AsDouble(exemplar.duration.as_secs_f64())),
        ..EncodedExemplar::default()
    }
}

#[cfg(test)]
mod tests;
