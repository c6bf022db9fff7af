//! The parameters and results of a Go function, and the registers that carry them.
//!
//! In: a list as the catalogue writes it, `ctx context.Context, pod *k8s.io/api/core/v1.Pod`. Out: for each
//! name its type and its place by Go's `ABIInternal`, which assigns registers in the order of the list: a value
//! whose parts do not all fit goes to the stack as a whole, and later ones may still fit.
//! <https://go.googlesource.com/go/+/refs/tags/go1.26.0/src/cmd/compile/abi-internal.md>

use super::binary::Arch;

/// One type, as far as places and captures depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// One integer register: an integer, a map, a channel, a function, a pointer to nothing of interest.
    Word,
    /// One integer register, of which less than eight bytes are used: a bool, a short integer.
    Small,
    Float,
    /// A pointer to a value of the named type.
    Pointer(Box<str>),
    String,
    /// A slice of values of the named type, or of pointers to them.
    Slice(Box<str>),
    Interface,
    /// An interface that is known to hold a pointer to the named type.
    Holding(Box<str>),
    /// A struct by value, laid out as the executable says.
    Struct(Box<str>),
}

/// A parameter or a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: Box<str>,
    pub ty: Type,
}

/// Where a value is when the function is entered, or when it has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first of its integer registers, as its number in the order of assignment.
    Register(u8),
    /// Only in floating-point registers, or in none because it is empty.
    NoRegister,
    /// More than the registers left could hold: so far above the return address, if that is known.
    Stack(Option<i32>),
}

/// What a value needs of the registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub integers: u8,
    pub floats: u8,
    /// An array of two or more elements is never in registers.
    pub only_stack: bool,
    /// What it takes on the stack; unknown where its neighbours may share eight bytes with it.
    pub bytes: Option<u32>,
}

/// Why a list is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    #[error("`{0}` is not `name type`")]
    NotAPair(Box<str>),
    #[error(
        "`{0}` is not a type that is known here: write *T, string, []T, map, chan, func, error, any, any(*T), \
             context.Context, interface, struct T, a number type or bool"
    )]
    UnknownType(Box<str>),
    #[error("`{0}` is named twice")]
    Twice(Box<str>),
}

/// Reads a list of `name type`, separated by commas.
pub fn parse(list: &str) -> Result<Vec<Variable>, Misread> {
    let mut variables: Vec<Variable> = Vec::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, ty) = item
            .split_once(' ')
            .ok_or_else(|| Misread::NotAPair(item.into()))?;
        if variables.iter().any(|known| &*known.name == name) {
            return Err(Misread::Twice(name.into()));
        }
        variables.push(Variable {
            name: name.into(),
            ty: parse_type(ty.trim())?,
        });
    }
    Ok(variables)
}

fn parse_type(text: &str) -> Result<Type, Misread> {
    if let Some(name) = text.strip_prefix('*') {
        return Ok(if name == "_" {
            Type::Word
        } else {
            Type::Pointer(name.into())
        });
    }
    if let Some(element) = text.strip_prefix("[]") {
        return Ok(Type::Slice(element.into()));
    }
    if let Some(name) = text.strip_prefix("any(*").and_then(|rest| rest.strip_suffix(')')) {
        return Ok(Type::Holding(name.into()));
    }
    if let Some(name) = text.strip_prefix("struct ") {
        return Ok(Type::Struct(name.trim().into()));
    }
    match text {
        "string" => Ok(Type::String),
        "error" | "any" | "interface" | "context.Context" => Ok(Type::Interface),
        "float32" | "float64" => Ok(Type::Float),
        "map" | "chan" | "func" | "int" | "int64" | "uint" | "uint64" | "uintptr" => Ok(Type::Word),
        "bool" | "byte" | "rune" | "int8" | "int16" | "int32" | "uint8" | "uint16" | "uint32" => {
            Ok(Type::Small)
        }
        other => Err(Misread::UnknownType(other.into())),
    }
}

