//! The protobuf wire format, read in place.
//!
//! In: the bytes of one message. Out: its fields one after another, each checked completely before the next
//! is read. What is accepted is exactly what prost accepts: `scan::oracle` holds the two together.
//!
//! This file knows no message of OTLP.

/// Why bytes are no valid message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the message ends in the middle of a field")]
    Truncated,
    #[error("a varint is longer than ten bytes or larger than 64 bits")]
    Varint,
    #[error("a field has number 0, or one past 2^29 - 1")]
    Number,
    #[error("field {0} has a wire type that does not exist, or not the one of its definition")]
    WireType(u32),
    #[error("a string is not valid UTF-8")]
    Text,
    #[error("messages are nested more than {} deep", Depth::LIMIT)]
    Depth,
    #[error("group {0} ends where it did not start")]
    Group(u32),
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const DELIMITED: u32 = 2;
const GROUP_START: u32 = 3;
const GROUP_END: u32 = 4;
const FIXED32: u32 = 5;

/// How much deeper messages may still nest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth(u32);

impl Depth {
    /// As in prost, and in the Go and C++ libraries.
    pub(super) const LIMIT: u32 = 100;

    pub(super) fn root() -> Self {
        Self(Self::LIMIT)
    }

    /// The depth of a message within this one.
    #[inline]
    pub(super) fn below(self) -> Result<Self, Malformed> {
        self.0.checked_sub(1).map(Self).ok_or(Malformed::Depth)
    }
}

/// The key in front of a field's value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field(u32);

impl Field {
    /// A field whose key is one byte long.
    pub(super) const fn varint(number: u32) -> Self {
        Self(number << 3 | VARINT)
    }

    pub(super) const fn fixed64(number: u32) -> Self {
        Self(number << 3 | FIXED64)
    }

    pub(super) const fn delimited(number: u32) -> Self {
        Self(number << 3 | DELIMITED)
    }

    #[inline]
    pub(super) fn number(self) -> u32 {
        self.0 >> 3
    }

    #[inline]
    fn wire_type(self) -> u32 {
        self.0 & 0b111
    }

    #[inline]
    fn expect(self, wire_type: u32) -> Result<(), Malformed> {
        if self.wire_type() == wire_type {
            Ok(())
        } else {
            Err(Malformed::WireType(self.number()))
        }
    }
}

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// How many bytes are left.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next field's key. Its value has to be read, or skipped, before the next call.
    #[inline]
    pub(super) fn field(&mut self) -> Result<Option<Field>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        u32::try_from(key)
            .map(|key| Some(Field(key)))
            .map_err(|_wider| Malformed::Number)
    }

    /// Whether a value with this key comes next, whose key is then taken: for the order that encoders keep.
    #[inline]
    pub(super) fn take(&mut self, field: Field) -> bool {
        match self.rest {
            [key, rest @ ..] if u32::from(*key) == field.0 => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Whether what is left is one varint and nothing else.
    #[inline]
    pub(super) fn is_varint(mut self) -> bool {
        self.varint().is_ok() && self.rest.is_empty()
    }

    #[inline]
    pub(super) fn read_varint(&mut self, field: Field) -> Result<u64, Malformed> {
        field.expect(VARINT)?;
        self.varint()
    }

    #[inline]
    pub(super) fn read_fixed32(&mut self, field: Field) -> Result<u32, Malformed> {
        field.expect(FIXED32)?;
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(super) fn read_fixed64(&mut self, field: Field) -> Result<u64, Malformed> {
        field.expect(FIXED64)?;
        self.array().map(u64::from_le_bytes)
    }

    /// A `bytes` field, or a submessage that is not looked into yet.
    #[inline]
    pub(super) fn read_bytes(&mut self, field: Field) -> Result<&'a [u8], Malformed> {
        field.expect(DELIMITED)?;
        self.delimited()
    }

    /// A `string` field.
    #[inline]
    pub(super) fn read_text(&mut self, field: Field) -> Result<&'a [u8], Malformed> {
        let text = self.read_bytes(field)?;
        // Nearly all text is ASCII, and short: seeing that is cheaper than starting a UTF-8 check.
        if text.is_ascii() || str::from_utf8(text).is_ok() {
            Ok(text)
        } else {
            Err(Malformed::Text)
        }
    }

    /// A repeated `uint64` field, packed or not.
    pub(super) fn read_varints(&mut self, field: Field) -> Result<(), Malformed> {
        if field.wire_type() != DELIMITED {
            return self.read_varint(field).map(drop);
        }
        let mut packed = Self::new(self.delimited()?);
        while !packed.rest.is_empty() {
            packed.varint()?;
        }
        Ok(())
    }

    /// A repeated `fixed64` or `double` field, packed or not.
    pub(super) fn read_fixed64s(&mut self, field: Field) -> Result<(), Malformed> {
        if field.wire_type() != DELIMITED {
            return self.read_fixed64(field).map(drop);
        }
        if self.delimited()?.len().is_multiple_of(8) {
            Ok(())
        } else {
            Err(Malformed::Truncated)
        }
    }

    /// Passes over a field of a message that was checked before.
    #[inline]
    pub(super) fn pass(&mut self, field: Field) -> Result<(), Malformed> {
        self.skip(field, Depth::root())
    }

    /// Passes over a field that no definition names: a sender may be newer than this agent.
    pub(super) fn skip(&mut self, field: Field, depth: Depth) -> Result<(), Malformed> {
        if field.number() == 0 {
            return Err(Malformed::Number);
        }
        let below = depth.below()?;
        match field.wire_type() {
            VARINT => self.varint().map(drop),
            FIXED64 => self.array::<8>().map(drop),
            DELIMITED => self.delimited().map(drop),
            FIXED32 => self.array::<4>().map(drop),
            GROUP_START => loop {
                let inner = self.field()?.ok_or(Malformed::Truncated)?;
                if inner.wire_type() != GROUP_END {
                    self.skip(inner, below)?;
                } else if inner.number() == field.number() {
                    break Ok(());
                } else {
                    break Err(Malformed::Group(inner.number()));
                }
            },
            GROUP_END => Err(Malformed::Group(field.number())),
            _ => Err(Malformed::WireType(field.number())),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte holds the 64th bit and nothing more.
            if index == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            Malformed::Truncated
        } else {
            Malformed::Varint
        })
    }

    #[inline]
    fn delimited(&mut self) -> Result<&'a [u8], Malformed> {
        // A length past the address space is past the end of these bytes too.
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let (value, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(value)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*value)
    }
}
