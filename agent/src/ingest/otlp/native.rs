//! The spans of a request, read in place by whoever wants to know what components report.
//!
//! In: the body of a [`Payload`](crate::model::Payload) of traces, which was scanned before. Out: its spans one after
//! another, each a handful of borrowed fields; attributes are read only when they are asked for. Nothing is allocated
//! but what the caller keeps, and what a scan would have refused ends the walk.

use std::sync::Arc;

use super::wire::{Field, Reader};
use crate::model::{
    attr::{Attribute, SERVICE_NAME, Said},
    time::Nanos,
    trace::{Span, SpanId, SpanKind, SpanRef, StatusCode, TraceId},
};

/// A span as a component reported it.
#[derive(Clone, Copy, Debug)]
pub struct NativeSpan<'a> {
    pub span: SpanRef<'a>,
    message: &'a [u8],
}

/// Calls `each` for every span of a request whose ids are valid.
pub fn spans<'a>(body: &'a [u8], mut each: impl FnMut(NativeSpan<'a>)) {
    submessages(body, 1, |envelope| {
        // The resource may stand behind the spans, and may be given in parts: the last name counts.
        let mut service = "";
        submessages(envelope, 1, |resource| {
            submessages(resource, 1, |attribute| {
                if let Some(Said::Text(name)) = value_of(SERVICE_NAME, attribute) {
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
        let (mut trace_id, mut span_id, mut parent): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        let (mut name, mut kind, mut start, mut end) = ("", SpanKind::default(), 0, 0);
        let mut status = StatusCode::default();
        let mut fields = Reader::new(message);
        while let Ok(Some(field)) = fields.field() {
            match field.number() {
                1 => trace_id = fields.read_bytes(field).ok()?,
                2 => span_id = fields.read_bytes(field).ok()?,
                4 => parent = fields.read_bytes(field).ok()?,
                5 => name = text(fields.read_bytes(field).ok()?)?,
                6 => kind = span_kind(fields.read_varint(field).ok()?),
                7 => start = fields.read_fixed64(field).ok()?,
                8 => end = fields.read_fixed64(field).ok()?,
                15 => status = status_code(fields.read_bytes(field).ok()?),
                _ => fields.pass(field).ok()?,
            }
        }
        let span = SpanRef {
            service,
            trace_id: TraceId(id(trace_id)?),
            span_id: SpanId(id(span_id)?),
            parent: id(parent).map(SpanId),
            name,
            kind,
            start: Nanos::new(start),
            end: Nanos::new(end.max(start)),
            status,
        };
        Some(Self { span, message })
    }

    /// What an attribute says, if this agent has a use for it: no list, no map and no bytes.
    #[must_use]
    pub fn said(&self, key: &str) -> Option<Said<'a>> {
        let mut found = None;
        submessages(self.message, 9, |attribute| {
            found = value_of(key, attribute).or(found);
        });
        found
    }

    /// The span with those of its attributes that are named, as far as it has them.
    #[must_use]
    pub fn keep(&self, keys: &[Arc<str>]) -> Span {
        let mut attributes: Vec<Attribute> = Vec::new();
        submessages(self.message, 9, |attribute| {
            let (name, any) = pair(attribute);
            let known = keys.iter().find(|key| key.as_bytes() == name);
            let said = known.and_then(|key| Some((Arc::clone(key), any_value(any?)?.into())));
            attributes.extend(said);
        });
        let span = self.span;
        Span {
            service: span.service.into(),
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent: span.parent,
            name: span.name.into(),
            kind: span.kind,
            start: span.start,
            end: span.end,
            error: (span.status == StatusCode::Error).then(|| self.status_message().into()),
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

/// What a `KeyValue` says, if its key is this one.
fn value_of<'a>(key: &str, attribute: &'a [u8]) -> Option<Said<'a>> {
    let (name, any) = pair(attribute);
    if name == key.as_bytes() {
        any_value(any?)
    } else {
        None
    }
}

/// The key of a `KeyValue`, and its value.
fn pair(attribute: &[u8]) -> (&[u8], Option<&[u8]>) {
    const KEY: Field = Field::delimited(1);
    const VALUE: Field = Field::delimited(2);
    let mut fields = Reader::new(attribute);
    // As encoders write it: the one, then the other, and nothing else.
    if fields.take(KEY)
        && let Ok(key) = fields.read_bytes(KEY)
        && fields.take(VALUE)
        && let Ok(value) = fields.read_bytes(VALUE)
        && fields.left() == 0
    {
        return (key, Some(value));
    }
    let (mut key, mut value): (&[u8], _) = (&[], None);
    submessages(attribute, 1, |bytes| key = bytes);
    submessages(attribute, 2, |bytes| value = Some(bytes));
    (key, value)
}

/// `AnyValue`: of several values the last one counts; none if that is a list, a map or bytes.
fn any_value(message: &[u8]) -> Option<Said<'_>> {
    let mut said = None;
    let mut fields = Reader::new(message);
    while let Ok(Some(field)) = fields.field() {
        said = match field.number() {
            1 => Some(Said::Text(text(fields.read_bytes(field).ok()?)?)),
            2 => Some(Said::Flag(fields.read_varint(field).ok()? != 0)),
            3 => Some(Said::Integer(fields.read_varint(field).ok()?.cast_signed())),
            4 => Some(Said::Number(f64::from_bits(fields.read_fixed64(field).ok()?))),
            _ => {
                fields.pass(field).ok()?;
                None
            }
        };
    }
    said
}

/// An unspecified kind may be taken for internal.
fn span_kind(number: u64) -> SpanKind {
    match number {
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Internal,
    }
}

fn status_code(status: &[u8]) -> StatusCode {
    const CODE: u32 = 3;
    let mut fields = Reader::new(status);
    let mut code = StatusCode::Unset;
    while let Ok(Some(field)) = fields.field() {
        if field.number() == CODE {
            code = match fields.read_varint(field) {
                Ok(1) => StatusCode::Ok,
                Ok(2) => StatusCode::Error,
                _ => StatusCode::Unset,
            };
        } else if fields.pass(field).is_err() {
            break;
        }
    }
    code
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
            for (native, (service, span)) in read.iter().zip(&decoded) {
                let read = native.span;
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
                let code = span.status.as_ref().map_or(0, |status| status.code);
                assert_eq!((read.kind as i32 + 1, read.status as i32), (span.kind, code));
                let keys: Vec<Arc<str>> = span.attributes.iter().map(|pair| (*pair.key).into()).collect();
                let kept = native.keep(&keys);
                let plain = span.attributes.iter().filter(|pair| is_plain(pair)).count();
                assert_eq!(kept.attributes.len(), plain, "{}", span.name);
                for (key, value) in &kept.attributes {
                    assert_eq!(native.said(key), Some(value.said()));
                    let Some(text) = value.text() else { continue };
                    texts += 1;
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
                spans(&body[..length], |span| drop(span.keep(&["key".into()])));
            }
        }
    }
}
