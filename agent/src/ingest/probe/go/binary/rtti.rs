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

use self::space::Space;
pub use self::{
    layout::{Field, Signature, Type},
    space::Kind,
};
use super::{Unreadable, image::Image, module::Rtti};

mod layout;
mod space;

/// The named types of an executable, ready to be looked up.
#[derive(Debug)]
pub struct TypeTable<'b> {
    space: Space<'b>,
    /// The hash of a named type's full name and where the type is, ascending.
    named: Vec<(u64, u64)>,
}

impl<'b> TypeTable<'b> {
    pub(super) fn read(image: &'b Image, rtti: &'b Rtti) -> Result<Self, Unreadable> {
        let space = Space { image, rtti };
        let mut named = Vec::new();
        let mut fault = None;
        image.stream(rtti.links.clone(), |_, block| {
            for link in block.chunks_exact(4) {
                let distance = link.try_into().map_or(0, u32::from_le_bytes);
                match Self::pointed_to(space, distance) {
                    Ok(Some((name, address))) => named.push((hash(&name), address)),
                    // A type that is not understood is one that is not found.
                    Ok(None) | Err(Unreadable::Corrupt(_)) => {}
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
            let ty = Type::at(self.space, address)?;
            if ty.name()? == name && found.replace(ty).is_some() {
                return Ok(None);
            }
        }
        Ok(found)
    }

    /// The name and the address of the named type that this one is the pointer to.
    fn pointed_to(space: Space<'b>, distance: u32) -> Result<Option<(String, u64)>, Unreadable> {
        let ty = Type::at(space, space.address(distance))?;
        if ty.kind() != Kind::Pointer {
            return Ok(None);
        }
        match ty.element()?.filter(Type::is_named) {
            Some(element) => Ok(Some((element.name()?, element.address()))),
            None => Ok(None),
        }
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
