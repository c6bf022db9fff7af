//! Spans as a reader of traces wants them, from OTLP requests.
//!
//! In: requests, from the recorder or from a capture. Out: spans with their service, and traces as
//! trees. Only what the lab shows and checks is kept.

use std::collections::{BTreeMap, HashSet};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
};

/// The instrumentation scope of what the agent saw itself.
const SCOPE: &str = "innerspan";

#[derive(Debug, Default, Clone)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    /// Empty for the first span of a trace.
    pub(crate) parent: Vec<u8>,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// `k8s.node.name` of its resource.
    pub(crate) node: Option<String>,
    /// Whether the agent made it, and not the component itself.
    pub(crate) own: bool,
    /// Those that are text.
    pub(crate) attributes: Vec<(String, String)>,
}

impl Span {
    /// The text of an attribute.
    pub(crate) fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find_map(|(known, value)| (known == key).then_some(value.as_str()))
    }

    /// Whether a value of this span has the text in it.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.attributes.iter().any(|(_, value)| value.contains(text))
    }
}

/// All spans of the requests, in their order.
pub(crate) fn of(requests: &[ExportTraceServiceRequest]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource_spans in requests.iter().flat_map(|request| &request.resource_spans) {
        let resource = resource_spans
            .resource
            .as_ref()
            .map(|resource| resource.attributes.as_slice())
            .unwrap_or_default();
        let service = text(resource, "service.name").unwrap_or("unnamed");
        let node = text(resource, "k8s.node.name");
        let scopes = resource_spans.scope_spans.iter();
        for (scope, span) in scopes.flat_map(|scope| scope.spans.iter().map(move |span| (scope, span))) {
            spans.push(Span {
                service: service.to_owned(),
                name: span.name.clone(),
                trace: span.trace_id.clone(),
                id: span.span_id.clone(),
                parent: span.parent_span_id.clone(),
                begin: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                node: node.map(str::to_owned),
                own: scope.scope.as_ref().is_some_and(|scope| scope.name == SCOPE),
                attributes: span
                    .attributes
                    .iter()
                    .filter_map(|pair| Some((pair.key.clone(), string(pair)?.to_owned())))
                    .collect(),
            });
        }
    }
    spans
}

/// Different spans of each service: a request that is sent again after a refusal counts once.
pub(crate) fn count(spans: &[Span]) -> BTreeMap<String, u64> {
    let mut seen = HashSet::new();
    let mut counts = BTreeMap::new();
    for span in spans {
        if seen.insert((&span.trace, &span.id)) {
            *counts.entry(span.service.clone()).or_default() += 1;
        }
    }
    counts
}

/// A trace in the order of a depth-first walk.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Each with its depth.
    pub(crate) spans: Vec<(usize, Span)>,
}

/// The trace of a pod in which `client` calls `server`, complete: every span has its parent in it.
pub(crate) fn tree(spans: &[Span], pod: &str, client: &str, server: &str) -> Option<Tree> {
    let mut traces: BTreeMap<&[u8], Vec<&Span>> = BTreeMap::new();
    for span in spans {
        traces.entry(&span.trace).or_default().push(span);
    }
    traces
        .into_values()
        .filter(|trace| trace.iter().any(|span| span.mentions(pod)))
        .filter(|trace| calls(trace, client, server))
        .filter_map(|trace| walk(&trace))
        .max_by_key(|tree| tree.spans.len())
}

/// The spans of one trace, if it is complete: it has one root, and every span has its parent in it.
pub(crate) fn whole(trace: &[Span]) -> Option<Tree> {
    walk(&trace.iter().collect::<Vec<_>>())
}

fn calls(trace: &[&Span], client: &str, server: &str) -> bool {
    trace.iter().filter(|span| span.service == server).any(|span| {
        trace
            .iter()
            .any(|parent| parent.service == client && parent.id == span.parent)
    })
}

/// None unless there is one root and all other spans hang on it.
fn walk(trace: &[&Span]) -> Option<Tree> {
    let mut roots = trace.iter().filter(|span| span.parent.is_empty());
    let root = roots.next().filter(|_| roots.next().is_none())?;
    let mut ordered = Vec::new();
    descend(root, 0, trace, &mut ordered);
    let ids: HashSet<_> = trace.iter().map(|span| &span.id).collect();
    (ordered.len() == ids.len()).then_some(Tree { spans: ordered })
}

fn descend(span: &Span, depth: usize, trace: &[&Span], ordered: &mut Vec<(usize, Span)>) {
    ordered.push((depth, span.clone()));
    let mut children: Vec<_> = trace.iter().filter(|child| child.parent == span.id).collect();
    children.sort_by_key(|child| child.begin);
    for child in children {
        descend(child, depth + 1, trace, ordered);
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    attributes.iter().find(|pair| pair.key == key).and_then(string)
}

fn string(pair: &KeyValue) -> Option<&str> {
    match &pair.value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Span, tree};

    /// One trace, each span given by service, id, parent (0 for none) and begin.
    fn trace(spans: &[(&str, u8, u8, u64)]) -> Vec<Span> {
        let span = |(service, id, parent, begin): &(&str, u8, u8, u64)| Span {
            service: (*service).to_owned(),
            name: format!("{service} {id}"),
            trace: vec![1],
            id: vec![*id],
            parent: if *parent == 0 { Vec::new() } else { vec![*parent] },
            begin: *begin,
            end: begin + 1,
            node: None,
            own: false,
            attributes: vec![("pod".to_owned(), "default/demo-1".to_owned())],
        };
        spans.iter().map(span).collect()
    }

    fn check(spans: &[(&str, u8, u8, u64)], expected: Option<&[&str]>) {
        let found = tree(&trace(spans), "demo-1", "apiserver", "etcd");
        let lines = found.map(|tree| {
            let line = |(depth, span): &(usize, Span)| format!("{}{}", " ".repeat(*depth), span.name);
            tree.spans.iter().map(line).collect::<Vec<_>>()
        });
        assert_eq!(
            lines.as_deref(),
            expected
                .map(|lines| lines.iter().map(ToString::to_string).collect::<Vec<_>>())
                .as_deref()
        );
    }

    #[test]
    fn children_follow_their_parent_in_the_order_in_which_they_began() {
        check(
            &[
                ("etcd", 4, 3, 30),
                ("apiserver", 3, 1, 20),
                ("apiserver", 2, 1, 10),
                ("apiserver", 1, 0, 0),
            ],
            Some(&["apiserver 1", " apiserver 2", " apiserver 3", "  etcd 4"]),
        );
    }

    #[test]
    fn a_trace_whose_middle_did_not_arrive_yet_is_not_shown() {
        check(
            &[("apiserver", 1, 0, 0), ("apiserver", 3, 2, 0), ("etcd", 4, 3, 0)],
            None,
        );
    }

    #[test]
    fn a_trace_that_stays_in_one_component_is_not_shown() {
        check(&[("apiserver", 1, 0, 0), ("apiserver", 2, 1, 0)], None);
    }
}
