//! A document read into a type by serde, all of it: a fault in one place hides no other.
//!
//! A text becomes what the type asks for there (a number, a switch, one of several words). serde stops at
//! the first fault, so the place of each is marked in the document, passed over, and reading starts again.

use std::fmt;

use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        Visitor, value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

use super::{
    document::{Node, Path, Step, Value},
    fault::{Fault, Origin},
};

/// Faults after which reading ends: by then the file is something else than a configuration.
const MAX_FAULTS: usize = 100;

/// Reads a document; what is faulty in it is left at its default.
pub(super) fn read<T>(document: &mut Node, faults: &mut Vec<Fault>) -> T
where
    T: for<'de> Deserialize<'de> + Default,
{
    loop {
        let fault = match T::deserialize(&*document) {
            Ok(value) => return value,
            Err(fault) => fault,
        };
        let path = Path(fault.steps.into_iter().rev().collect());
        let origin = document.at_mut(&path).map(|node| {
            node.value = Value::Faulty;
            node.origin.clone()
        });
        let lost = origin.is_none() || path.0.is_empty();
        faults.push(Fault {
            origin: origin.unwrap_or(Origin::Nowhere),
            path: path.to_string(),
            reason: fault.reason,
        });
        if lost || faults.len() >= MAX_FAULTS {
            return T::default();
        }
    }
}

/// What serde found wrong, and the way there, innermost step first.
#[derive(Debug)]
pub(super) struct ReadError {
    steps: Vec<Step>,
    reason: String,
}

impl ReadError {
    fn new(reason: impl Into<String>) -> Self {
        Self {
            steps: Vec::new(),
            reason: reason.into(),
        }
    }

    fn below(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn not_among(what: &str, found: &str, expected: &[&str]) -> Self {
        let nearest = expected.iter().map(|word| (distance(found, word), word)).min();
        match nearest {
            Some((far, word)) if far <= word.len() / 3 + 1 => {
                Self::new(format!("{what}: did you mean `{word}`?"))
            }
            _ => Self::new(format!("{what}: expected one of {}", expected.join(", "))),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::new(reason.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Seq => "a list",
            Unexpected::Map => "a section",
            Unexpected::Unit | Unexpected::Option => "nothing",
            _ => "text",
        };
        // serde's words for what a document has.
        let expected = match expected.to_string() {
            words if words.starts_with("struct ") || words == "a map" => "a section".to_owned(),
            words if words == "a sequence" => "a list".to_owned(),
            words if words == "a string" => "text".to_owned(),
            words => words,
        };
        Self::new(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}"))
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        Self::not_among("is no setting here", found, expected)
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::not_among("is no choice here", found, expected)
    }
}

/// Edits between two words (Levenshtein), for hints; what is far too long is just far.
fn distance(left: &str, right: &str) -> usize {
    const LONGEST: usize = 64;
    if left.len() > LONGEST {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, one) in left.bytes().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(right.bytes()) {
            let edited = (diagonal + usize::from(one != other))
                .min(before + 1)
                .min(*cell + 1);
            diagonal = std::mem::replace(cell, edited);
            before = edited;
        }
        row[0] = above + 1;
    }
    row[right.len()]
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Null | Value::Faulty => visitor.visit_unit(),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(_) => visitor.visit_seq(Items(self.items())),
            Value::Map(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                value: None,
            }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Text(text) if text == "true" => visitor.visit_bool(true),
            Value::Text(text) if text == "false" => visitor.visit_bool(false),
            _ => Err(ReadError::new("expected true or false")),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Text(text) if let Ok(number) = text.parse() => visitor.visit_u64(number),
            _ => Err(ReadError::new("expected a whole number")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A section without entries is written as nothing: `tls:`.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Null => visitor.visit_map(Entries {
                rest: [].iter(),
                value: None,
            }),
            _ => self.deserialize_any(visitor),
        }
    }

    /// So is a list without items.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Null => visitor.visit_seq(Items(self.items())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            // serde would take a list for the fields in their order.
            Value::List(_) => Err(ReadError::new("expected a section, found a list")),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Text(text) => {
                let choice: StrDeserializer<'_, ReadError> = text.as_str().into_deserializer();
                visitor.visit_enum(choice)
            }
            _ => Err(ReadError::new(format!("expected one of {}", choices.join(", ")))),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items<I>(I);

impl<'de, I: Iterator<Item = (usize, &'de Node)>> SeqAccess<'de> for Items<I> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some((index, item)) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(item)
            .map(Some)
            .map_err(|fault| fault.below(Step::Index(index)))
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, (String, Node)>,
    value: Option<&'de (String, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.value = self.rest.find(|(_, node)| !node.is_faulty());
        let Some((key, _)) = self.value else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, ReadError> = key.as_str().into_deserializer();
        seed.deserialize(name)
            .map(Some)
            .map_err(|fault| fault.below(Step::Key(key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some((key, node)) = self.value else {
            return Err(ReadError::new("has a key without a value"));
        };
        seed.deserialize(node)
            .map_err(|fault| fault.below(Step::Key(key.clone())))
    }
}
