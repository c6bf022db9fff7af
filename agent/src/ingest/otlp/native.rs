//! The spans of a request, read in place by whoever wants to know what components report.
//!
//! In: the body of a [`Payload`](crate::model::Payload) of traces, which was scanned before. Out: its spans one after
//! another, each a handful of borrowed fields; attributes are read only when they are asked for. Nothing is allocated
//! but what the caller keeps, and what a scan would have refused ends the walk.

use super::wire::{Field, Reader};
use crate::model::{
    attr::{Attribute, SERVICE_NAME, Value},
    time::{Nanos, Wall},
    trace::{Span, SpanId, SpanKind, TraceId},
};

/// A span as a component reported it.
#[derive(Clone, Copy, Debug)]
pub struct NativeSpan<'a> {
    pub service: &'a str,
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent: Option<SpanId>,
    pub name: &'a str,
    pub kind: SpanKind,
    pub start: Nanos<Wall>,
    pub end: Nanos<Wall>,
    pub failed: bool,
    message: &'a [u8],
}

/// Calls `each` for every span of a request whose ids are valid.
pub fn spans<'a>(body: &'a [u8], mut each: impl FnMut(NativeSpan<'a>)) {
    submessages(body, 1, |envelope| {
        // The resource may stand behind the spans, and may be given in parts: the last name counts.
        let mut service = "";
        submessages(envelope, 1, |resource| {
            submessages(resource, 1, |attribute| {
                if let (SERVICE_NAME, Said::Text(name)) = key_value(attribute) {
                    service = name;
                }
            });
        });
        submessages(envelope, 2, |scope| {
            submessages(scope, 2, |span| each_span(service, span, &mut each));
        });
    });
}

fn each_span<'a>(service: &'a str, message: &'a [u8], each: &mut impl FnMut(NativeSpan<'a>)) {
    if let Some(span) = NativeSpan::read(service, message) {
        each(span);
    }
}

impl<'a> NativeSpan<'a> {
    /// None if its ids are not valid.
    fn read(service: &'a str, message: &'a [u8]) -> Option<Self> {
        const KIND_SERVER: u64 = 2;
        const KIND_CLIENT: u64 = 3;
        let (mut trace_id, mut span_id, mut parent): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        let (mut name, mut kind, mut start, mut end, mut failed) = ("", 0, 0, 0, false);
        let mut fields = Reader::new(message);
        while let Ok(Some(field)) = fields.field() {
            match field.number() {
                1 => trace_id = fields.read_bytes(field).ok()?,
                2 => span_id = fields.read_bytes(field).ok()?,
                4 => parent = fields.read_bytes(field).ok()?,
                5 => name = text(fields.read_bytes(field).ok()?)?,
                6 => kind = fields.read_varint(field).ok()?,
                7 => start = fields.read_fixed64(field).ok()?,
                8 => end = fields.read_fixed64(field).ok()?,
                15 => failed = is_error(fields.read_bytes(field).ok()?),
                _ => fields.pass(field).ok()?,
            }
        }
        Some(Self {
            service,
            trace_id: TraceId(id(trace_id)?),
            span_id: SpanId(id(span_id)?),
            parent: id(parent).map(SpanId),
            name,
            kind: match kind {
                KIND_SERVER => SpanKind::Server,
                KIND_CLIENT => SpanKind::Client,
                _ => SpanKind::Internal,
            },
            start: Nanos::new(start),
            end: Nanos::new(end.max(start)),
            failed,
            message,
        })
    }

    /// The value of an attribute, if it is a text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        let mut found = None;
        submessages(self.message, 9, |attribute| {
            if let (known, Said::Text(text)) = key_value(attribute)
                && known == key
            {
                found = Some(text);
            }
        });
        found
    }

    /// The span with those of its attributes that are named, as far as it has them.
    #[must_use]
    pub fn keep(&self, keys: &[&str]) -> Span {
        let mut attributes: Vec<Attribute> = Vec::new();
        submessages(self.message, 9, |attribute| {
            let (key, said) = key_value(attribute);
            if keys.contains(&key) {
                attributes.extend(Option::from(said).map(|value| (key.into(), value)));
            }
        });
        Span {
            service: self.service.into(),
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent: self.parent,
            name: self.name.into(),
            kind: self.kind,
            start: self.start,
            end: self.end,
            error: self.failed.then(|| self.status_message().into()),
            attributes,
            links: Vec::new(),
        }
    }

    fn status_message(&self) -> &'a str {
        let mut message = "";
        submessages(self.message, 15, |status| {
            submessages(status, 2, |bytes| message = text(bytes).unwrap_or(message));
        });
        message
    }
}

/// Calls `each` for every field of this number that is a message, text or bytes.
fn submessages<'a>(message: &'a [u8], number: u32, mut each: impl FnMut(&'a [u8])) {
    let mut fields = Reader::new(message);
    while let Ok(Some(field)) = fields.field() {
        if field.number() != number {
            if fields.pass(field).is_err() {
                return;
            }
            continue;
        }
        match fields.read_bytes(field) {
            Ok(bytes) => each(bytes),
            Err(_) => return,
        }
    }
}

