//! The variables that OpenTelemetry and Rust programs share, where the file leaves something out.
//!
//! In: the document and the environment. Out: the document with the variables' values put where it has
//! none, each under the name of its variable, so that a fault in one is reported there. The file wins:
//! `OTEL_EXPORTER_OTLP_*` makes the endpoints where the file has none, fills in what the file leaves out of
//! its only one, and is not looked at where the file has several.

use percent_encoding::percent_decode_str;

use super::{
    document::{Node, Value},
    environment::Environment,
    fault::{Fault, Origin},
};
use crate::model::Signal;

/// How the value of a variable is written in a document.
type Write = fn(&str) -> Result<Value, &'static str>;

/// What follows `OTEL_EXPORTER_OTLP_` or `OTEL_EXPORTER_OTLP_TRACES_`, where it belongs in an endpoint, and
/// how its value is written there.
const SETTINGS: [(&str, &str, Write); 8] = [
    ("ENDPOINT", "endpoint", as_it_is),
    ("PROTOCOL", "protocol", protocol),
    ("HEADERS", "headers", pairs),
    ("COMPRESSION", "compression", as_it_is),
    ("TIMEOUT", "timeout", millis),
    ("CERTIFICATE", "tls.ca_file", as_it_is),
    ("CLIENT_CERTIFICATE", "tls.cert_file", as_it_is),
    ("CLIENT_KEY", "tls.key_file", as_it_is),
];

/// Puts in what the standard variables say and the document does not.
pub(super) fn fill(root: &mut Node, environment: &Environment, faults: &mut Vec<Fault>) {
    let mut reader = Reader { environment, faults };
    reader.single(root, "telemetry.log", "level", "RUST_LOG");
    reader.single(root, "identify.cluster", "node_name", "NODE_NAME");
    reader.resource(root);
    reader.endpoints(root);
}

