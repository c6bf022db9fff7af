//! Just enough protobuf to cut recorded requests and to count spans.
//!
//! In: encoded messages. Out: their fields, as slices of the same bytes, and new messages
//! built from such slices. Nothing is decoded further, so a recorded span stays as it was
//! sent, and counting costs the sink next to nothing.

use anyhow::Context as _;

/// `ExportTraceServiceRequest.resource_spans`.
pub(super) const RESOURCE_SPANS: u32 = 1;
/// `ResourceSpans.scope_spans`.
pub(super) const SCOPE_SPANS: u32 = 2;
/// `ScopeSpans.spans`.
pub(super) const SPANS: u32 = 2;

// Wire types, the low three bits of a tag.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    /// With its tag, as it is copied into another message.
    pub(super) whole: &'a [u8],
    /// The value alone, still encoded.
    pub(super) value: &'a [u8],
}

/// The fields of a message, in their order; a malformed one ends with an error.
pub(super) fn fields(mut message: &[u8]) -> impl Iterator<Item = anyhow::Result<Field<'_>>> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let field = field(&mut message).context("malformed protobuf");
        if field.is_err() {
            message = &[];
        }
        Some(field)
    })
}

/// How many fields lie at the end of a path of field numbers.
pub(super) fn count(message: &[u8], path: &[u32]) -> anyhow::Result<u64> {
    let Some((&number, rest)) = path.split_first() else {
        return Ok(1);
    };
    let mut sum = 0;
    for field in fields(message) {
        let field = field?;
        if field.number == number {
            sum += count(field.value, rest)?;
        }
    }
    Ok(sum)
}

/// Appends a length-delimited field.
pub(super) fn put(message: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_varint(message, u64::from(number) << 3 | LENGTH_DELIMITED);
    put_varint(message, value.len() as u64);
    message.extend_from_slice(value);
}

/// Takes one message off a stream of messages that each carry their length in front.
pub(super) fn delimited<'a>(stream: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = varint(stream)?;
    stream.split_off(..usize::try_from(length).ok()?)
}

fn field<'a>(message: &mut &'a [u8]) -> Option<Field<'a>> {
    let start = *message;
    let tag = varint(message)?;
    let value = match tag & 7 {
        VARINT => {
            let value = *message;
            varint(message)?;
            value.get(..value.len() - message.len())?
        }
        FIXED64 => message.split_off(..8)?,
        LENGTH_DELIMITED => delimited(message)?,
        FIXED32 => message.split_off(..4)?,
        _ => return None,
    };
    let whole = start.get(..start.len() - message.len())?;
    Some(Field {
        number: u32::try_from(tag >> 3).ok()?,
        whole,
        value,
    })
}

pub(super) fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *message.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    message.push(value.to_le_bytes()[0]);
}
