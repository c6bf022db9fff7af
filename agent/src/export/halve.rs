//! Cuts a request in two where it is too large for the endpoint.
//!
//! In: one valid request body. Out: two, each with its share of the items under the same resource and
//! scope. Works on the bytes, so that nothing an item carries is lost, known to us or not.

use bytes::{Buf, Bytes};
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

use crate::model::Signal;

/// One of the two.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) body: Bytes,
    pub(super) items: u64,
}

/// The field numbers that lead from a request to its items.
type Path = &'static [&'static [u32]];

fn path(signal: Signal) -> Path {
    match signal {
        // resource_spans, scope_spans, spans; resource_logs, scope_logs, log_records.
        Signal::Traces | Signal::Logs => &[&[1], &[2], &[2]],
        // resource_metrics, scope_metrics, metrics, one of the five kinds of data, data_points.
        Signal::Metrics => &[&[1], &[2], &[2], &[5, 7, 9, 10, 11], &[1]],
    }
}

/// None when the request holds a single item or none.
pub(super) fn halve(signal: Signal, body: &Bytes) -> Option<[Half; 2]> {
    let path = path(signal);
    let halves = cut(body, path)?;
    Some(halves.map(|body| Half {
        items: count(&body, path),
        body: body.into(),
    }))
}

fn cut(message: &[u8], path: Path) -> Option<[Vec<u8>; 2]> {
    let (level, below) = path.split_first()?;
    let children: Vec<Field<'_>> = fields(message)
        .filter(|field| level.contains(&field.number))
        .collect();
    if let [only] = children[..] {
        let halves = cut(only.content?, below)?;
        return Some(halves.map(|content| {
            let mut out = others(message, level);
            only.encode_with(&content, &mut out);
            out
        }));
    }
    let total: usize = children.iter().map(|child| child.whole.len()).sum();
    let mut halves = [others(message, level), others(message, level)];
    let mut before = 0;
    for (index, child) in children.iter().enumerate() {
        // The first child always goes left and the last one right, whatever their sizes.
        let right = index > 0 && (before + child.whole.len() > total / 2 || index + 1 == children.len());
        halves[usize::from(right)].extend_from_slice(child.whole);
        before += child.whole.len();
    }
    (children.len() > 1).then_some(halves)
}

fn count(message: &[u8], path: Path) -> u64 {
    let Some((level, below)) = path.split_first() else {
        return 1;
    };
    fields(message)
        .filter(|field| level.contains(&field.number))
        .filter_map(|field| field.content)
        .map(|content| count(content, below))
        .sum()
}

/// All fields but those of a level.
fn others(message: &[u8], level: &[u32]) -> Vec<u8> {
    fields(message)
        .filter(|field| !level.contains(&field.number))
        .flat_map(|field| field.whole)
        .copied()
        .collect()
}

/// A field of a message: all its bytes, and those behind the length if it has one.
#[derive(Clone, Copy)]
struct Field<'a> {
    number: u32,
    whole: &'a [u8],
    content: Option<&'a [u8]>,
}

impl Field<'_> {
    fn encode_with(&self, content: &[u8], out: &mut Vec<u8>) {
        encode_key(self.number, WireType::LengthDelimited, out);
        encode_varint(content.len() as u64, out);
        out.extend_from_slice(content);
    }
}

/// The fields of a message; ends at the first byte that is not one, which a valid body has not.
fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let start = rest;
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        let content = if wire_type == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
            let content = rest.get(..length)?;
            rest.advance(length);
            Some(content)
        } else {
            skip_field(wire_type, number, &mut rest, DecodeContext::default()).ok()?;
            None
        };
        Some(Field {
            number,
            whole: &start[..start.len() - rest.len()],
            content,
        })
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
        metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data},
        resource::v1::Resource,
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    };
    use prost::Message;

    use super::*;

    fn trace(spans_per_scope: &[usize]) -> ExportTraceServiceRequest {
        let mut name = 0;
        let mut span = || {
            name += 1;
            Span {
                name: format!("span {name}"),
                ..Default::default()
            }
        };
        let scope_spans = spans_per_scope
            .iter()
            .map(|&n| ScopeSpans {
                spans: (0..n).map(|_| span()).collect(),
                ..Default::default()
            })
            .collect();
        let resource = Some(Resource {
            dropped_attributes_count: 7,
            ..Default::default()
        });
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource,
                scope_spans,
                schema_url: "url".into(),
            }],
        }
    }

    /// Cuts until nothing can be cut; every piece is one item under the same resource, in order.
    fn check(spans_per_scope: &[usize]) {
        let whole = trace(spans_per_scope);
        let mut todo = vec![Bytes::from(whole.encode_to_vec())];
        let mut names = Vec::new();
        while let Some(body) = todo.pop() {
            if let Some([left, right]) = halve(Signal::Traces, &body) {
                assert_eq!(left.items + right.items, count(&body, path(Signal::Traces)));
                todo.extend([right.body, left.body]);
                continue;
            }
            let piece = ExportTraceServiceRequest::decode(body).unwrap();
            let [resource_spans] = &piece.resource_spans[..] else {
                panic!("{piece:?}")
            };
            assert_eq!(resource_spans.resource, whole.resource_spans[0].resource);
            assert_eq!(resource_spans.schema_url, "url");
            names.extend(
                resource_spans
                    .scope_spans
                    .iter()
                    .flat_map(|s| &s.spans)
                    .map(|span| span.name.clone()),
            );
        }
        let expected: Vec<_> = (1..=spans_per_scope.iter().sum())
            .map(|n: usize| format!("span {n}"))
            .collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn every_item_ends_up_in_exactly_one_piece() {
        check(&[1]);
        check(&[2]);
        check(&[7]);
        check(&[3, 1, 5]);
    }

    #[test]
    fn data_points_of_one_metric_are_cut_apart() {
        let data_points = vec![NumberDataPoint::default(); 5];
        let metric = Metric {
            name: "m".into(),
            data: Some(Data::Gauge(Gauge { data_points })),
            ..Default::default()
        };
        let scope_metrics = vec![ScopeMetrics {
            metrics: vec![metric],
            ..Default::default()
        }];
        let resource_metrics = vec![ResourceMetrics {
            scope_metrics,
            ..Default::default()
        }];
        let body = ExportMetricsServiceRequest { resource_metrics }
            .encode_to_vec()
            .into();
        let [left, right] = halve(Signal::Metrics, &body).unwrap();
        assert_eq!((left.items, right.items), (2, 3));
        let right = ExportMetricsServiceRequest::decode(right.body).unwrap();
        assert_eq!(right.resource_metrics[0].scope_metrics[0].metrics[0].name, "m");
    }

    #[test]
    fn a_single_item_and_an_empty_request_stay_whole() {
        assert!(halve(Signal::Traces, &trace(&[1]).encode_to_vec().into()).is_none());
        assert!(halve(Signal::Traces, &Bytes::new()).is_none());
    }
}
