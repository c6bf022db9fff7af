//! Spans (`trace.proto`).

use super::{
    super::wire::{Depth, Malformed, Reader},
    Irregular, Irregularities, attributes,
};

/// `Span`.
pub(super) fn span(message: &[u8], depth: Depth, irregular: &mut Irregularities) -> Result<(), Malformed> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    let (mut start, mut end) = (0, 0);
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => trace_id = fields.read_bytes(field)?,
            2 => span_id = fields.read_bytes(field)?,
            3 | 5 => drop(fields.read_text(field)?),
            4 => drop(fields.read_bytes(field)?),
            6 | 10 | 12 | 14 => drop(fields.read_varint(field)?),
            7 => start = fields.read_fixed64(field)?,
            8 => end = fields.read_fixed64(field)?,
            9 => attributes::attribute(fields.read_bytes(field)?, depth.below()?)?,
            11 => event(fields.read_bytes(field)?, depth.below()?)?,
            13 => link(fields.read_bytes(field)?, depth.below()?)?,
            15 => status(fields.read_bytes(field)?, depth.below()?)?,
            16 => drop(fields.read_fixed32(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    irregular.note(Irregular::TraceId, !is_id::<16>(trace_id));
    irregular.note(Irregular::SpanId, !is_id::<8>(span_id));
    irregular.note(Irregular::Times, end < start);
    Ok(())
}

pub(super) fn is_id<const LENGTH: usize>(id: &[u8]) -> bool {
    <&[u8; LENGTH]>::try_from(id).is_ok_and(|id| *id != [0; LENGTH])
}

/// `Span.Event`.
fn event(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => drop(fields.read_fixed64(field)?),
            2 => drop(fields.read_text(field)?),
            3 => attributes::attribute(fields.read_bytes(field)?, depth.below()?)?,
            4 => drop(fields.read_varint(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `Span.Link`.
fn link(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 | 2 => drop(fields.read_bytes(field)?),
            3 => drop(fields.read_text(field)?),
            4 => attributes::attribute(fields.read_bytes(field)?, depth.below()?)?,
            5 => drop(fields.read_varint(field)?),
            6 => drop(fields.read_fixed32(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `Status`.
fn status(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            2 => drop(fields.read_text(field)?),
            3 => drop(fields.read_varint(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}
