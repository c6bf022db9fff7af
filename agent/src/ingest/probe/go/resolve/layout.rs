//! What the executable's own types say: how a struct is passed, whether a signature is right, and where a context
//! keeps the native span.

use abi::go_call;

use super::{
    super::{
        binary::{Kind, Type, TypeTable, Unreadable},
        catalogue::Variant,
        signature::{self, Parts},
    },
    Why,
};

/// Structs within structs that are followed; a struct of more levels goes to the stack anyway.
const MAX_DEPTH: u8 = 8;

/// What a struct by value needs of the registers.
pub(super) fn parts(types: &TypeTable<'_>, name: &str) -> Result<Parts, String> {
    let ty = types.named(name).map_err(|error| error.to_string())?;
    let ty = ty.ok_or_else(|| format!("the executable has no type {name}"))?;
    let mut parts = Parts {
        bytes: u32::try_from(ty.size())
            .ok()
            .filter(|bytes| bytes.is_multiple_of(8)),
        ..Parts::default()
    };
    add(&ty, &mut parts, MAX_DEPTH).map_err(|error| error.to_string())?;
    Ok(parts)
}

fn add(ty: &Type<'_>, parts: &mut Parts, depth: u8) -> Result<(), Unreadable> {
    let integers = match ty.kind() {
        Kind::Bool
        | Kind::Integer
        | Kind::Chan
        | Kind::Func
        | Kind::Map
        | Kind::Pointer
        | Kind::UnsafePointer => 1,
        Kind::String | Kind::Interface => 2,
        Kind::Slice => 3,
        Kind::Float => {
            parts.floats = parts.floats.saturating_add(1);
            0
        }
        Kind::Complex => {
            parts.floats = parts.floats.saturating_add(2);
            0
        }
        // Only arrays of none or one element are in registers; none of the catalogue has one.
        Kind::Array => {
            parts.only_stack |= ty.size() > 0;
            0
        }
        Kind::Struct => {
            let fields = if depth > 0 { ty.fields()? } else { Vec::new() };
            parts.only_stack |= depth == 0;
            for field in fields {
                add(&field.ty, parts, depth.saturating_sub(1))?;
            }
            0
        }
    };
    parts.integers = parts.integers.saturating_add(integers);
    Ok(())
}

/// Refuses a form of a method whose parameters or results the executable describes otherwise.
///
/// The linker keeps the description of methods that are called through interfaces; of others nothing is known here,
/// and the shapes of what is captured must tell.
pub(super) fn confirm(types: &TypeTable<'_>, variant: &Variant) -> Result<(), Why> {
    let Some((receiver, method)) = receiver(&variant.symbol) else {
        return Ok(());
    };
    let Some(signature) = types
        .named(&receiver)?
        .map(|ty| ty.method(method))
        .transpose()?
        .flatten()
    else {
        return Ok(());
    };
    // The receiver comes first in the catalogue, and what no capture needs may be left out at the end.
    let params = variant.params.iter().skip(1).map(|variable| &variable.ty);
    let results = variant.results.iter().map(|variable| &variable.ty);
    let differs = if params.len() > signature.params.len() || results.len() > signature.results.len() {
        Some("it has fewer parameters or results".to_owned())
    } else if !variant.results.is_empty() && variant.results.len() != signature.results.len() {
        Some(format!("it has {} results", signature.results.len()))
    } else {
        let pairs = params
            .zip(&signature.params)
            .chain(results.zip(&signature.results));
        let mut unlike = pairs.filter(|(written, found)| !is_like(written, found));
        unlike
            .next()
            .map(|(written, found)| format!("{written:?} is {}", found.name().unwrap_or_default()))
    };
    differs.map_or(Ok(()), |differs| {
        Err(Why::Signature {
            symbol: variant.symbol.clone(),
            differs: differs.into(),
        })
    })
}

/// `a/b.(*T).M` is the method `M` of `*a/b.T`.
fn receiver(symbol: &str) -> Option<(String, &str)> {
    let (package, rest) = symbol.split_once(".(*")?;
    let (name, method) = rest.split_once(").")?;
    (!method.contains('.')).then(|| (format!("*{package}.{name}"), method))
}

/// May a parameter that is written so be of this type?
fn is_like(written: &signature::Type, found: &Type<'_>) -> bool {
    match written {
        signature::Type::Word | signature::Type::Small => matches!(
            found.kind(),
            Kind::Bool
                | Kind::Integer
                | Kind::Chan
                | Kind::Func
                | Kind::Map
                | Kind::Pointer
                | Kind::UnsafePointer
        ),
        signature::Type::Float => found.kind() == Kind::Float,
        signature::Type::Pointer(name) => {
            let element = found.element().ok().flatten();
            found.kind() == Kind::Pointer
                && element.is_some_and(|element| element.name().is_ok_and(|found| *found == **name))
        }
        signature::Type::String => found.kind() == Kind::String,
        signature::Type::Slice(_) => found.kind() == Kind::Slice,
        signature::Type::Interface | signature::Type::Holding(_) => found.kind() == Kind::Interface,
        signature::Type::Struct(_) => found.kind() == Kind::Struct,
    }
}

/// Types that a context may hold as its native span, as it holds them, each with the field that is the `SpanContext`.
const SPANS: [(&str, &str); go_call::SPAN_TYPES] = [
    ("*go.opentelemetry.io/otel/sdk/trace.recordingSpan", "spanContext"),
    ("go.opentelemetry.io/otel/sdk/trace.nonRecordingSpan", "sc"),
    ("go.opentelemetry.io/otel/trace.nonRecordingSpan", "sc"),
];

/// Those of them that the executable has.
pub(super) fn span_types(types: &TypeTable<'_>) -> Result<Vec<(u64, u32)>, Unreadable> {
    let mut found = Vec::new();
    for (name, field) in SPANS {
        let Some(held) = types.named(name)? else { continue };
        let span = if held.kind() == Kind::Pointer {
            held.element()?
        } else {
            Some(held)
        };
        let Some(field) = span.map(|span| span.field(field)).transpose()?.flatten() else {
            continue;
        };
        if let Ok(offset) = u32::try_from(field.offset) {
            found.push((held.address(), offset));
        }
    }
    Ok(found)
}
