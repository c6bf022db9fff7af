//! Attributes, and what carries little else: resources and scopes (`common.proto`, `resource.proto`).

use super::super::wire::{Depth, Malformed, Reader};
use crate::model::attr::SERVICE_NAME;

/// `Resource`; returns the service's name, the last one where a sender repeats it.
pub(super) fn resource(message: &[u8], depth: Depth) -> Result<Option<&[u8]>, Malformed> {
    let mut service = None;
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => {
                let attribute = key_value(fields.read_bytes(field)?, depth.below()?)?;
                if attribute.key == SERVICE_NAME.as_bytes() {
                    service = attribute.text.or(service);
                }
            }
            2 => drop(fields.read_varint(field)?),
            3 => entity_ref(fields.read_bytes(field)?, depth.below()?)?,
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(service)
}

/// `EntityRef`.
fn entity_ref(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1..=4 => drop(fields.read_text(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `InstrumentationScope`.
pub(super) fn scope(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 | 2 => drop(fields.read_text(field)?),
            3 => attribute(fields.read_bytes(field)?, depth.below()?)?,
            4 => drop(fields.read_varint(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `KeyValue`, wherever what it says does not matter.
pub(super) fn attribute(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    // The value is one message below: that is all that could still be wrong with it.
    if is_plain(message) {
        depth.below().map(drop)
    } else {
        key_value(message, depth).map(drop)
    }
}

/// Whether an attribute has the form of nearly all: a short key, then a short text or a number. Checked as a
/// whole, where each byte is ASCII: then it is a key, a length of one byte, or text that is valid UTF-8.
fn is_plain(message: &[u8]) -> bool {
    let [0x0a, length, rest @ ..] = message else {
        return false;
    };
    let Some((key, [0x12, length, value @ ..])) = rest.split_at_checked(usize::from(*length)) else {
        return false;
    };
    if usize::from(*length) != value.len() {
        return false;
    }
    match value {
        [0x0a, length, text @ ..] => usize::from(*length) == text.len() && message.is_ascii(),
        [0x10 | 0x18, number @ ..] => Reader::new(number).is_varint() && key.is_ascii(),
        _ => false,
    }
}

/// An attribute; `text` is its value if that is a string.
#[derive(Debug, Default)]
struct KeyValue<'a> {
    key: &'a [u8],
    text: Option<&'a [u8]>,
}

/// `KeyValue`.
fn key_value(message: &[u8], depth: Depth) -> Result<KeyValue<'_>, Malformed> {
    let mut attribute = KeyValue::default();
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => attribute.key = fields.read_text(field)?,
            2 => any_value(fields.read_bytes(field)?, depth.below()?, &mut attribute.text)?,
            3 => drop(fields.read_varint(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(attribute)
}

/// `AnyValue`: of several values the last one counts, also across repeated messages.
pub(super) fn any_value<'a>(
    message: &'a [u8],
    depth: Depth,
    text: &mut Option<&'a [u8]>,
) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        if field.number() == 1 {
            *text = Some(fields.read_text(field)?);
            continue;
        }
        match field.number() {
            2 | 3 | 8 => drop(fields.read_varint(field)?),
            4 => drop(fields.read_fixed64(field)?),
            5 => array(fields.read_bytes(field)?, depth.below()?)?,
            6 => key_values(fields.read_bytes(field)?, depth.below()?)?,
            7 => drop(fields.read_bytes(field)?),
            _ => {
                fields.skip(field, depth)?;
                continue;
            }
        }
        *text = None;
    }
    Ok(())
}

/// `ArrayValue`.
fn array(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => any_value(fields.read_bytes(field)?, depth.below()?, &mut None)?,
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `KeyValueList`.
fn key_values(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => attribute(fields.read_bytes(field)?, depth.below()?)?,
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}
