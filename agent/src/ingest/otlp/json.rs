//! OTLP/JSON, turned into protobuf at the door so that all else knows one form.
//!
//! In: a request as JSON, as OTLP maps it: ids in hexadecimal, 64-bit integers as strings or numbers,
//! enumerations as integers, unknown fields ignored. Out: the same request as protobuf, which `scan` then
//! reads like any other. Text becomes bytes in one pass, without a tree in between, so that memory is bounded
//! by the size of the text.
//!
//! The types of `opentelemetry-proto` do not do here: where a `oneof` does not parse they drop it without an
//! error, and they know no `NaN`. They are what the tests compare with.

mod schema;

use std::fmt;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use prost::encoding::{encode_varint, encoded_len_varint};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use self::schema::{Field, Kind, Schema, Shape};
use super::{budget::Reservation, fault::Fault};
use crate::model::Signal;

/// How much longer protobuf can be than JSON: `1,` becomes eight bytes in a packed field.
const EXPANSION: usize = 4;

/// Of `bytes` that are no ids. Senders may leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn to_protobuf(
    signal: Signal,
    json: &[u8],
    reservation: &mut Reservation,
) -> Result<Bytes, Fault> {
    reservation.grow(json.len().saturating_mul(EXPANSION))?;
    let mut request = Vec::with_capacity(json.len() / 2);
    let mut text = serde_json::Deserializer::from_slice(json);
    let message = Message {
        schema: schema::request(signal),
        out: &mut request,
    };
    message
        .deserialize(&mut text)
        .and_then(|()| text.end())
        .map_err(Fault::Json)?;
    Ok(request.into())
}

/// Writes the fields of an object.
#[derive(Debug)]
struct Message<'a> {
    schema: Schema,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<(), D::Error> {
        text.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(field) = object.next_key_seed(Name(self.schema))? {
            match field {
                Some(field) => object.next_value_seed(Slot { field, out: self.out })?,
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Finds the field of a name.
#[derive(Debug)]
struct Name(Schema);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<Self::Value, D::Error> {
        text.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|field| field.name == name))
    }
}

/// Writes a field with all that it holds; `null` is nothing.
#[derive(Debug)]
struct Slot<'a> {
    field: &'static Field,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<(), D::Error> {
        text.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.shape {
            Shape::One => write!(f, "{} for {}", self.field.kind, self.field.name),
            Shape::Each | Shape::Packed => write!(f, "an array for {}", self.field.name),
        }
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, text: D) -> Result<(), D::Error> {
        match self.field.shape {
            Shape::One => One {
                field: self.field,
                is_tagged: true,
                out: self.out,
            }
            .deserialize(text),
            Shape::Each | Shape::Packed => text.deserialize_seq(self),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let Self { field, out } = self;
        if field.shape == Shape::Each {
            while array
                .next_element_seed(One {
                    field,
                    is_tagged: true,
                    out,
                })?
                .is_some()
            {}
            return Ok(());
        }
        let mut packed = Vec::new();
        while array
            .next_element_seed(One {
                field,
                is_tagged: false,
                out: &mut packed,
            })?
            .is_some()
        {}
        put_delimited(field.number, &packed, out);
        Ok(())
    }
}

/// Writes one value, with the key of its field in front unless it is packed with others.
#[derive(Debug)]
struct One<'a> {
    field: &'static Field,
    is_tagged: bool,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<(), D::Error> {
        let Kind::Message(schema) = self.field.kind else {
            return text.deserialize_any(self);
        };
        let mut message = Vec::new();
        Message {
            schema,
            out: &mut message,
        }
        .deserialize(text)?;
        put_delimited(self.field.number, &message, self.out);
        Ok(())
    }
}

