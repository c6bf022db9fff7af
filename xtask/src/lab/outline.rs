//! The outline of a pod's trace: what was done and what failed, without times and without how often.
//!
//! In: a trace as the backend has it. Out: its phases as an indented list that is the same for every run of the same
//! case. What depends on the moment is left out: how often the scheduler's queue or a write of the status was seen.

use std::collections::BTreeMap;

use serde_json::Value;

use super::jaeger::{parent, tag};

/// What the agent's phases have, and calls that are shown beside them have not.
const PHASE: &str = "innerspan.phase";
/// Phases that come and go with the moment, where they did not fail: an image may be there already.
const FLEETING: [&str; 3] = ["pull", "queue", "status"];

/// Parts by their name, and whether they failed.
#[derive(Debug, Default)]
struct Outline {
    parts: BTreeMap<String, Outline>,
}

/// The root's line names why the pod did not start, if it did not, and what held it up.
pub(crate) fn of(trace: &Value) -> Option<String> {
    let spans = trace.get("spans")?.as_array()?;
    let root = spans.iter().find(|span| parent(span).is_none())?;
    let mut outline = Outline::default();
    gather(spans, root, &mut outline);
    let mut lines = vec![name(root)?.to_owned()];
    if let Some(error) = tag(root, "otel.status_description").and_then(Value::as_str) {
        lines.push(format!("! {}", error.split(':').next().unwrap_or(error)));
    }
    if let Some(reasons) = tag(root, "innerspan.held_up_by").and_then(Value::as_str) {
        lines.push(format!("held up by {reasons}"));
    }
    write(&outline, 1, &mut lines);
    Some(lines.join("\n") + "\n")
}

fn gather(spans: &[Value], whole: &Value, outline: &mut Outline) {
    let id = whole.get("spanID").and_then(Value::as_str);
    let parts = spans.iter().filter(|span| parent(span) == id && id.is_some());
    for part in parts.filter(|part| tag(part, PHASE).is_some()) {
        let failed = tag(part, "error") == Some(&Value::Bool(true));
        let Some(name) = name(part).filter(|name| failed || !FLEETING.contains(name)) else {
            continue;
        };
        let name = if failed {
            format!("{name} !")
        } else {
            name.to_owned()
        };
        gather(spans, part, outline.parts.entry(name).or_default());
    }
}

fn write(outline: &Outline, depth: usize, lines: &mut Vec<String>) {
    for (name, part) in &outline.parts {
        lines.push(format!("{}{name}", "  ".repeat(depth)));
        write(part, depth + 1, lines);
    }
}

fn name(span: &Value) -> Option<&str> {
    span.get("operationName")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;

    #[test]
    fn parts_of_one_kind_are_one_line_and_failures_are_marked() {
        let span = |id: &str, name: &str, parent: Option<&str>, failed: bool| {
            let references: Vec<_> = parent
                .map(|parent| json!({ "refType": "CHILD_OF", "spanID": parent }))
                .into_iter()
                .collect();
            json!({ "spanID": id, "operationName": name, "references": references,
                    "tags": [{ "key": "error", "value": failed }, { "key": "innerspan.phase", "value": true }] })
        };
        let mut root = span("r", "pod start", None, true);
        root["tags"] = json!([
            { "key": "otel.status_description", "value": "ImagePullBackOff: no such image" },
            { "key": "innerspan.held_up_by", "value": "ErrImagePull, ImagePullBackOff" },
        ]);
        let mut call = span("c", "filter", Some("r"), false);
        call["tags"] = json!([]);
        let trace = json!({ "spans": [
            root, call,
            span("1", "sync", Some("r"), true), span("2", "pull", Some("1"), true),
            span("3", "sync", Some("r"), true), span("4", "volumes", Some("3"), false),
            span("5", "status", Some("r"), false), span("6", "create", Some("r"), false),
        ]});
        let expected = "\
pod start
! ImagePullBackOff
held up by ErrImagePull, ImagePullBackOff
  create
  sync !
    pull !
    volumes
";
        assert_eq!(of(&trace).unwrap(), expected);
    }
}