/// What an attribute says, where it lies.
#[derive(Clone, Copy, Debug)]
enum Said<'a> {
    Text(&'a str),
    Flag(bool),
    Integer(i64),
    Number(f64),
    /// What this agent has no use for: a list, a map or bytes.
    Other,
}

impl From<Said<'_>> for Option<Value> {
    fn from(said: Said<'_>) -> Self {
        Some(match said {
            Said::Text(text) => Value::from(text),
            Said::Flag(flag) => Value::Flag(flag),
            Said::Integer(integer) => Value::Integer(integer),
            Said::Number(number) => Value::Number(number),
            Said::Other => return None,
        })
    }
}

/// A `KeyValue`.
fn key_value(message: &[u8]) -> (&str, Said<'_>) {
    let (mut key, mut said) = ("", Said::Other);
    submessages(message, 1, |bytes| key = text(bytes).unwrap_or(key));
    submessages(message, 2, |any| said = any_value(any).unwrap_or(said));
    (key, said)
}

/// `AnyValue`: of several values the last one counts.
fn any_value(message: &[u8]) -> Option<Said<'_>> {
    let mut said = None;
    let mut fields = Reader::new(message);
    while let Ok(Some(field)) = fields.field() {
        said = Some(match field.number() {
            1 => Said::Text(text(fields.read_bytes(field).ok()?)?),
            2 => Said::Flag(fields.read_varint(field).ok()? != 0),
            3 => Said::Integer(fields.read_varint(field).ok()?.cast_signed()),
            4 => Said::Number(f64::from_bits(fields.read_fixed64(field).ok()?)),
            _ => {
                fields.pass(field).ok()?;
                Said::Other
            }
        });
    }
    said
}

fn is_error(status: &[u8]) -> bool {
    const ERROR: u64 = 2;
    const CODE: Field = Field::varint(3);
    let mut fields = Reader::new(status);
    let mut code = 0;
    while let Ok(Some(field)) = fields.field() {
        if field.number() == CODE.number() {
            code = fields.read_varint(field).unwrap_or(0);
        } else if fields.pass(field).is_err() {
            break;
        }
    }
    code == ERROR
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

/// None if it is of another length, or all zero.
fn id<const LENGTH: usize>(bytes: &[u8]) -> Option<[u8; LENGTH]> {
    let id = <[u8; LENGTH]>::try_from(bytes).ok()?;
    (id != [0; LENGTH]).then_some(id)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{KeyValue, any_value},
        trace::v1 as otlp,
    };
    use prost::Message as _;

    use super::{
        super::tests::{RECORDED, recorded},
        *,
    };

    /// What prost reads of the same bytes.
    fn decoded(body: &[u8]) -> Vec<(String, otlp::Span)> {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let mut spans = Vec::new();
        for one in request.resource_spans {
            let resource = one.resource.unwrap();
            let service = resource
                .attributes
                .iter()
                .find(|pair| pair.key == SERVICE_NAME)
                .unwrap();
            let service = format!("{:?}", service.value);
            for span in one.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push((service.clone(), span));
            }
        }
        spans
    }

    /// Lists are of no use to this agent.
    fn is_plain(pair: &KeyValue) -> bool {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
        !matches!(value, None | Some(any_value::Value::ArrayValue(_)))
    }

    #[test]
    fn what_components_sent_is_read_as_prost_reads_it() {
        let mut texts = 0;
        for body in RECORDED.into_iter().flat_map(recorded) {
            let mut read = Vec::new();
            spans(&body, |span| read.push(span));
            let decoded = decoded(&body);
            assert_eq!(read.len(), decoded.len());
            for (read, (service, span)) in read.iter().zip(&decoded) {
                assert!(service.contains(&format!("{:?}", read.service)), "{service}");
                assert_eq!(
                    (read.name, &read.trace_id.0[..]),
                    (span.name.as_str(), &*span.trace_id)
                );
                assert_eq!(read.span_id.0[..], *span.span_id);
                assert_eq!(
                    read.parent.map(|id| id.0.to_vec()).unwrap_or_default(),
                    span.parent_span_id
                );
                assert_eq!(read.start.count(), span.start_time_unix_nano);
                assert_eq!(read.end.count(), span.end_time_unix_nano);
                assert_eq!(
                    read.failed,
                    span.status.as_ref().is_some_and(|status| status.code == 2)
                );
                let keys: Vec<&str> = span.attributes.iter().map(|pair| pair.key.as_str()).collect();
                let kept = read.keep(&keys);
                let plain = span.attributes.iter().filter(|pair| is_plain(pair)).count();
                assert_eq!(kept.attributes.len(), plain, "{}", span.name);
                for (key, value) in &kept.attributes {
                    let Some(text) = value.text() else { continue };
                    texts += 1;
                    assert_eq!(read.text(key), Some(text));
                    let pair = span.attributes.iter().rfind(|pair| *pair.key == **key).unwrap();
                    assert!(
                        format!("{:?}", pair.value).contains(&format!("{text:?}")),
                        "{pair:?}"
                    );
                }
            }
        }
        assert!(texts > 1000, "{texts}");
    }

    #[test]
    fn damaged_bytes_end_the_walk() {
        for body in RECORDED.into_iter().flat_map(recorded).take(4) {
            for length in (0..body.len()).step_by(97) {
                spans(&body[..length], |span| drop(span.keep(&["key"])));
            }
        }
    }
}
