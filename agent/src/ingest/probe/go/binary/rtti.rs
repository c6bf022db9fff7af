//! Types by name, from what a Go program knows of its own types at run time and cannot be built without.
//!
//! In: the module's types and their full names (`*k8s.io/api/core/v1.Pod`). Out: sizes, fields with their
//! offsets, and the address by which an interface names its type.
//!
//! What the linker lists are unnamed types, pointers above all; the compiler gives each named type a pointer
//! type, so every named type is behind a listed pointer. A type's own text has only the last part of its
//! package (`v1.Pod`), which several packages share: the path comes from the type's appendix.
//! <https://github.com/golang/go/blob/go1.26.0/src/internal/abi/type.go>

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::ControlFlow,
};

use super::{Unreadable, image::Image, module::Rtti, pages::index, varint};

/// The size of what all types begin with.
const HEAD: u64 = 48;
/// The longest name that is read, and the most fields of a struct.
const MAX_NAME: u64 = 4096;
const MAX_FIELDS: u64 = 4096;
const FIELD: u64 = 24;

/// `abi.TFlag`
mod flag {
    pub(super) const APPENDIX: u8 = 1 << 0;
    /// The text is that of the pointer to this type.
    pub(super) const EXTRA_STAR: u8 = 1 << 1;
    pub(super) const NAMED: u8 = 1 << 2;
}

/// The named types of an executable, ready to be looked up.
#[derive(Debug)]
pub struct Types<'b> {
    space: Space<'b>,
    /// The hash of a named type's full name and where the type is, ascending.
    named: Vec<(u64, u64)>,
}

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

/// One type of the executable.
#[derive(Debug, Clone, Copy)]
pub struct Type<'b> {
    space: Space<'b>,
    head: Head,
}

/// A field of a struct.
#[derive(Debug, Clone)]
pub struct Field<'b> {
    /// Of an embedded field, the name of its type.
    pub name: Box<str>,
    pub offset: u64,
    pub ty: Type<'b>,
    pub embedded: bool,
}

