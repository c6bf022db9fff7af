//! Spans (`trace.proto`).

use super::{
    super::wire::{Depth, Field, Malformed, Reader},
    Irregular, Irregularities, attributes,
};

const TRACE_ID: Field = Field::delimited(1);
const SPAN_ID: Field = Field::delimited(2);
const PARENT: Field = Field::delimited(4);
const NAME: Field = Field::delimited(5);
const KIND: Field = Field::varint(6);
const START: Field = Field::fixed64(7);
const END: Field = Field::fixed64(8);
const ATTRIBUTE: Field = Field::delimited(9);
const EVENT: Field = Field::delimited(11);
const STATUS: Field = Field::delimited(15);

/// `Span`.
pub(super) fn span(message: &[u8], depth: Depth, irregular: &mut Irregularities) -> Result<(), Malformed> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    let (mut start, mut end) = (0, 0);
    let mut fields = Reader::new(message);
    // Encoders write fields in the order of their numbers. Taken in that order, most of a span needs no jump
    // that a processor could not foresee; the loop below takes the rest, in any order.
    if fields.take(TRACE_ID) {
        trace_id = fields.read_bytes(TRACE_ID)?;
    }
    if fields.take(SPAN_ID) {
        span_id = fields.read_bytes(SPAN_ID)?;
    }
    if fields.take(PARENT) {
        fields.read_bytes(PARENT)?;
    }
    if fields.take(NAME) {
        fields.read_text(NAME)?;
    }
    if fields.take(KIND) {
        fields.read_varint(KIND)?;
    }
    if fields.take(START) {
        start = fields.read_fixed64(START)?;
    }
    if fields.take(END) {
        end = fields.read_fixed64(END)?;
    }
    while fields.take(ATTRIBUTE) {
        attributes::attribute(fields.read_bytes(ATTRIBUTE)?, depth.below()?)?;
    }
    while fields.take(EVENT) {
        event(fields.read_bytes(EVENT)?, depth.below()?)?;
    }
    if fields.take(STATUS) {
        status(fields.read_bytes(STATUS)?, depth.below()?)?;
    }
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

fn is_id<const LENGTH: usize>(id: &[u8]) -> bool {
    <&[u8; LENGTH]>::try_from(id).is_ok_and(|id| *id != [0; LENGTH])
}

/// `Span.Event`.
fn event(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    const TIME: Field = Field::fixed64(1);
    const NAME: Field = Field::delimited(2);
    const ATTRIBUTE: Field = Field::delimited(3);
    let mut fields = Reader::new(message);
    // In the usual order first, as in a span.
    if fields.take(TIME) {
        fields.read_fixed64(TIME)?;
    }
    if fields.take(NAME) {
        fields.read_text(NAME)?;
    }
    while fields.take(ATTRIBUTE) {
        attributes::attribute(fields.read_bytes(ATTRIBUTE)?, depth.below()?)?;
    }
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
