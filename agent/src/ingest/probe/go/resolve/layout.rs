//! What the executable's own types say: how a struct is passed, and where a context keeps the native span.

use abi::go_call;

use super::super::{
    binary::{Kind, Type, Types, Unreadable},
    signature::Parts,
};

/// Structs within structs that are followed; a struct of more levels goes to the stack anyway.
const MAX_DEPTH: u8 = 8;

/// What a struct by value needs of the registers.
pub(super) fn parts(types: &Types<'_>, name: &str) -> Result<Parts, String> {
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

/// Types that a context may hold as its native span, as it holds them, each with the field that is the `SpanContext`.
const SPANS: [(&str, &str); go_call::SPAN_TYPES] = [
    ("*go.opentelemetry.io/otel/sdk/trace.recordingSpan", "spanContext"),
    ("go.opentelemetry.io/otel/sdk/trace.nonRecordingSpan", "sc"),
    ("go.opentelemetry.io/otel/trace.nonRecordingSpan", "sc"),
];

/// Those of them that the executable has.
pub(super) fn span_types(types: &Types<'_>) -> Result<Vec<(u64, u32)>, Unreadable> {
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
