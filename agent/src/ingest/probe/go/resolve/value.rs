//! A path of the catalogue as the reads that lead to its value.
//!
//! In: a variable, its place and a path of fields. Out: a [`Value`]: which word to start from, which pointers to
//! follow, and what lies at the end, with every offset from the executable's own types.

use abi::go_call::{self, Capture, Source, kind};

use super::super::{
    binary::{self, Kind, TypeTable},
    catalogue::{Path, Step},
    signature::{self, Place, Variable},
};

/// Where a value is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) place: Place,
    /// Which word of the variable to start from.
    pub(super) word: u8,
    kind: u8,
    steps: Vec<i32>,
    last: i32,
}

impl Value {
    /// Follows a path; the error says where it leads nowhere.
    pub(super) fn find(
        types: &TypeTable<'_>,
        variable: &Variable,
        place: Place,
        path: &Path,
    ) -> Result<Self, String> {
        if matches!(place, Place::Stack(None) | Place::NoRegister) {
            return Err("where it is passed is not known".to_owned());
        }
        let (name, word) = match &variable.ty {
            signature::Type::String if path.steps.is_empty() => {
                return Ok(Self {
                    place,
                    word: 0,
                    kind: kind::PAIR,
                    steps: Vec::new(),
                    last: 0,
                });
            }
            signature::Type::Pointer(name) => (name, 0),
            signature::Type::Holding(name) => (name, 1),
            signature::Type::Slice(name) if path.steps.first() == Some(&Step::First) => (name, 0),
            other => return Err(format!("{other:?} has no fields here")),
        };
        let mut way = Way {
            ty: lookup(types, name)?,
            steps: Vec::new(),
            offset: 0,
        };
        for (index, step) in path.steps.iter().enumerate() {
            match step {
                // The word of a slice points to its first element.
                Step::First if index == 0 && matches!(variable.ty, signature::Type::Slice(_)) => {}
                step => way.take(step)?,
            }
        }
        if !is_text(&way.ty)? {
            return Err(format!("{} is no string", way.name()));
        }
        if way.steps.len() > go_call::STEPS {
            return Err(format!(
                "it takes {} pointers, more than {}",
                way.steps.len(),
                go_call::STEPS
            ));
        }
        Ok(Self {
            place,
            word,
            kind: kind::TEXT,
            steps: way.steps,
            last: way.offset,
        })
    }

    /// Is it a string whose two words are the variable itself?
    pub(super) fn is_pair(&self) -> bool {
        self.kind == kind::PAIR
    }

    /// The reads, where `source` says where each word of the variable is.
    pub(super) fn capture(&self, source: impl Fn(u8) -> Source) -> Capture {
        let mut steps = [0; go_call::STEPS];
        for (to, from) in steps.iter_mut().zip(&self.steps) {
            *to = *from;
        }
        Capture {
            from: source(self.word),
            length: if self.is_pair() {
                source(self.word + 1)
            } else {
                Source::NONE
            },
            kind: self.kind,
            hops: u8::try_from(self.steps.len()).unwrap_or(u8::MAX),
            unused: [0; 2],
            last: self.last,
            steps,
        }
    }
}

/// How far a path has been followed.
struct Way<'b> {
    /// What lies at `offset` behind the last pointer.
    ty: binary::Type<'b>,
    steps: Vec<i32>,
    offset: i32,
}

impl Way<'_> {
    fn take(&mut self, step: &Step) -> Result<(), String> {
        if self.ty.kind() == Kind::Pointer {
            self.follow()?;
        }
        match step {
            Step::Field(name) => {
                let field = self.ty.field(name).map_err(|error| error.to_string())?;
                let field = field.ok_or_else(|| format!("{} has no field {name}", self.name()))?;
                self.offset = i32::try_from(field.offset)
                    .ok()
                    .and_then(|offset| self.offset.checked_add(offset))
                    .ok_or_else(|| format!("{name} lies too far"))?;
                self.ty = field.ty;
            }
            Step::First if self.ty.kind() == Kind::Slice => self.follow()?,
            Step::First => return Err(format!("{} is no slice", self.name())),
        }
        Ok(())
    }

    /// Goes behind the pointer that lies here: a slice begins with one.
    fn follow(&mut self) -> Result<(), String> {
        let element = self.ty.element().map_err(|error| error.to_string())?;
        self.ty = element.ok_or_else(|| format!("{} points nowhere", self.name()))?;
        self.steps.push(std::mem::take(&mut self.offset));
        Ok(())
    }

    fn name(&self) -> String {
        self.ty.name().unwrap_or_else(|error| error.to_string())
    }
}

fn lookup<'b>(types: &TypeTable<'b>, name: &str) -> Result<binary::Type<'b>, String> {
    match types.named(name) {
        Ok(Some(ty)) => Ok(ty),
        Ok(None) => Err(format!("the executable has no type {name}")),
        Err(error) => Err(error.to_string()),
    }
}

/// A string, or a slice of bytes.
fn is_text(ty: &binary::Type<'_>) -> Result<bool, String> {
    match ty.kind() {
        Kind::String => Ok(true),
        Kind::Slice => {
            let element = ty.element().map_err(|error| error.to_string())?;
            Ok(element.is_some_and(|element| element.kind() == Kind::Integer && element.size() == 1))
        }
        _ => Ok(false),
    }
}
