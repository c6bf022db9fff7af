//! What this agent makes itself, as OTLP; what components send passes as bytes.
//!
//! In: model types, and this node's attributes. Out: valid requests. It knows of no network.

mod metrics;
mod spans;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
};

pub use self::{
    metrics::metrics,
    spans::{json, spans},
};
use crate::model::{
    ResourceAttributes,
    attr::{self, Said},
};

/// The instrumentation scope of everything that this agent saw itself.
fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "innerspan".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The service's own name wins over one that the configuration gives to all resources.
fn resource(service: &str, node: &ResourceAttributes) -> Resource {
    let service = key_value(attr::SERVICE_NAME, Said::Text(service));
    let node = node.iter().filter(|(key, _)| *key != attr::SERVICE_NAME);
    Resource {
        attributes: std::iter::once(service)
            .chain(node.map(|(key, value)| key_value(key, Said::Text(value))))
            .collect(),
        ..Resource::default()
    }
}

fn key_value(key: &str, said: Said<'_>) -> KeyValue {
    let value = match said {
        Said::Text(text) => any_value::Value::StringValue(text.to_owned()),
        Said::Integer(integer) => any_value::Value::IntValue(integer),
        Said::Number(number) => any_value::Value::DoubleValue(number),
        Said::Flag(flag) => any_value::Value::BoolValue(flag),
    };
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
