//! With what and from what the executable was built, as `go version -m` prints it.
//!
//! In: the image. Out: the Go version and the modules, from the text that Go's linker puts at the start of
//! the writable memory: <https://github.com/golang/go/blob/go1.26.0/src/debug/buildinfo/buildinfo.go>

use super::{
    Unreadable,
    image::{Image, Within},
};

pub(super) const SECTION: &str = ".go.buildinfo";

const MAGIC: &[u8; 14] = b"\xff Go buildinf:";
/// The texts follow the header in place: since Go 1.18.
const INLINE: u8 = 2;
const HEADER: u64 = 32;
/// Longer texts are not read; kube-apiserver's has 12 KiB.
const MAX_TEXT: u64 = 256 << 10;
/// What the list of modules is set in.
const FRAME: usize = 16;
const TRIES: usize = 16;

/// What an executable says about its build; empty where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// As `runtime.Version()` gives it: `go1.26.8`.
    pub go: String,
    /// Lines of fields set apart by tabs.
    modules: String,
}

/// A module and its version as required; what a `replace` put in its stead is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module<'a> {
    pub path: &'a str,
    pub version: &'a str,
}

impl Build {
    /// The module of the main package.
    #[must_use]
    pub fn main(&self) -> Option<Module<'_>> {
        self.lines()
            .find(|(kind, _)| *kind == "mod")
            .map(|(_, module)| module)
    }

    /// The modules that it depends on, by path.
    pub fn dependencies(&self) -> impl Iterator<Item = Module<'_>> {
        self.lines()
            .filter(|(kind, _)| *kind == "dep")
            .map(|(_, module)| module)
    }

    fn lines(&self) -> impl Iterator<Item = (&str, Module<'_>)> {
        self.modules.lines().filter_map(|line| {
            let mut fields = line.split('\t');
            let (kind, path) = (fields.next()?, fields.next()?);
            let version = fields.next().unwrap_or_default();
            Some((kind, Module { path, version }))
        })
    }

    pub(super) fn read(image: &Image) -> Result<Self, Unreadable> {
        let named = image.section(SECTION);
        let begins = |place: u64| {
            image
                .array::<16>(place)
                .is_ok_and(|header| header.starts_with(MAGIC) && header[15] & INLINE != 0)
        };
        let place = if let Some(place) = named.filter(|&place| begins(place)) {
            Some(place)
        } else {
            let places = image.find(&[first_word()], Within::Writable, TRIES)?;
            places.into_iter().find(|&place| begins(place))
        };
        let Some(place) = place else {
            return Ok(Self::default());
        };
        let (go, next) = text(image, place + HEADER)?;
        let (modules, _) = text(image, next)?;
        let modules = modules
            .get(FRAME..modules.len().saturating_sub(FRAME))
            .unwrap_or_default();
        Ok(Self {
            go: String::from_utf8_lossy(&go).into_owned(),
            modules: String::from_utf8_lossy(modules).into_owned(),
        })
    }
}

fn first_word() -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&MAGIC[..8]);
    u64::from_le_bytes(word)
}

/// A text with its length before it, and where it ends.
fn text(image: &Image, place: u64) -> Result<(Vec<u8>, u64), Unreadable> {
    let (length, place) = super::varint(image, place)?;
    if length > MAX_TEXT {
        return Err(Unreadable::Large {
            what: "its build information",
            size: length,
            limit: MAX_TEXT,
        });
    }
    let mut text = vec![0; super::pages::index(length)];
    image.read(place, &mut text)?;
    Ok((text, place + length))
}
