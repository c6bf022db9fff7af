//! The lab's trace backend, asked as a user of it asks: a trace by its id.
//!
//! In: an id. Out: the answer of Jaeger's query API. It does not know who wrote the spans, nor
//! which way they took.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{components::hex, node::Node, patience, spans::Tree};

/// The port of its query API.
const QUERY: u16 = 16686;

/// The trace with this id, in hex digits, as Jaeger has it now; an error if it has none of it.
pub(crate) fn trace(node: &Node, id: &str) -> anyhow::Result<Value> {
    let words = [
        "kubectl",
        "-n",
        "observability",
        "get",
        "service",
        "jaeger",
        "--output=jsonpath={.spec.clusterIP}",
    ];
    let address = node.space.run(&words)?;
    let address = address
        .parse()
        .with_context(|| format!("the address of Jaeger's service is `{address}`"))?;
    let answer = node
        .space
        .fetch(SocketAddr::new(address, QUERY), &format!("/api/traces/{id}"))
        .context("cannot ask Jaeger for a trace")?;
    let answer: Value = serde_json::from_str(&answer).context("Jaeger's answer is not JSON")?;
    answer
        .pointer("/data/0")
        .cloned()
        .with_context(|| format!("Jaeger's answer has no trace: {answer}"))
}

/// The id of the span that this one is a part of, as Jaeger tells it.
pub(crate) fn parent(span: &Value) -> Option<&str> {
    let references = span.get("references")?.as_array()?.iter();
    let mut parents = references.filter(|reference| reference["refType"] == "CHILD_OF");
    parents.next()?.get("spanID")?.as_str()
}

/// The value of a tag.
pub(crate) fn tag<'a>(span: &'a Value, key: &str) -> Option<&'a Value> {
    let mut tags = span.get("tags")?.as_array()?.iter();
    tags.find(|tag| tag["key"] == key)?.get("value")
}

/// Waits until Jaeger can show all of a trace.
pub(crate) fn await_trace(node: &Node, tree: &Tree) -> anyhow::Result<()> {
    let (_, root) = tree.spans.first().context("an empty trace")?;
    let id = hex(&root.trace);
    patience::until(
        &format!("trace {id} in Jaeger"),
        Duration::from_secs(30),
        || match missing(&trace(node, &id)?, tree) {
            0 => Ok(()),
            missing => bail!("{missing} of its {} spans are not there", tree.spans.len()),
        },
    )
}

/// How many spans of the tree Jaeger's trace lacks, or has below another parent.
fn missing(trace: &Value, tree: &Tree) -> usize {
    let spans = trace.get("spans").and_then(Value::as_array);
    let kept: HashSet<(&str, &str)> = spans
        .into_iter()
        .flatten()
        .filter_map(|span| Some((span.get("spanID")?.as_str()?, parent(span).unwrap_or_default())))
        .collect();
    tree.spans
        .iter()
        .filter(|(_, span)| !kept.contains(&(hex(&span.id).as_str(), hex(&span.parent).as_str())))
        .count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::missing;
    use crate::lab::spans::{Span, Tree};

    #[test]
    fn a_span_counts_as_kept_below_its_own_parent_only() {
        let span = |id: u8, parent: &[u8]| Span {
            id: vec![id; 8],
            parent: parent.to_vec(),
            ..Span::default()
        };
        let tree = Tree {
            spans: vec![(0, span(1, &[])), (1, span(2, &[1; 8])), (1, span(3, &[1; 8]))],
        };
        let kept = |id: &str, parent: &str| json!({ "spanID": id, "references": [{ "refType": "CHILD_OF", "spanID": parent }] });
        let trace = json!({ "spans": [
            { "spanID": "0101010101010101", "references": [] },
            kept("0202020202020202", "0101010101010101"),
            kept("0303030303030303", "0202020202020202"),
        ]});
        assert_eq!(missing(&trace, &tree), 1);
    }
}
