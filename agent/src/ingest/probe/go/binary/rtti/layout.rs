//! One type: what it is made of, and where its parts are.
//!
//! In: where a type begins. Out: its name, its fields, what it points to, the signatures of its methods.

use super::{
    super::Unreadable,
    space::{HEAD, Head, Kind, Name, Space},
};

/// The most fields of a struct, and the most parameters or results of a method.
const MAX_FIELDS: u64 = 4096;
const MAX_PARAMETERS: u16 = 256;

/// How many bytes a field, a method and a parameter take, and what a named type has behind its own parts:
/// the path of its package and the place of its methods.
const FIELD: u64 = 24;
const METHOD: u64 = 16;
const PARAMETER: u64 = 8;
const APPENDIX: u64 = 16;

/// `abi.TFlag`
mod flag {
    pub(super) const APPENDIX: u8 = 1 << 0;
    /// The text is that of the pointer to this type.
    pub(super) const EXTRA_STAR: u8 = 1 << 1;
    pub(super) const NAMED: u8 = 1 << 2;
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

/// What a method takes and gives, without its receiver.
#[derive(Debug, Clone)]
pub struct Signature<'b> {
    pub params: Vec<Type<'b>>,
    pub results: Vec<Type<'b>>,
    /// The last parameter is written with `...`: here it is the slice that the method sees.
    pub variadic: bool,
}

impl<'b> Type<'b> {
    pub(super) fn at(space: Space<'b>, address: u64) -> Result<Self, Unreadable> {
        let head = space.head(address)?;
        Ok(Self { space, head })
    }

    /// The linker's virtual address of the type: with the process's bias, the word by which an `any` names
    /// what it holds.
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

    #[must_use]
    pub fn is_named(&self) -> bool {
        self.has(flag::NAMED)
    }

    /// The full name of a named type or of the pointer to one, with the path of the package; of another type,
    /// its Go notation with short package names. A named map has but its short name: what its description
    /// consists of has changed with Go 1.24, and none is looked up.
    pub fn name(&self) -> Result<String, Unreadable> {
        let element = match self.kind() {
            Kind::Pointer if !self.is_named() => self.element()?,
            _ => None,
        };
        match element.filter(Self::is_named) {
            Some(element) => Ok(format!("*{}", element.own_name()?)),
            None => self.own_name(),
        }
    }

    fn own_name(&self) -> Result<String, Unreadable> {
        let mut text = self.space.name(self.space.address(self.head.text))?.text;
        if self.has(flag::EXTRA_STAR) && text.starts_with('*') {
            text.remove(0);
        }
        if !self.is_named() {
            return Ok(text);
        }
        let Some(package) = self.package()? else {
            return Ok(text);
        };
        // Type arguments come with the paths of their packages, and so with dots.
        let plain = text.find('[').unwrap_or(text.len());
        let own = text[..plain].rfind('.').map_or(0, |dot| dot + 1);
        Ok(format!("{package}.{}", &text[own..]))
    }

    /// What a pointer points to, and what an array, a slice or a channel consists of.
    pub fn element(&self) -> Result<Option<Self>, Unreadable> {
        match self.kind() {
            Kind::Pointer | Kind::Array | Kind::Slice | Kind::Chan => {
                self.behind(self.head.address + HEAD).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// How many elements an array has.
    pub fn length(&self) -> Result<Option<u64>, Unreadable> {
        match self.kind() {
            Kind::Array => self.own_word(16).map(Some),
            _ => Ok(None),
        }
    }

    /// The field of a struct by its name; an embedded one has the name of its type, and its own fields are
    /// reached through it.
    pub fn field(&self, name: &str) -> Result<Option<Field<'b>>, Unreadable> {
        for place in self.field_places()? {
            let own = self.field_name(place)?;
            if own.text == name {
                return self.field_at(place, own).map(Some);
            }
        }
        Ok(None)
    }

    /// All fields of a struct, in order; of another type, none.
    pub fn fields(&self) -> Result<Vec<Field<'b>>, Unreadable> {
        let places = self.field_places()?;
        places
            .map(|place| self.field_at(place, self.field_name(place)?))
            .collect()
    }

    /// The signature of a method of a named type, or of the pointer to one. None too if the linker has
    /// dropped it: it keeps those that may be called through an interface.
    pub fn method(&self, name: &str) -> Result<Option<Signature<'b>>, Unreadable> {
        let Some(appendix) = self.appendix() else {
            return Ok(None);
        };
        let count = u64::from(self.half(appendix + 4)?);
        let first = appendix + u64::from(self.quarter(appendix + 8)?);
        for nth in 0..count {
            let place = first + nth * METHOD;
            let own = self.space.name(self.space.address(self.quarter(place)?))?;
            if own.text == name {
                return match self.quarter(place + 4)? {
                    0 | u32::MAX => Ok(None),
                    kept => Self::at(self.space, self.space.address(kept))?.signature(),
                };
            }
        }
        Ok(None)
    }