struct Reader<'a> {
    environment: &'a Environment,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn single(&mut self, root: &mut Node, section: &str, key: &str, variable: &str) {
        if let Some(node) = self.node(variable, as_it_is)
            && let Some(section) = descend(root, section)
        {
            section.fill(key, node);
        }
    }

    fn resource(&mut self, root: &mut Node) {
        let attributes = self.node("OTEL_RESOURCE_ATTRIBUTES", pairs);
        let Some(Node {
            value: Value::Map(attributes),
            ..
        }) = attributes
        else {
            return;
        };
        let Some(section) = descend(root, "identify.cluster.resource_attributes") else {
            return;
        };
        // This process is not the service whose spans pass.
        for (key, value) in attributes.into_iter().filter(|(key, _)| key != "service.name") {
            section.fill(&key, value);
        }
    }

    fn endpoints(&mut self, root: &mut Node) {
        let Some(list) = descend(root, "export").and_then(|export| export.section("endpoints")) else {
            return;
        };
        match &mut list.value {
            Value::List(items) if !items.is_empty() => {
                if let [only] = items.as_mut_slice() {
                    self.endpoint(only, "OTEL_EXPORTER_OTLP_");
                }
            }
            Value::List(_) | Value::Null => {
                let made = self.made();
                if !made.is_empty() {
                    list.value = Value::List(made);
                }
            }
            Value::Text(_) | Value::Map(_) | Value::Faulty => {}
        }
    }

    /// The endpoints that the variables alone describe: one for each signal with variables of its own, and
    /// one for the others.
    fn made(&mut self) -> Vec<Node> {
        let (mut made, mut others) = (Vec::new(), Vec::new());
        for signal in Signal::ALL {
            let prefix = format!("OTEL_EXPORTER_OTLP_{}_", signal.as_str().to_uppercase());
            let own = Node::new(Origin::Variable(format!("{prefix}*")), Value::Map(Vec::new()));
            let mut endpoint = own.clone();
            self.endpoint(&mut endpoint, &prefix);
            if matches!(&endpoint.value, Value::Map(entries) if entries.is_empty()) {
                others.push(text(&own.origin, signal.as_str()));
                continue;
            }
            let at = endpoint.origin.clone();
            // A signal's own URL is the whole of it, whatever its path.
            let append = if endpoint.has("endpoint") { "false" } else { "true" };
            endpoint.fill("append_signal_path", text(&at, append));
            self.endpoint(&mut endpoint, "OTEL_EXPORTER_OTLP_");
            endpoint.fill("name", text(&at, signal.as_str()));
            endpoint.fill(
                "signals",
                Node::new(at.clone(), Value::List(vec![text(&at, signal.as_str())])),
            );
            made.push(endpoint);
        }
        let origin = Origin::Variable("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned());
        let mut rest = Node::new(origin.clone(), Value::Map(Vec::new()));
        self.endpoint(&mut rest, "OTEL_EXPORTER_OTLP_");
        if rest.has("endpoint") && !others.is_empty() {
            rest.fill("signals", Node::new(origin, Value::List(others)));
            made.insert(0, rest);
        }
        made
    }

    /// Fills in one endpoint from the variables of a prefix.
    fn endpoint(&mut self, endpoint: &mut Node, prefix: &str) {
        // The headers of a file are the headers: a second source might send a secret where it does not belong.
        let has_headers = endpoint.has("headers") || endpoint.has("headers_file");
        for (suffix, place, write) in SETTINGS {
            if suffix == "HEADERS" && has_headers {
                continue;
            }
            let Some(node) = self.node(&format!("{prefix}{suffix}"), write) else {
                continue;
            };
            let (section, key) = place.rsplit_once('.').unwrap_or(("", place));
            if let Some(section) = descend(endpoint, section) {
                section.fill(key, node);
            }
        }
    }

    /// The value of a variable as a node of its own; none if it is unset or wrong.
    fn node(&mut self, variable: &str, write: Write) -> Option<Node> {
        let value = self.environment.read_filled(variable)?;
        let origin = Origin::Variable(variable.to_owned());
        match write(value) {
            Ok(Value::Map(entries)) => {
                let entries = entries.into_iter().map(|(key, node)| {
                    (
                        key,
                        Node {
                            origin: origin.clone(),
                            ..node
                        },
                    )
                });
                Some(Node::new(origin.clone(), Value::Map(entries.collect())))
            }
            Ok(value) => Some(Node::new(origin, value)),
            Err(reason) => {
                self.faults.push(Fault {
                    origin,
                    path: String::new(),
                    reason: reason.to_owned(),
                });
                None
            }
        }
    }
}

fn descend<'a>(node: &'a mut Node, path: &str) -> Option<&'a mut Node> {
    path.split('.')
        .filter(|key| !key.is_empty())
        .try_fold(node, Node::section)
}

fn text(origin: &Origin, text: &str) -> Node {
    Node::new(origin.clone(), Value::Text(text.to_owned()))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of several ways to write a value, some of which can fail"
)]
fn as_it_is(value: &str) -> Result<Value, &'static str> {
    Ok(Value::Text(value.to_owned()))
}

fn protocol(value: &str) -> Result<Value, &'static str> {
    match value {
        "grpc" => as_it_is("grpc"),
        "http/protobuf" => as_it_is("http"),
        "http/json" => Err("http/json is not sent, it is larger and slower: use http/protobuf or grpc"),
        _ => Err("expected grpc or http/protobuf"),
    }
}

fn millis(value: &str) -> Result<Value, &'static str> {
    let millis: u64 = value
        .parse()
        .map_err(|_invalid| "expected a whole number of milliseconds")?;
    Ok(Value::Text(format!("{millis}ms")))
}

/// `key=value` pairs with commas between; values are percent-encoded.
fn pairs(value: &str) -> Result<Value, &'static str> {
    const EXPECTED: &str = "expected key=value pairs with commas between and percent-encoded values";
    let mut entries: Vec<(String, Node)> = Vec::new();
    for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(EXPECTED)?;
        let value = percent_decode_str(value.trim())
            .decode_utf8()
            .map_err(|_invalid| EXPECTED)?;
        if key.trim().is_empty() {
            return Err(EXPECTED);
        }
        entries.push((key.trim().to_owned(), text(&Origin::Nowhere, &value)));
    }
    Ok(Value::Map(entries))
}
