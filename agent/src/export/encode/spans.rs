//! Our own spans as OTLP.
//!
//! In: spans of any services, and this node's attributes. Out: one valid request that holds them all, a resource for
//! each service. Only what this agent makes is encoded; what components send passes as bytes.

use std::{collections::BTreeMap, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span as Encoded, Status, span, status},
};
use prost::Message as _;

use super::{key_value, resource, scope};
use crate::model::{
    Component, Payload, ResourceAttributes, Signal, Tally,
    trace::{Link, Span, SpanKind},
};

/// Encodes spans; none if there are none.
#[must_use]
pub fn spans(spans: Vec<Span>, node: &ResourceAttributes) -> Option<Payload> {
    let mut tally = Tally::default();
    tally.add(Component::Innerspan, spans.len() as u64);
    (!spans.is_empty()).then(|| Payload {
        signal: Signal::Traces,
        body: request(spans, node).encode_to_vec().into(),
        tally,
    })
}

/// The same request as OTLP/JSON, which any receiver of that takes.
pub fn json(spans: Vec<Span>, node: &ResourceAttributes) -> serde_json::Result<String> {
    serde_json::to_string(&request(spans, node))
}

fn request(spans: Vec<Span>, node: &ResourceAttributes) -> ExportTraceServiceRequest {
    let mut services: BTreeMap<Arc<str>, Vec<Encoded>> = BTreeMap::new();
    for span in spans {
        services
            .entry(Arc::clone(&span.service))
            .or_default()
            .push(encode_span(span));
    }
    let resource_spans = services.into_iter().map(|(service, spans)| ResourceSpans {
        resource: Some(resource(&service, node)),
        scope_spans: vec![ScopeSpans {
            scope: Some(scope()),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    });
    ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    }
}

fn encode_span(span: Span) -> Encoded {
    let kind = match span.kind {
        SpanKind::Internal => span::SpanKind::Internal,
        SpanKind::Client => span::SpanKind::Client,
        SpanKind::Server => span::SpanKind::Server,
        SpanKind::Producer => span::SpanKind::Producer,
        SpanKind::Consumer => span::SpanKind::Consumer,
    };
    let attributes = span.attributes.iter();
    Encoded {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        name: span.name.to_string(),
        kind: kind.into(),
        start_time_unix_nano: span.start.count(),
        end_time_unix_nano: span.end.count(),
        attributes: attributes
            .map(|(key, value)| key_value(key, value.said()))
            .collect(),
        links: span.links.into_iter().map(encode_link).collect(),
        status: span.error.map(|error| Status {
            message: error.into(),
            code: status::StatusCode::Error.into(),
        }),
        ..Encoded::default()
    }
}

fn encode_link(link: Link) -> span::Link {
    span::Link {
        trace_id: link.trace_id.0.to_vec(),
        span_id: link.span_id.0.to_vec(),
        ..span::Link::default()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::KeyValue;

    use super::*;
    use crate::model::{
        attr::{self, Said},
        time::Nanos,
        trace::{SpanId, TraceId},
    };

    fn span(service: &str, parent: Option<SpanId>) -> Span {
        Span {
            service: service.into(),
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
            parent,
            name: "SyncPod".into(),
            kind: SpanKind::Internal,
            start: Nanos::new(5),
            end: Nanos::new(7),
            error: Some("".into()),
            attributes: vec![(attr::K8S_POD_UID.into(), "u".into())],
            links: vec![Link {
                trace_id: TraceId([4; 16]),
                span_id: SpanId([5; 8]),
            }],
        }
    }

    #[test]
    fn each_service_is_a_resource_with_the_attributes_of_the_node() {
        let mut node = ResourceAttributes::default();
        node.set(attr::K8S_NODE_NAME, "n1");
        node.set(attr::SERVICE_NAME, "all of them");
        let spans = vec![
            span("kubelet", None),
            span("etcd", Some(SpanId([3; 8]))),
            span("kubelet", None),
        ];
        let payload = super::spans(spans, &node).unwrap();
        assert_eq!(payload.tally.of(Component::Innerspan), 3);
        let request = ExportTraceServiceRequest::decode(&*payload.body).unwrap();
        let shown: Vec<(Vec<KeyValue>, usize)> = request
            .resource_spans
            .into_iter()
            .map(|one| (one.resource.unwrap().attributes, one.scope_spans[0].spans.len()))
            .collect();
        let resource = |service: &str| {
            vec![
                key_value(attr::SERVICE_NAME, Said::Text(service)),
                key_value(attr::K8S_NODE_NAME, Said::Text("n1")),
            ]
        };
        assert_eq!(shown, [(resource("etcd"), 1), (resource("kubelet"), 2)]);
    }

    #[test]
    fn a_span_without_a_parent_has_no_parent_id() {
        let payload = spans(vec![span("kubelet", None)], &ResourceAttributes::default()).unwrap();
        let request = ExportTraceServiceRequest::decode(&*payload.body).unwrap();
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        assert!(span.parent_span_id.is_empty());
        assert_eq!(span.status.as_ref().unwrap().code, 2);
        assert_eq!(span.links[0].span_id, [5; 8]);
    }

    #[test]
    fn nothing_is_no_request() {
        assert!(spans(Vec::new(), &ResourceAttributes::default()).is_none());
    }
}