impl Type {
    /// What a value of this type needs, where that does not depend on the executable.
    #[must_use]
    pub fn parts(&self) -> Option<Parts> {
        let (integers, floats, bytes) = match self {
            Self::Word | Self::Pointer(_) => (1, 0, Some(8)),
            Self::Small => (1, 0, None),
            Self::String | Self::Interface | Self::Holding(_) => (2, 0, Some(16)),
            Self::Slice(_) => (3, 0, Some(24)),
            Self::Float => (0, 1, None),
            Self::Struct(_) => return None,
        };
        Some(Parts {
            integers,
            floats,
            only_stack: false,
            bytes,
        })
    }
}

/// Gives every value of the list its place, in order.
///
/// `parts` must come from [`Type::parts`], or for a struct from the executable.
pub fn places(arch: Arch, parts: impl IntoIterator<Item = Parts>) -> Vec<Place> {
    let (integers, floats) = match arch {
        Arch::Amd64 => (9, 15),
        Arch::Arm64 => (16, 16),
    };
    let (mut integer, mut float) = (0_u8, 0_u8);
    let mut stack = Some(0_i32);
    let place = |value: Parts| {
        let after = (
            integer.saturating_add(value.integers),
            float.saturating_add(value.floats),
        );
        if value.only_stack || after.0 > integers || after.1 > floats {
            let place = Place::Stack(stack);
            let bytes = value.bytes.and_then(|bytes| i32::try_from(bytes).ok());
            stack = stack
                .zip(bytes)
                .and_then(|(before, bytes)| before.checked_add(bytes));
            return place;
        }
        let place = if value.integers > 0 {
            Place::Register(integer)
        } else {
            Place::NoRegister
        };
        (integer, float) = after;
        place
    };
    parts.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arch: Arch, list: &str, expected: &[Place]) {
        let variables = parse(list).unwrap();
        let parts = variables.iter().map(|variable| {
            // The only struct of these tests has three words.
            variable.ty.parts().unwrap_or(Parts {
                integers: 3,
                ..Parts::default()
            })
        });
        assert_eq!(places(arch, parts), expected);
    }

    #[test]
    fn parameters_fill_the_registers_in_order() {
        check(
            Arch::Amd64,
            "kl *_, ctx context.Context, updateType int, pod *k8s.io/api/core/v1.Pod",
            &[0, 1, 3, 4].map(Place::Register),
        );
    }

    #[test]
    fn a_value_that_does_not_fit_goes_to_the_stack_whole_and_the_next_may_still_fit() {
        // bindingCycle: ScheduleResult is a struct by value.
        check(
            Arch::Amd64,
            "sched *_, ctx context.Context, state interface, fwk interface, result struct T, pod *P",
            &[
                Place::Register(0),
                Place::Register(1),
                Place::Register(3),
                Place::Register(5),
                Place::Stack(Some(0)),
                Place::Register(7),
            ],
        );
        check(
            Arch::Arm64,
            "sched *_, ctx context.Context, state interface, fwk interface, result struct T, pod *P",
            &[0, 1, 3, 5, 7, 10].map(Place::Register),
        );
    }

    #[test]
    fn what_lies_on_the_stack_is_known_up_to_the_first_value_that_may_share_its_place() {
        check(
            Arch::Amd64,
            "a []T, b []T, c []T, d *T, e string, f bool, g *T",
            &[
                Place::Register(0),
                Place::Register(3),
                Place::Register(6),
                Place::Stack(Some(0)),
                Place::Stack(Some(8)),
                Place::Stack(Some(24)),
                Place::Stack(None),
            ],
        );
    }

    #[test]
    fn floats_have_registers_of_their_own() {
        check(
            Arch::Amd64,
            "a int, b float64, c string",
            &[Place::Register(0), Place::NoRegister, Place::Register(1)],
        );
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_reason() {
        assert_eq!(parse("pod"), Err(Misread::NotAPair("pod".into())));
        assert_eq!(parse("a int, a int"), Err(Misread::Twice("a".into())));
        assert_eq!(parse("x v1.Pod"), Err(Misread::UnknownType("v1.Pod".into())));
        assert_eq!(parse("any any(*T)").unwrap()[0].ty, Type::Holding("T".into()));
    }
}