    /// The pointer to this type.
    pub(super) fn pointer(&self) -> Result<Option<Self>, Unreadable> {
        if self.head.pointer == 0 {
            return Ok(None);
        }
        let pointer = Self::at(self.space, self.space.address(self.head.pointer))?;
        let element = pointer.element()?.map(|element| element.address());
        Ok((element == Some(self.address())).then_some(pointer))
    }

    fn signature(&self) -> Result<Option<Signature<'b>>, Unreadable> {
        if self.kind() != Kind::Func {
            return Ok(None);
        }
        let inputs = self.half(self.head.address + HEAD)?;
        let outputs = self.half(self.head.address + HEAD + 2)?;
        let (variadic, outputs) = (outputs >> 15 == 1, outputs & 0x7fff);
        if inputs > MAX_PARAMETERS || outputs > MAX_PARAMETERS {
            return Err(Unreadable::Corrupt("the number of a method's parameters"));
        }
        let appendix = if self.has(flag::APPENDIX) { APPENDIX } else { 0 };
        let first = self.head.address + HEAD + 8 + appendix;
        let all = (0..u64::from(inputs + outputs)).map(|nth| self.behind(first + nth * PARAMETER));
        let mut params = all.collect::<Result<Vec<_>, _>>()?;
        let results = params.split_off(usize::from(inputs));
        Ok(Some(Signature {
            params,
            results,
            variadic,
        }))
    }

    fn field_places(&self) -> Result<impl Iterator<Item = u64> + use<>, Unreadable> {
        let (first, count) = match self.kind() {
            Kind::Struct => (self.own_word(8)?, self.own_word(16)?),
            _ => (self.head.address, 0),
        };
        if count > MAX_FIELDS {
            return Err(Unreadable::Corrupt("the number of a struct's fields"));
        }
        self.space.check(first)?;
        Ok((0..count).map(move |nth| first + nth * FIELD))
    }

    fn field_name(&self, place: u64) -> Result<Name, Unreadable> {
        self.space.name(self.space.image.word(place)?)
    }

    fn field_at(&self, place: u64, name: Name) -> Result<Field<'b>, Unreadable> {
        Ok(Field {
            name: name.text.into(),
            ty: self.behind(place + 8)?,
            offset: self.space.image.word(place + 16)?,
            embedded: name.embedded,
        })
    }

    /// The path of the package of a named type; none of those that the language itself has.
    fn package(&self) -> Result<Option<String>, Unreadable> {
        let Some(appendix) = self.appendix() else {
            return Ok(None);
        };
        match self.quarter(appendix)? {
            0 => Ok(None),
            package => Ok(Some(self.space.name(self.space.address(package))?.text)),
        }
    }

    /// It lies behind what the types of this kind consist of.
    fn appendix(&self) -> Option<u64> {
        let own = match self.kind() {
            Kind::Pointer | Kind::Slice | Kind::Func => 8,
            Kind::Chan => 16,
            Kind::Array => 24,
            Kind::Struct | Kind::Interface => 32,
            Kind::Map => return None,
            _ => 0,
        };
        self.has(flag::APPENDIX).then_some(self.head.address + HEAD + own)
    }

    fn has(&self, flag: u8) -> bool {
        self.head.flags & flag != 0
    }

    /// The type that the pointer at this place points to.
    fn behind(&self, place: u64) -> Result<Self, Unreadable> {
        Self::at(self.space, self.space.image.word(place)?)
    }

    /// A word behind the head.
    fn own_word(&self, distance: u64) -> Result<u64, Unreadable> {
        self.space.image.word(self.head.address + HEAD + distance)
    }

    fn quarter(&self, place: u64) -> Result<u32, Unreadable> {
        self.space.image.array(place).map(u32::from_le_bytes)
    }

    fn half(&self, place: u64) -> Result<u16, Unreadable> {
        self.space.image.array(place).map(u16::from_le_bytes)
    }
}
