//! Spans from OTLP/JSON, as the agent answers with it and as any tool keeps it.

use std::{str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::model::{
    attr::{self, Attribute, Value},
    time::Nanos,
    trace::{self, SpanId, SpanKind, TraceId},
};

/// Why a text holds no spans.
#[derive(Debug, thiserror::Error)]
#[error("this is no OTLP/JSON")]
pub struct Fault(#[from] serde_json::Error);

/// All spans of a request, in its order.
///
/// # Errors
/// When it is no OTLP/JSON of spans, or an id in it is none.
pub fn read(json: &[u8]) -> Result<Vec<trace::Span>, Fault> {
    let request: Request = serde_json::from_slice(json)?;
    let mut spans = Vec::new();
    for resource_spans in request.resource_spans {
        let attributes = attributes(resource_spans.resource.attributes);
        let named = attributes.iter().find(|(key, _)| &**key == attr::SERVICE_NAME);
        let service: Arc<str> = named
            .and_then(|(_, value)| value.text())
            .unwrap_or_default()
            .into();
        let of_scopes = resource_spans.scope_spans.into_iter();
        spans.extend(
            of_scopes
                .flat_map(|scope| scope.spans)
                .map(|span| span.of(&service)),
        );
    }
    Ok(spans)
}

fn attributes(pairs: Vec<Pair>) -> Vec<Attribute> {
    let kept = pairs.into_iter().filter_map(|pair| {
        let AnyValue {
            text,
            integer,
            number,
            flag,
        } = pair.value;
        let value = text
            .map(|text| Value::Text(text.into()))
            .or(integer.map(|Number(integer)| Value::Integer(integer)))
            .or(number.map(|Number(number)| Value::Number(number)))
            .or(flag.map(Value::Flag));
        Some((pair.key.into(), value?))
    });
    kept.collect()
}

// What is read of a request. Unknown fields are passed over, as its specification asks for.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    attributes: Vec<Pair>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScopeSpans {
    spans: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    trace_id: Bytes<16>,
    #[serde(rename = "spanId")]
    id: Bytes<8>,
    #[serde(default)]
    parent_span_id: Parent,
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: u8,
    start_time_unix_nano: Number<u64>,
    end_time_unix_nano: Number<u64>,
    #[serde(default)]
    attributes: Vec<Pair>,
    #[serde(default)]
    links: Vec<Link>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    trace_id: Bytes<16>,
    span_id: Bytes<8>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    code: u8,
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    #[serde(default)]
    value: AnyValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnyValue {
    #[serde(rename = "stringValue")]
    text: Option<String>,
    #[serde(rename = "intValue")]
    integer: Option<Number<i64>>,
    #[serde(rename = "doubleValue")]
    number: Option<Number<f64>>,
    #[serde(rename = "boolValue")]
    flag: Option<bool>,
}

impl Span {
    fn of(self, service: &Arc<str>) -> trace::Span {
        /// `STATUS_CODE_ERROR`
        const ERROR: u8 = 2;
        let error = self.status.filter(|status| status.code == ERROR);
        trace::Span {
            service: Arc::clone(service),
            trace_id: TraceId(self.trace_id.0),
            span_id: SpanId(self.id.0),
            parent: self.parent_span_id.0.map(SpanId),
            name: self.name.into(),
            kind: match self.kind {
                2 => SpanKind::Server,
                3 => SpanKind::Client,
                4 => SpanKind::Producer,
                5 => SpanKind::Consumer,
                _ => SpanKind::Internal,
            },
            start: Nanos::new(self.start_time_unix_nano.0),
            end: Nanos::new(self.end_time_unix_nano.0),
            error: error.map(|status| status.message.into()),
            attributes: attributes(self.attributes),
            links: self.links.into_iter().map(Link::of).collect(),
        }
    }
}

impl Link {
    fn of(self) -> trace::Link {
        trace::Link {
            trace_id: TraceId(self.trace_id.0),
            span_id: SpanId(self.span_id.0),
        }
    }
}

/// An id, in hex digits.
struct Bytes<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let id = bytes(&text).map(Self);
        id.ok_or_else(|| D::Error::custom(format!("expected an id of {} hex digits", 2 * N)))
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Empty for the first span of a trace.
#[derive(Default)]
struct Parent(Option<[u8; 8]>);

impl<'de> Deserialize<'de> for Parent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let id = bytes(&text).map(Some).map(Self);
        id.ok_or_else(|| D::Error::custom("expected an id of 16 hex digits, or none"))
    }
}

