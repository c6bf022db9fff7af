//! What a Go executable says about itself: its functions, the layouts of its types, and its build.
//!
//! In: an open file, of which nothing is believed. Out: addresses, offsets and names. Nothing here needs a
//! symbol table or debug information: what is read is what Go's runtime itself needs, and so is in every
//! stripped executable. Go 1.20 to 1.26 on amd64 and arm64 are known, linked in any way. Must not know
//! processes or eBPF.
//!
//! Invariant: whatever the file holds, nothing panics, loops are bounded by its length, and memory by the
//! limits named beside what they limit.

use std::{collections::HashSet, fs::File, io};

use bytes::Bytes;

mod build;
mod functions;
mod image;
mod module;
#[doc(hidden)]
pub mod oracle;
mod pages;
mod rtti;

pub use self::{
    build::{Build, Module as Dependency},
    functions::{Function, Functions},
    rtti::{Field, Kind, Signature, Type, TypeTable},
};
use self::{image::Image, module::Module};

/// The longest code of one function that is read; the longest of Kubernetes that are probed have 15 KiB.
const MAX_CODE: u64 = 256 << 10;

/// An instruction set that probes are known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    Amd64,
    Arm64,
}

/// Why an executable, or a part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("{length} bytes at {offset:#x} cannot be read")]
    Io {
        offset: u64,
        length: usize,
        #[source]
        source: io::Error,
    },
    #[error("it is not a 64-bit ELF executable")]
    NotElf(#[source] object::read::Error),
    #[error("it is a big-endian executable")]
    BigEndian,
    #[error("its instruction set has number {0} in ELF: only amd64 (62) and arm64 (183) are known")]
    Architecture(u16),
    #[error("it is not a Go executable")]
    NotGo,
    #[error("it was built by {0}, and has no table of functions as Go 1.20 and later write it")]
    Unsupported(String),
    #[error("{0} is not as Go's linker writes it")]
    Corrupt(&'static str),
    #[error("{what} has {size} bytes: no more than {limit} are read")]
    Large {
        what: &'static str,
        size: u64,
        limit: u64,
    },
}

/// A Go executable.
#[derive(Debug)]
pub struct Binary {
    image: Image,
    module: Module,
    build: Build,
}

impl Binary {
    /// Finds the tables of an executable. What is read is the file that was opened, also when another has
    /// taken its name since.
    pub fn open(file: File) -> Result<Self, Unreadable> {
        let [functions, relocated, described] = module::SECTIONS;
        let image = Image::open(file, &[functions, relocated, described, build::SECTION])?;
        let build = Build::read(&image)?;
        match Module::find(&image)? {
            Some(module) => Ok(Self { image, module, build }),
            None if build.go.is_empty() => Err(Unreadable::NotGo),
            None => Err(Unreadable::Unsupported(build.go)),
        }
    }

    #[must_use]
    pub fn arch(&self) -> Arch {
        self.image.arch
    }

    /// The linker's address of the program headers. A process says where they really are (`AT_PHDR`), and so what
    /// bias it adds to every address.
    #[must_use]
    pub fn headers_address(&self) -> Option<u64> {
        self.image.headers_address()
    }

    #[must_use]
    pub fn build(&self) -> &Build {
        &self.build
    }

    /// Finds the functions of these names: all at once, as it goes through the whole table for them.
    pub fn functions(&self, names: &HashSet<&str>) -> Result<Functions, Unreadable> {
        Functions::find(&self.image, &self.module, names)
    }

    /// The machine code of a function of this executable.
    pub fn code(&self, function: &Function) -> Result<Bytes, Unreadable> {
        if function.size > MAX_CODE {
            return Err(Unreadable::Large {
                what: "the code of a function",
                size: function.size,
                limit: MAX_CODE,
            });
        }
        let mut code = vec![0; pages::index(function.size)];
        self.image.read(function.entry, &mut code)?;
        Ok(code.into())
    }

    /// Makes the types ready to be looked up by name: it goes through all of them.
    pub fn types(&self) -> Result<TypeTable<'_>, Unreadable> {
        match &self.module.rtti {
            Some(rtti) => TypeTable::read(&self.image, rtti),
            None => Err(Unreadable::Corrupt("the description of its types")),
        }
    }
}

/// A number in groups of seven bits, as Go writes lengths, and where it ends.
fn varint(image: &Image, place: u64) -> Result<(u64, u64), Unreadable> {
    let mut number = 0;
    for nth in 0..5 {
        let [byte] = image.array(place + nth)?;
        number |= u64::from(byte & 0x7f) << (7 * nth);
        if byte & 0x80 == 0 {
            return Ok((number, place + nth + 1));
        }
    }
    Err(Unreadable::Corrupt("a length"))
}
