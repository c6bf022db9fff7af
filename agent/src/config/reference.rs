//! The reference of the configuration, made from the types that read it: `deploy/config.md`.
//!
//! What a type says of itself (comments, defaults, choices) is what a reader gets, so neither can be
//! forgotten; the example is one that loads.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::raw;

const OPENING: &str = r"<!-- Written by `cargo xtask gen` from agent/src/config: change it there. -->

# Configuration

`innerspan run --config FILE` reads one YAML file; `innerspan check FILE` checks it, prints every fault at
once as `FILE:LINE: setting: what is wrong and what to do`, and ends with 64 if there is one. A setting that
is not known is a fault, and so is an alias, a tag or a second document.

- **Variables.** In any value `${NAME}` stands for a variable of the environment, `${NAME:-default}` for the
  default where it is unset or empty, `$$` for a `$`. Quote them within `{}`.
- **Durations** are whole numbers with `ms`, `s`, `m` or `h`; **sizes** whole numbers of bytes, or with `KiB`,
  `MiB` or `GiB`.
- **Standard variables.** The file wins. `OTEL_EXPORTER_OTLP_*` (`ENDPOINT`, `PROTOCOL`, `HEADERS`,
  `COMPRESSION`, `TIMEOUT`, `CERTIFICATE`, `CLIENT_CERTIFICATE`, `CLIENT_KEY`, also for one signal as in
  `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) make the endpoints of a file that has none; those for all signals fill
  in what a file's only endpoint leaves out; a file with several endpoints stands alone. Where
  `OTEL_EXPORTER_OTLP_PROTOCOL` is not set either, the protocol is `grpc`. `OTEL_RESOURCE_ATTRIBUTES`,
  `NODE_NAME` and `RUST_LOG` fill in `resource_attributes`, `node_name` and `level`.
- **Secrets.** No value of a setting appears in a fault, and no header in a log.

## Example

Only the endpoint must be said. This one sends traces to one receiver and metrics to another:

```yaml
";

/// A file that loads.
pub(super) const EXAMPLE: &str = "\
identify:
  cluster:
    cluster_name: production
    resource_attributes:
      deployment.environment.name: prod
export:
  endpoints:
    - name: traces
      endpoint: https://tempo.example.com:4317
      signals: [traces, logs]
      headers:
        authorization: Bearer ${TEMPO_TOKEN}
    - name: metrics
      endpoint: http://prometheus.monitoring:9090/api/v1/otlp
      protocol: http
      signals: [metrics]
      queue:
        max_size: 8MiB
        when_full: drop
";

/// The whole reference, in Markdown.
#[must_use]
pub fn reference() -> String {
    let generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let schema = generator.into_root_schema_for::<raw::Config>();
    let mut page = format!("{OPENING}{EXAMPLE}```\n");
    if let Some(root) = schema.as_object() {
        section(&mut page, "", root);
    }
    page
}

/// One table for a section's own settings, then the sections in it.
fn section(page: &mut String, path: &str, schema: &Map<String, Value>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    let mut rows = String::new();
    let mut below = Vec::new();
    for (name, property) in properties {
        let Some(property) = property.as_object() else {
            continue;
        };
        let place = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let items = property.get("items").and_then(Value::as_object);
        if property.contains_key("properties") {
            below.push((place, property));
            continue;
        }
        if let Some(items) = items.filter(|items| items.contains_key("properties")) {
            below.push((format!("{place}[]"), items));
        }
        let default = property.get("default").map_or(String::new(), written);
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            rows,
            "| `{name}` | {} | {default} | {} |",
            kind(property),
            says(property)
        );
    }
    if !rows.is_empty() {
        let _infallible = write!(
            page,
            "\n## `{path}`\n\n{}\n\n| setting | value | default | meaning |\n|---|---|---|---|\n{rows}",
            says(schema)
        );
    }
    for (place, schema) in below {
        section(page, &place, schema);
    }
}

/// A description on one line.
fn says(schema: &Map<String, Value>) -> String {
    let text = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// What may be written there.
fn kind(schema: &Map<String, Value>) -> String {
    let word = |key: &str| schema.get(key).and_then(Value::as_str);
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return choices.iter().map(written).collect::<Vec<_>>().join(", ");
    }
    if let Some(format @ ("duration" | "size")) = word("format") {
        return format.to_owned();
    }
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        let kinds = any.iter().filter_map(Value::as_object).map(kind);
        return kinds.collect::<Vec<_>>().join(" or ");
    }
    // What may be left out without a default has two types, of which one is none.
    let either = schema.get("type").and_then(Value::as_array);
    let some = either.and_then(|types| {
        types
            .iter()
            .filter_map(Value::as_str)
            .find(|word| *word != "null")
    });
    match word("type").or(some) {
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("integer") => "whole number".to_owned(),
        Some("null") => "`null`".to_owned(),
        Some("object") => "section of text".to_owned(),
        Some("array") => match schema.get("items").and_then(Value::as_object) {
            Some(items) if items.contains_key("properties") => "list of sections".to_owned(),
            Some(items) => format!("list of {}", kind(items)),
            None => "list".to_owned(),
        },
        _ => String::new(),
    }
}

/// A value as YAML has it; what is empty is not shown.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            format!("`[{}]`", items.join(", "))
        }
        Value::Object(_) | Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, check_text};

    #[test]
    fn the_example_loads() {
        let environment: Environment = [("TEMPO_TOKEN", "t")].into_iter().collect();
        let mut faults = Vec::new();
        let config = check_text(Some(EXAMPLE), &environment, &mut faults);
        assert_eq!(faults, []);
        assert_eq!(config.unwrap().export.endpoints.len(), 2);
    }

    #[test]
    fn every_setting_has_its_kind_and_its_meaning() {
        let page = reference();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.split(" | ").collect();
            assert!(!cells[1].is_empty() && cells[3].len() > 4, "{line}");
        }
        for setting in [
            "| `when_full` | `refuse`, `drop` | `refuse` |",
            "| `max_age` | duration | `200ms` |",
        ] {
            assert!(page.contains(setting), "{setting} in:\n{page}");
        }
    }
}