impl Visitor<'_> for One<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.field.kind, self.field.name)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => self.put_varint(value.into()),
            _ => return Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(value.into(), Unexpected::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(value.into(), Unexpected::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => self.put_fixed(1, &value.to_le_bytes()),
            _ => return Err(E::invalid_type(Unexpected::Float(value), &self)),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let unexpected = Unexpected::Str(value);
        match self.field.kind {
            Kind::Text => put_delimited(self.field.number, value.as_bytes(), self.out),
            Kind::Id => {
                let id = hexadecimal(value).ok_or_else(|| E::invalid_value(unexpected, &self))?;
                put_delimited(self.field.number, &id, self.out);
            }
            Kind::Bytes => {
                // The URL-safe alphabet differs in two letters, and parsers have to take both.
                let standard = value.replace('-', "+").replace('_', "/");
                let bytes = BASE64
                    .decode(standard)
                    .map_err(|_not| E::invalid_value(unexpected, &self))?;
                put_delimited(self.field.number, &bytes, self.out);
            }
            Kind::Double => {
                // Rust reads what JSON cannot write as a number, `NaN`, `Infinity` and `-Infinity`, too.
                let number: f64 = value
                    .parse()
                    .map_err(|_not| E::invalid_value(unexpected, &self))?;
                return self.visit_f64(number);
            }
            Kind::Bool | Kind::Message(_) => return Err(E::invalid_type(unexpected, &self)),
            _ => {
                let number = value
                    .parse()
                    .map_err(|_not| E::invalid_value(unexpected, &self))?;
                return self.integer(number, unexpected);
            }
        }
        Ok(())
    }
}

impl One<'_> {
    /// Writes a whole number, if it is in the range of its field.
    fn integer<E: Error>(self, value: i128, unexpected: Unexpected<'_>) -> Result<(), E> {
        let out_of_range = |_| E::invalid_value(unexpected, &self);
        match self.field.kind {
            Kind::Int32 => {
                let value = i32::try_from(value).map_err(out_of_range)?;
                self.put_varint(i64::from(value).cast_unsigned());
            }
            Kind::Int64 => {
                let value = i64::try_from(value).map_err(out_of_range)?;
                self.put_varint(value.cast_unsigned());
            }
            Kind::Uint32 => {
                let value = u32::try_from(value).map_err(out_of_range)?;
                self.put_varint(value.into());
            }
            Kind::Uint64 => {
                let value = u64::try_from(value).map_err(out_of_range)?;
                self.put_varint(value);
            }
            Kind::Sint32 => {
                let value = i32::try_from(value).map_err(out_of_range)?;
                self.put_varint(((value << 1) ^ (value >> 31)).cast_unsigned().into());
            }
            Kind::Fixed32 => {
                let value = u32::try_from(value).map_err(out_of_range)?;
                self.put_fixed(5, &value.to_le_bytes());
            }
            Kind::Fixed64 => {
                let value = u64::try_from(value).map_err(out_of_range)?;
                self.put_fixed(1, &value.to_le_bytes());
            }
            Kind::Sfixed64 => {
                let value = i64::try_from(value).map_err(out_of_range)?;
                self.put_fixed(1, &value.to_le_bytes());
            }
            Kind::Double => {
                #[expect(clippy::cast_precision_loss, reason = "a double is what the field holds")]
                let value = value as f64;
                self.put_fixed(1, &value.to_le_bytes());
            }
            Kind::Bool | Kind::Text | Kind::Id | Kind::Bytes | Kind::Message(_) => {
                return Err(E::invalid_type(unexpected, &self));
            }
        }
        Ok(())
    }

    fn put_varint(mut self, value: u64) {
        self.put_key(0);
        encode_varint(value, self.out);
    }

    fn put_fixed(mut self, wire_type: u32, value: &[u8]) {
        self.put_key(wire_type);
        self.out.extend_from_slice(value);
    }

    fn put_key(&mut self, wire_type: u32) {
        if self.is_tagged {
            encode_varint((self.field.number << 3 | wire_type).into(), self.out);
        }
    }
}

fn put_delimited(number: u32, value: &[u8], out: &mut Vec<u8>) {
    let length = value.len() as u64;
    out.reserve(value.len() + encoded_len_varint(length) + 2);
    encode_varint((number << 3 | 2).into(), out);
    encode_varint(length, out);
    out.extend_from_slice(value);
}

/// Bytes from pairs of digits.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests;
