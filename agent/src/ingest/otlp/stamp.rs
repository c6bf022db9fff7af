//! Appends this node's attributes to the resources of a request, in place of decoding it.
//!
//! In: a request that `scan` accepted, and a [`Stamp`]. Out: the same bytes with one copy, in which each
//! resource ends with the attributes it did not have. Repeated fields concatenate, so that is all it takes:
//! the fields appended, and the two lengths in front of them rewritten.

use bytes::Bytes;

use super::{
    fault::Fault,
    scan::Scan,
    wire::{Malformed, Reader},
};
use crate::model::{ByteSize, ResourceAttributes};

/// Key of `Resource.attributes`, of `KeyValue.key`, of `AnyValue.string_value` and of `ResourceX.resource`:
/// field 1, length-delimited.
const FIRST: u8 = 0x0a;
/// Key of `KeyValue.value`: field 2, length-delimited.
const SECOND: u8 = 0x12;
/// The most bytes that a length of at most 32 bits takes.
const LENGTH_MAX: usize = 5;

/// Resource attributes, encoded once for all requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: Vec<u8>,
    /// The attribute as a field of `Resource`.
    field: Vec<u8>,
}

impl Stamp {
    #[must_use]
    pub fn new(attributes: &ResourceAttributes) -> Self {
        let entries = attributes.iter().map(|(key, value)| {
            let value = delimited(FIRST, value.as_bytes());
            let attribute = [delimited(FIRST, key.as_bytes()), delimited(SECOND, &value)].concat();
            Entry {
                key: key.into(),
                field: delimited(FIRST, &attribute),
            }
        });
        Self {
            entries: entries.collect(),
        }
    }

    /// By how much one resource grows at most.
    fn growth(&self) -> usize {
        let fields: usize = self.entries.iter().map(|entry| entry.field.len()).sum();
        fields + 1 + 2 * LENGTH_MAX
    }
}

/// Adds to every resource of a request the attributes of the stamp whose keys it does not have.
///
/// A request of many small resources may grow manifold: past `limit` it is refused as too large.
pub(super) fn enrich(request: &Bytes, scan: &Scan, stamp: &Stamp, limit: ByteSize) -> Result<Bytes, Fault> {
    let mut missing = Missing::new(stamp);
    let mut stamped = Vec::new();
    let mut copied = 0;
    let mut fields = Reader::new(request);
    while let Some(field) = fields.field()? {
        let prefix = request.len() - fields.left();
        if field.number() != 1 {
            fields.pass(field)?;
            continue;
        }
        let envelope = fields.read_bytes(field)?;
        let resource = resource(envelope, &mut missing)?;
        let added = missing.length();
        if added == 0 {
            continue;
        }
        if stamped.is_empty() {
            let growth = stamp.growth().saturating_mul(scan.resources).min(limit.0);
            stamped.reserve_exact(request.len() + growth);
        }
        stamped.extend_from_slice(&request[copied..prefix]);
        resource.put(envelope, &missing, added, &mut stamped);
        copied = request.len() - fields.left();
        if stamped.len() > limit.0 {
            return Err(Fault::TooLarge(limit));
        }
    }
    if copied == 0 {
        return Ok(request.clone());
    }
    stamped.extend_from_slice(&request[copied..]);
    Ok(stamped.into())
}

/// Where the attributes of a `ResourceX` end: in its last resource, as repeated ones are merged.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The length of the resource stands at `prefix`, and the resource itself in `start..end`.
    Within { prefix: usize, start: usize, end: usize },
    /// There is no resource: it is added in front, where encoders put it.
    Absent,
}

/// Finds the place, and which attributes of the stamp are missing.
fn resource(envelope: &[u8], missing: &mut Missing<'_>) -> Result<Place, Malformed> {
    missing.reset();
    let mut place = Place::Absent;
    let mut fields = Reader::new(envelope);
    while let Some(field) = fields.field()? {
        if field.number() != 1 {
            fields.pass(field)?;
            continue;
        }
        let prefix = envelope.len() - fields.left();
        let resource = fields.read_bytes(field)?;
        let end = envelope.len() - fields.left();
        place = Place::Within {
            prefix,
            start: end - resource.len(),
            end,
        };
        let mut attributes = Reader::new(resource);
        while let Some(field) = attributes.field()? {
            if field.number() == 1 {
                missing.cross_out(key(attributes.read_bytes(field)?)?);
            } else {
                attributes.pass(field)?;
            }
        }
    }
    Ok(place)
}

/// The key of a `KeyValue`.
fn key(attribute: &[u8]) -> Result<&[u8], Malformed> {
    let mut key: &[u8] = &[];
    let mut fields = Reader::new(attribute);
    while let Some(field) = fields.field()? {
        if field.number() == 1 {
            key = fields.read_bytes(field)?;
        } else {
            fields.pass(field)?;
        }
    }
    Ok(key)
}

impl Place {
    /// Writes a `ResourceX`, its length first, with what is missing added.
    fn put(self, envelope: &[u8], missing: &Missing<'_>, added: usize, out: &mut Vec<u8>) {
        let (before, within, behind) = match self {
            Self::Within { prefix, start, end } => {
                (&envelope[..prefix], &envelope[start..end], &envelope[end..])
            }
            Self::Absent => (&[FIRST][..], &[][..], envelope),
        };
        let resource = within.len() + added;
        put_length(before.len() + length_of(resource) + resource + behind.len(), out);
        out.extend_from_slice(before);
        put_length(resource, out);
        out.extend_from_slice(within);
        missing.put(out);
        out.extend_from_slice(behind);
    }
}

/// The attributes of a stamp that one resource does not have.
#[derive(Debug)]
struct Missing<'a> {
    stamp: &'a Stamp,
    is_missing: Vec<bool>,
}

impl<'a> Missing<'a> {
    fn new(stamp: &'a Stamp) -> Self {
        Self {
            stamp,
            is_missing: vec![true; stamp.entries.len()],
        }
    }

    fn reset(&mut self) {
        self.is_missing.fill(true);
    }

    fn cross_out(&mut self, key: &[u8]) {
        if let Some(index) = self.stamp.entries.iter().position(|entry| entry.key == key) {
            self.is_missing[index] = false;
        }
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let entries = self.stamp.entries.iter().zip(&self.is_missing);
        entries
            .filter(|(_, is_missing)| **is_missing)
            .map(|(entry, _)| entry.field.as_slice())
    }

    fn length(&self) -> usize {
        self.fields().map(<[u8]>::len).sum()
    }

    fn put(&self, out: &mut Vec<u8>) {
        for field in self.fields() {
            out.extend_from_slice(field);
        }
    }
}

fn delimited(key: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![key];
    put_length(value.len(), &mut field);
    field.extend_from_slice(value);
    field
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    prost::encoding::encode_varint(length as u64, out);
}

fn length_of(length: usize) -> usize {
    prost::encoding::encoded_len_varint(length as u64)
}

#[cfg(test)]
mod tests;