/// A number of 64 bits is a text in JSON, and may be a number.
pub(super) struct Number<T>(pub(super) T);

impl<'de, T: Deserialize<'de> + FromStr> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form<T> {
            Text(String),
            Number(T),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(Self(number)),
            Form::Text(text) => text
                .parse()
                .map(Self)
                .map_err(|_invalid| D::Error::custom(format!("expected a number, found `{text}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(span: &str, expected: Result<&str, &str>) {
        let ids = r#""traceId":"0F8fad5bd9cb469fa16570867728950e","spanId":"0102030405060708""#;
        let times = r#""startTimeUnixNano":"1","endTimeUnixNano":2"#;
        let json = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
            span.replace("IDS", ids).replace("TIMES", times)
        );
        let said = |span: &trace::Span| {
            format!(
                "{:?} {:?} {:?} {:?}..{:?} {:?} {:?}",
                span.trace_id, span.span_id, span.parent, span.start, span.end, span.error, span.attributes
            )
        };
        let read = read(json.as_bytes());
        match expected {
            Ok(expected) => assert_eq!(said(&read.unwrap()[0]), expected),
            Err(expected) => {
                let said = read.unwrap_err().0.to_string();
                assert!(said.starts_with(expected), "{said}");
            }
        }
    }

    #[test]
    fn fields_that_are_absent_null_or_unknown_do_no_harm() {
        let plain = "0f8fad5bd9cb469fa16570867728950e 0102030405060708 None 1ns..2ns None []";
        check("{IDS,TIMES}", Ok(plain));
        check(
            r#"{IDS,TIMES,"parentSpanId":"","status":null,"flags":1,"events":[{}]}"#,
            Ok(plain),
        );
        check(r#"{IDS,TIMES,"status":{"code":1}}"#, Ok(plain));
    }

    #[test]
    fn numbers_are_texts_or_numbers() {
        check(
            r#"{IDS,TIMES,"status":{"code":2,"message":"no"},"attributes":[
                {"key":"a","value":{"intValue":"-9223372036854775808"}},{"key":"b","value":{"intValue":1}},
                {"key":"c","value":{"doubleValue":"Infinity"}},{"key":"d","value":{"boolValue":false}},
                {"key":"e","value":{"arrayValue":{}}},{"key":"f"}]}"#,
            Ok(concat!(
                "0f8fad5bd9cb469fa16570867728950e 0102030405060708 None 1ns..2ns Some(\"no\") ",
                "[(\"a\", Integer(-9223372036854775808)), (\"b\", Integer(1)), (\"c\", Number(inf)), (\"d\", Flag(false))]"
            )),
        );
    }

    #[test]
    fn what_is_no_span_is_refused() {
        check("{TIMES}", Err("missing field `traceId`"));
        check(
            r#"{IDS,TIMES,"parentSpanId":"0102"}"#,
            Err("expected an id of 16"),
        );
        check(
            r#"{TIMES,"traceId":"é","spanId":""}"#,
            Err("expected an id of 32"),
        );
        check(
            r#"{IDS,"startTimeUnixNano":"-1","endTimeUnixNano":"1"}"#,
            Err("expected a number, found `-1`"),
        );
        assert!(read(b"{}").is_err() && read(b"").is_err());
    }
}