impl<'b> Types<'b> {
    pub(super) fn read(image: &'b Image, rtti: &'b Rtti) -> Result<Self, Unreadable> {
        let space = Space { image, rtti };
        let mut named = Vec::new();
        let mut fault = None;
        image.stream(rtti.links.clone(), |_, block| {
            for link in block.chunks_exact(4) {
                let distance = link.try_into().map_or(0, u32::from_le_bytes);
                match space.pointed_to(distance) {
                    Ok(Some((name, ty))) => named.push((hash(&name), ty.address())),
                    Ok(None) => {}
                    Err(unreadable) => {
                        fault = Some(unreadable);
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(block.len())
        })?;
        if let Some(unreadable) = fault {
            return Err(unreadable);
        }
        named.sort_unstable();
        named.dedup();
        Ok(Self { space, named })
    }

    /// The type of this full name, or the pointer to it if a star is before it: `error`,
    /// `k8s.io/api/core/v1.Pod`, `*go.opentelemetry.io/otel/sdk/trace.recordingSpan`.
    ///
    /// None too if there are several: functions may have local types of the same name.
    pub fn named(&self, name: &str) -> Result<Option<Type<'b>>, Unreadable> {
        if let Some(element) = name.strip_prefix('*') {
            return match self.named(element)? {
                Some(element) => element.pointer(),
                None => Ok(None),
            };
        }
        let wanted = hash(name);
        let start = self.named.partition_point(|&(hash, _)| hash < wanted);
        let mut found = None;
        for &(_, address) in self.named[start..]
            .iter()
            .take_while(|&&(hash, _)| hash == wanted)
        {
            let ty = self.space.ty(address)?;
            if ty.name()? == name && found.replace(ty).is_some() {
                return Ok(None);
            }
        }
        Ok(found)
    }

    /// How many named types there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.named.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

// === impl Type ===

impl<'b> Type<'b> {
    /// The linker's virtual address of the type: with the process's bias, the word by which a non-empty
    /// `any` names what it holds.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.head.address
    }

    /// In bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head.size
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.head.kind
    }

    /// The full name of a named type, with the path of its package; of another type, its Go notation with
    /// short package names.
    pub fn name(&self) -> Result<String, Unreadable> {
        let text = self.space.name_at(self.head.text)?.text;
        let text = match self.head.flags & flag::EXTRA_STAR {
            0 => text.as_str(),
            _ => text.strip_prefix('*').unwrap_or(&text),
        };
        if self.head.flags & flag::NAMED == 0 {
            return Ok(text.to_owned());
        }
        // Type arguments come with the paths of their packages and so with dots.
        let arguments = text.find('[').unwrap_or(text.len());
        let own = text[..arguments].rfind('.').map_or(0, |dot| dot + 1);
        match self.package()? {
            Some(package) => Ok(format!("{package}.{}", &text[own..])),
            None => Ok(text.to_owned()),
        }
    }

    /// What a pointer points to, and what an array, a slice or a channel consists of.
    pub fn element(&self) -> Result<Option<Self>, Unreadable> {
        match self.head.kind {
            Kind::Pointer | Kind::Array | Kind::Slice | Kind::Chan => {
                let element = self.space.image.word(self.head.address + HEAD)?;
                self.space.ty(element).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The field of a struct by its name; an embedded one has the name of its type, and its own fields are
    /// reached through it.
    pub fn field(&self, name: &str) -> Result<Option<Field<'b>>, Unreadable> {
        for place in self.field_places()? {
            let own = self.space.name(self.space.image.word(place)?)?;
            if own.text == name {
                return self.space.field(place, own).map(Some);
            }
        }
        Ok(None)
    }

    /// All fields of a struct, in order; of another type, none.
    pub fn fields(&self) -> Result<Vec<Field<'b>>, Unreadable> {
        let places = self.field_places()?;
        let field = |place| {
            self.space
                .field(place, self.space.name(self.space.image.word(place)?)?)
        };
        places.map(field).collect()
    }

    fn field_places(&self) -> Result<impl Iterator<Item = u64> + use<>, Unreadable> {
        let (start, count) = match self.head.kind {
            Kind::Struct => {
                let [start, count] = [8, 16].map(|at| self.space.image.word(self.head.address + HEAD + at));
                (start?, count?)
            }
            _ => (self.head.address, 0),
        };
        if count > MAX_FIELDS {
            return Err(Unreadable::Corrupt("the number of a struct's fields"));
        }
        self.space.contains(start)?;
        Ok((0..count).map(move |nth| start + nth * FIELD))
    }

    /// The pointer to this type.
    fn pointer(&self) -> Result<Option<Self>, Unreadable> {
        if self.head.pointer == 0 {
            return Ok(None);
        }
        let pointer = self
            .space
            .ty(self.space.rtti.types.start + u64::from(self.head.pointer))?;
        let element = pointer.element()?.map(|element| element.address());
        Ok((element == Some(self.address())).then_some(pointer))
    }

    /// The path of the package of a named type; none of those that the language itself has.
    fn package(&self) -> Result<Option<String>, Unreadable> {
        let Some(appendix) = self.appendix() else {
            return Ok(None);
        };
        let package = u32::from_le_bytes(self.space.image.array(appendix)?);
        match package {
            0 => Ok(None),
            package => self.space.name_at(package).map(|package| Some(package.text)),
        }
    }

    fn appendix(&self) -> Option<u64> {
        let size = match self.head.kind {
            _ if self.head.flags & flag::APPENDIX == 0 => return None,
            Kind::Pointer | Kind::Slice | Kind::Func => HEAD + 8,
            Kind::Chan => HEAD + 16,
            Kind::Array => HEAD + 24,
            Kind::Struct | Kind::Interface => HEAD + 32,
            // What a map's type consists of has changed with Go 1.24.
            Kind::Map => return None,
            _ => HEAD,
        };
        Some(self.head.address + size)
    }
}

/// What all types begin with, as far as it is used.
#[derive(Debug, Clone, Copy)]
struct Head {
    address: u64,
    size: u64,
    flags: u8,
    kind: Kind,
    /// Counted from the first type; the pointer is 0 if there is none.
    text: u32,
    pointer: u32,
}

struct Name {
    text: String,
    embedded: bool,
}

// === impl Space ===

/// The range of addresses in which all types and their names lie.
#[derive(Debug, Clone, Copy)]
struct Space<'b> {
    image: &'b Image,
    rtti: &'b Rtti,
}

impl<'b> Space<'b> {
    fn ty(self, address: u64) -> Result<Type<'b>, Unreadable> {
        self.contains(address)?;
        let head: [u8; 48] = self.image.array(address)?;
        let [size, .., text_and_pointer] = head.as_chunks::<8>().0 else {
            return Err(Unreadable::Corrupt("the head of a type"));
        };
        let [t0, t1, t2, t3, p0, p1, p2, p3] = *text_and_pointer;
        let head = Head {
            address,
            size: u64::from_le_bytes(*size),
            flags: head[20],
            kind: Kind::of(head[23]).ok_or(Unreadable::Corrupt("the kind of a type"))?,
            text: u32::from_le_bytes([t0, t1, t2, t3]),
            pointer: u32::from_le_bytes([p0, p1, p2, p3]),
        };
        Ok(Type { space: self, head })
    }

    /// The named type that this one points to, with its name.
    fn pointed_to(self, distance: u32) -> Result<Option<(String, Type<'b>)>, Unreadable> {
        let ty = self.ty(self.rtti.types.start + u64::from(distance))?;
        let element = match ty.kind() {
            Kind::Pointer => ty.element()?,
            _ => None,
        };
        match element.filter(|element| element.head.flags & flag::NAMED != 0) {
            Some(element) => Ok(Some((element.name()?, element))),
            None => Ok(None),
        }
    }

    fn field(self, place: u64, name: Name) -> Result<Field<'b>, Unreadable> {
        Ok(Field {
            name: name.text.into(),
            ty: self.ty(self.image.word(place + 8)?)?,
            offset: u64::from_le_bytes(self.image.array(place + 16)?),
            embedded: name.embedded,
        })
    }

    fn name_at(self, distance: u32) -> Result<Name, Unreadable> {
        self.name(self.rtti.types.start + u64::from(distance))
    }

    fn name(self, address: u64) -> Result<Name, Unreadable> {
        self.contains(address)?;
        let [flags] = self.image.array(address)?;
        let (length, place) = varint(self.image, address + 1)?;
        if length > MAX_NAME {
            return Err(Unreadable::Corrupt("the length of a type's name"));
        }
        let mut bytes = vec![0; index(length)];
        self.image.read(place, &mut bytes)?;
        // A name that is no text is nobody's.
        let text = String::from_utf8(bytes).unwrap_or_default();
        Ok(Name {
            text,
            embedded: flags & (1 << 3) != 0,
        })
    }

    fn contains(self, address: u64) -> Result<(), Unreadable> {
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
