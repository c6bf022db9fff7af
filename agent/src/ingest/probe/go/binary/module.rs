//! Where Go's tables are: the runtime's own description of the executable, `moduledata`.
//!
//! In: the image. Out: the text base and the bounds of the tables of functions, of their names and of types.
//!
//! The description is found without symbols, and believed only when all that it says twice agrees with the
//! table of functions: then every address that follows from it is right, and otherwise there is none. Its
//! layout is recognised by what it holds, so no list of Go versions is kept. Go 1.20 to 1.26 are alike but
//! for one word that 1.26 put in:
//! <https://github.com/golang/go/blob/go1.26.0/src/runtime/symtab.go#L408>

use std::ops::Range;

use super::{
    Arch, Unreadable,
    image::{Image, Within},
};

/// Sections that hold the table of functions: the second is its name in position-independent executables
/// that another linker than Go's has finished, before Go 1.26.
const FUNCTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
const MODULE: &str = ".go.module";

pub(super) const SECTIONS: [&str; 3] = [FUNCTIONS[0], FUNCTIONS[1], MODULE];

/// The magic number of Go 1.20 and later.
const MAGIC: u64 = 0xffff_fff1;
/// How many places that look like a beginning are tried.
const TRIES: usize = 16;
/// The most functions and the longest table of names; kube-apiserver has 160 thousand in 17 MB.
const MAX_FUNCTIONS: u64 = 4 << 20;
const MAX_NAMES: u64 = 256 << 20;
/// The most types that are listed; kube-apiserver has 40 thousand.
const MAX_TYPELINKS: u64 = 512 << 10;

/// Words of `moduledata`: a slice takes three, and its length is the second.
mod word {
    pub(super) const HEADER: usize = 0;
    pub(super) const NAMES: usize = 1;
    pub(super) const FUNCTIONS: usize = 13;
    pub(super) const ENTRIES: usize = 16;
    pub(super) const LOWEST: usize = 20;
    pub(super) const HIGHEST: usize = 21;
    pub(super) const TEXT: usize = 22;
    pub(super) const TEXT_END: usize = 23;
    pub(super) const TYPES: usize = 37;
    pub(super) const TYPES_END: usize = 38;
    /// The list of text sections, of which there is one; Go 1.26 has put a word before it.
    pub(super) const TEXT_SECTIONS: [usize; 2] = [41, 42];
    /// How many words are read: up to the end of the list of types, which follows.
    pub(super) const COUNT: usize = 48;
}

#[derive(Debug)]
pub(super) struct Module {
    /// What the entries of functions are counted from.
    pub(super) text: u64,
    /// How many functions there are.
    pub(super) count: u64,
    /// Eight bytes per function: its entry and where its description is; and once more the end of the last.
    pub(super) entries: u64,
    /// The descriptions of functions.
    pub(super) functions: Range<u64>,
    pub(super) names: Range<u64>,
    pub(super) rtti: Option<Rtti>,
}

/// Where the types that a program knows at run time are.
#[derive(Debug, Clone)]
pub(super) struct Rtti {
    pub(super) types: Range<u64>,
    /// Where each unnamed type begins, as four bytes counted from the first type.
    pub(super) links: Range<u64>,
}

impl Module {
    /// The description of the executable itself, or none if it holds no table of functions.
    pub(super) fn find(image: &Image) -> Result<Option<Self>, Unreadable> {
        if let Some(place) = image.section(MODULE)
            && let Ok(module) = Self::read(image, place)
        {
            return Ok(Some(module));
        }
        let named = FUNCTIONS.iter().filter_map(|name| image.section(name));
        let mut headers: Vec<Header> = named
            .filter_map(|place| Header::read(image, place).ok())
            .collect();
        if headers.is_empty() {
            let places = image.find(&[first_word(image.arch)], Within::All, TRIES)?;
            headers.extend(places.iter().filter_map(|&place| Header::read(image, place).ok()));
        }
        let words: Vec<u64> = headers.iter().map(|header| header.address).collect();
        if words.is_empty() {
            return Ok(None);
        }
        let places = image.find(&words, Within::Writable, TRIES)?;
        let mut modules = places.iter().filter_map(|&place| Self::read(image, place).ok());
        modules
            .next()
            .map(Some)
            .ok_or(Unreadable::Corrupt("the description of its table of functions"))
    }

