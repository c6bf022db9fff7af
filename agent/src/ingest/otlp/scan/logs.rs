//! Log records (`logs.proto`).

use super::{
    super::wire::{Depth, Malformed, Reader},
    attributes,
};

/// `LogRecord`.
pub(super) fn record(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 | 11 => drop(fields.read_fixed64(field)?),
            2 | 7 => drop(fields.read_varint(field)?),
            3 | 12 => drop(fields.read_text(field)?),
            5 => attributes::any_value(fields.read_bytes(field)?, depth.below()?, &mut None)?,
            6 => attributes::attribute(fields.read_bytes(field)?, depth.below()?)?,
            8 => drop(fields.read_fixed32(field)?),
            9 | 10 => drop(fields.read_bytes(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}
