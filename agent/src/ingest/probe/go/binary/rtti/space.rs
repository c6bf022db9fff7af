//! The part of an executable in which its types and their names are.
//!
//! In: addresses, and distances from the first type. Out: names, and what all types begin with, after a
//! check that they lie where types do.

use super::super::{Unreadable, image::Image, module::Rtti, pages::index, varint};

/// The size of what all types begin with.
pub(super) const HEAD: u64 = 48;
/// The longest name that is read; with type arguments they have some hundred bytes.
const MAX_NAME: u64 = 4096;
/// Of a name of a field: the field is embedded.
const EMBEDDED: u8 = 1 << 3;

/// What a type is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    /// Signed or not; `uintptr` too.
    Integer,
    Float,
    Complex,
    Array,
    Chan,
    Func,
    Interface,
    Map,
    Pointer,
    Slice,
    String,
    Struct,
    UnsafePointer,
}

/// What all types begin with, as far as it is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) flags: u8,
    pub(super) kind: Kind,
    /// Distances from the first type; that of the pointer to this type is 0 if there is none.
    pub(super) text: u32,
    pub(super) pointer: u32,
}

pub(super) struct Name {
    pub(super) text: String,
    pub(super) embedded: bool,
}

/// The range of addresses in which all types and their names lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Space<'b> {
    pub(super) image: &'b Image,
    pub(super) rtti: &'b Rtti,
}

impl Space<'_> {
    pub(super) fn address(self, distance: u32) -> u64 {
        self.rtti.types.start + u64::from(distance)
    }

    pub(super) fn head(self, address: u64) -> Result<Head, Unreadable> {
        self.check(address)?;
        let bytes: [u8; 48] = self.image.array(address)?;
        let ([size, _, rest, .., places], _) = bytes.as_chunks::<8>() else {
            return Err(Unreadable::Corrupt("the head of a type"));
        };
        let [.., flags, _, _, kind] = *rest;
        let [t0, t1, t2, t3, p0, p1, p2, p3] = *places;
        Ok(Head {
            address,
            size: u64::from_le_bytes(*size),
            flags,
            kind: Kind::of(kind).ok_or(Unreadable::Corrupt("the kind of a type"))?,
            text: u32::from_le_bytes([t0, t1, t2, t3]),
            pointer: u32::from_le_bytes([p0, p1, p2, p3]),
        })
    }

    pub(super) fn name(self, address: u64) -> Result<Name, Unreadable> {
        self.check(address)?;
        let [flags] = self.image.array(address)?;
        let (length, place) = varint(self.image, address + 1)?;
        if length > MAX_NAME {
            return Err(Unreadable::Corrupt("the length of a type's name"));
        }
        let mut bytes = vec![0; index(length)];
        self.image.read(place, &mut bytes)?;
        Ok(Name {
            // A name that is no text is nobody's.
            text: String::from_utf8(bytes).unwrap_or_default(),
            embedded: flags & EMBEDDED != 0,
        })
    }

    pub(super) fn check(self, address: u64) -> Result<(), Unreadable> {
        if self.rtti.types.contains(&address) {
            Ok(())
        } else {
            Err(Unreadable::Corrupt("the place of a type"))
        }
    }
}

impl Kind {
    /// By its number in `abi.Kind`; the upper bits are flags.
    fn of(number: u8) -> Option<Self> {
        Some(match number & 0x1f {
            1 => Self::Bool,
            2..=12 => Self::Integer,
            13 | 14 => Self::Float,
            15 | 16 => Self::Complex,
            17 => Self::Array,
            18 => Self::Chan,
            19 => Self::Func,
            20 => Self::Interface,
            21 => Self::Map,
            22 => Self::Pointer,
            23 => Self::Slice,
            24 => Self::String,
            25 => Self::Struct,
            26 => Self::UnsafePointer,
            _ => return None,
        })
    }
}