    fn read(image: &Image, place: u64) -> Result<Self, Unreadable> {
        let mut words = [0; word::COUNT];
        for (word, distance) in words.iter_mut().zip((0..).step_by(8)) {
            *word = image.word(place.saturating_add(distance))?;
        }
        let header = Header::read(image, words[word::HEADER])?;
        let slice = |at: usize| {
            (words[at + 1] == words[at + 2]).then_some(words[at]..words[at].checked_add(words[at + 1])?)
        };
        let bytes = |at: usize| slice(at).filter(|range| image.holds(range));
        let (Some(names), Some(functions)) = (bytes(word::NAMES), bytes(word::FUNCTIONS)) else {
            return Err(Unreadable::Corrupt("the bounds of its tables"));
        };
        let text = words[word::TEXT];
        let module = Self {
            text,
            count: header.count,
            entries: functions.start,
            rtti: Rtti::read(image, &words),
            functions,
            names,
        };
        let agrees = module.names.start == header.names
            && module.names.end - module.names.start <= MAX_NAMES
            && module.functions.start == header.functions
            && words[word::ENTRIES] == header.functions
            && words[word::ENTRIES + 1] == header.count + 1
            && module.functions.end - module.functions.start > (header.count + 1) * 8
            && image
                .code_offset(&(words[word::LOWEST]..words[word::HIGHEST]))
                .is_some()
            && words[word::HIGHEST] <= words[word::TEXT_END]
            && module.entry(image, 0)? == words[word::LOWEST]
            && module.entry(image, header.count)? == words[word::HIGHEST];
        agrees
            .then_some(module)
            .ok_or(Unreadable::Corrupt("the description of its tables"))
    }

    /// Where a function begins; the one behind the last begins where the last ends.
    fn entry(&self, image: &Image, nth: u64) -> Result<u64, Unreadable> {
        let distance = u32::from_le_bytes(image.array(self.entries + nth * 8)?);
        self.text
            .checked_add(u64::from(distance))
            .ok_or(Unreadable::Corrupt("the entry of a function"))
    }
}

impl Rtti {
    fn read(image: &Image, words: &[u64; word::COUNT]) -> Option<Self> {
        let types = words[word::TYPES]..words[word::TYPES_END];
        let links = word::TEXT_SECTIONS.iter().find_map(|&at| {
            // One text section: the first at distance 0, which is at the text base.
            let section = words[at];
            let one = words[at + 1] == 1 && words[at + 2] == 1;
            let first = one
                && image.word(section).ok()? == 0
                && image.word(section.checked_add(16)?).ok()? == words[word::TEXT];
            let (links, count) = (words[at + 3], words[at + 4]);
            (first && count == words[at + 5] && count <= MAX_TYPELINKS)
                .then_some(links..links.checked_add(count.checked_mul(4)?)?)
        })?;
        (image.holds(&types) && image.holds(&links)).then_some(Self { types, links })
    }
}

/// The beginning of the table of functions.
#[derive(Debug)]
struct Header {
    address: u64,
    count: u64,
    names: u64,
    functions: u64,
}

impl Header {
    fn read(image: &Image, address: u64) -> Result<Self, Unreadable> {
        let words: [u8; 72] = image.array(address)?;
        // The word at 24, once the text base, is not read: Go 1.26 left it empty.
        let word = |nth: usize| {
            words
                .chunks_exact(8)
                .nth(nth)
                .and_then(|word| word.try_into().ok())
                .map_or(0, u64::from_le_bytes)
        };
        let place = |distance: u64| {
            address
                .checked_add(distance)
                .filter(|&place| image.holds(&(place..place)))
        };
        let (Some(names), Some(functions)) = (place(word(4)), place(word(8))) else {
            return Err(Unreadable::Corrupt("the parts of its table of functions"));
        };
        let count = word(1);
        if word(0) != first_word(image.arch) || count == 0 || count > MAX_FUNCTIONS {
            return Err(Unreadable::Corrupt("the header of its table of functions"));
        }
        Ok(Self {
            address,
            count,
            names,
            functions,
        })
    }
}

/// The magic number, two zeros, the shortest instruction's length and a pointer's.
fn first_word(arch: Arch) -> u64 {
    let quantum = match arch {
        Arch::Amd64 => 1,
        Arch::Arm64 => 4,
    };
    MAGIC | quantum << 48 | 8 << 56
}
