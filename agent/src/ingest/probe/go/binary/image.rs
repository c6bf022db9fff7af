//! The executable as the kernel would map it, without mapping it.
//!
//! In: an ELF file. Out: bytes, words and file offsets by virtual address, as the linker chose them; of a
//! position-independent executable the process adds one bias to all. Must not know what Go keeps where.

use std::{
    cell::Cell,
    fs::File,
    ops::{ControlFlow, Range},
};

use object::{
    LittleEndian, ReadCache, ReadRef,
    elf::{self, FileHeader64, ProgramHeader64},
    read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _, SectionHeader as _},
};

use super::{
    Arch, Unreadable,
    pages::{Pages, index},
};

/// What the headers of an executable may take, and more than any has.
const MAX_HEADERS: u64 = 4 << 20;
/// Executables have about a dozen segments and three dozen sections.
const MAX_SEGMENTS: usize = 64;
const MAX_SECTIONS: usize = 512;
/// Relocations kept, eight bytes each: a position-independent kube-apiserver has about half a million.
const MAX_RELOCATIONS: u64 = 2 << 20;
const RELOCATION: u64 = 24;
const BLOCK: usize = 64 << 10;

const LE: LittleEndian = LittleEndian;

#[derive(Debug)]
pub(super) struct Image {
    pages: Pages,
    pub(super) arch: Arch,
    /// Where the program headers are in the file.
    headers: u64,
    segments: Vec<Segment>,
    sections: Vec<Section>,
    relocations: Relocations,
}

#[derive(Debug)]
struct Segment {
    address: u64,
    offset: u64,
    /// Bytes in the file; what memory has beyond them is zero at start, and not read.
    length: u64,
    writable: bool,
    executable: bool,
}

/// A section that Go names; its place is a hint, since files may come without sections.
#[derive(Debug)]
struct Section {
    name: &'static str,
    address: u64,
}

/// Which segments hold what is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Within {
    All,
    Writable,
}

impl Image {
    pub(super) fn open(file: File, names: &[&'static str]) -> Result<Self, Unreadable> {
        let pages = Pages::new(file)?;
        let headers = Headers::new(pages.file());
        let header = FileHeader64::<LittleEndian>::parse(&headers).map_err(Unreadable::NotElf)?;
        if !header.is_little_endian() {
            return Err(Unreadable::BigEndian);
        }
        let arch = match header.e_machine(LE) {
            elf::EM_X86_64 => Arch::Amd64,
            elf::EM_AARCH64 => Arch::Arm64,
            machine => return Err(Unreadable::Architecture(machine)),
        };
        let program = header.program_headers(LE, &headers).map_err(Unreadable::NotElf)?;
        if program.len() > MAX_SEGMENTS {
            return Err(Unreadable::Corrupt("the number of segments"));
        }
        let segments: Vec<Segment> = program
            .iter()
            .filter_map(|header| Segment::of(header, &pages))
            .collect();
        // Segments do not share what they load: without this, a short file could be long to search.
        let loaded: u64 = segments.iter().map(|segment| segment.length).sum();
        if loaded > pages.length() {
            return Err(Unreadable::Corrupt("the length of its segments"));
        }
        let sections = sections(header, &headers, names);
        let table = relocation_table(program, &headers);
        let mut image = Self {
            arch,
            headers: header.e_phoff(LE),
            segments,
            sections,
            relocations: Relocations::default(),
            pages,
        };
        if let Some(table) = table {
            image.relocations = Relocations::read(&image, table)?;
        }
        Ok(image)
    }

    /// Where the section of this name begins, of those named when the file was opened.
    pub(super) fn section(&self, name: &str) -> Option<u64> {
        self.sections
            .iter()
            .find(|section| section.name == name)
            .map(|section| section.address)
    }

    /// Where the program headers are mapped, if they are.
    pub(super) fn headers_address(&self) -> Option<u64> {
        self.segments
            .iter()
            .find(|segment| segment.offset <= self.headers && self.headers - segment.offset < segment.length)
            .map(|segment| segment.address + (self.headers - segment.offset))
    }

    pub(super) fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        let (segment, within) = self.segment(address).ok_or(OUTSIDE)?;
        if into.len() as u64 > segment.length - within {
            return Err(OUTSIDE);
        }
        self.pages.read(segment.offset + within, into)
    }

    pub(super) fn array<const N: usize>(&self, address: u64) -> Result<[u8; N], Unreadable> {
        let mut bytes = [0; N];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// A word as the process finds it, but for the bias.
    ///
    /// Relocations of the kind RELR need nothing: what they relocate holds the address from the start.
    pub(super) fn word(&self, address: u64) -> Result<u64, Unreadable> {
        match self.relocations.at(address) {
            Some(word) => Ok(word),
            None => Ok(u64::from_le_bytes(self.array(address)?)),
        }
    }

    /// Does the file hold all of this range?
    pub(super) fn holds(&self, range: &Range<u64>) -> bool {
        range.start <= range.end
            && self
                .segment(range.start)
                .is_some_and(|(segment, within)| range.end - range.start <= segment.length - within)
    }

    /// Where in the file the code at this address is: what a uprobe is placed by.
    pub(super) fn code_offset(&self, range: &Range<u64>) -> Option<u64> {
        let (segment, within) = self.segment(range.start)?;
        (segment.executable && self.holds(range)).then_some(segment.offset + within)
    }

    /// The first addresses, multiples of eight, at which one of `words` stands: no more than `limit`.
    pub(super) fn find(&self, words: &[u64], within: Within, limit: usize) -> Result<Vec<u64>, Unreadable> {
        let mut found = self.relocations.to(words, limit);
        for segment in &self.segments {
            if matches!(within, Within::Writable) && !segment.writable {
                continue;
            }
            let range = segment.address.next_multiple_of(8)..segment.address + segment.length;
            self.stream(range, |address, block| {
                for (nth, bytes) in block.chunks_exact(8).enumerate() {
                    if bytes
                        .try_into()
                        .is_ok_and(|word| words.contains(&u64::from_le_bytes(word)))
                    {
                        found.push(address + 8 * nth as u64);
                        if found.len() >= limit {
                            return ControlFlow::Break(());
                        }
                    }
                }
                ControlFlow::Continue(block.len())
            })?;
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Goes through a range of addresses block by block. `look` says how much of a block it has used: what
    /// is left comes again, in front of the next block.
    pub(super) fn stream(
        &self,
        range: Range<u64>,
        mut look: impl FnMut(u64, &[u8]) -> ControlFlow<(), usize>,
    ) -> Result<(), Unreadable> {
        let mut block = vec![0; BLOCK];
        let mut at = range.start;
        while at < range.end {
            let length = index((range.end - at).min(BLOCK as u64));
            self.read(at, &mut block[..length])?;
            match look(at, &block[..length]) {
                ControlFlow::Continue(used) if used > 0 => at += used as u64,
                _ => break,
            }
        }
        Ok(())
    }

    fn segment(&self, address: u64) -> Option<(&Segment, u64)> {
        self.segments.iter().find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            (within < segment.length).then_some((segment, within))
        })
    }
}

const OUTSIDE: Unreadable = Unreadable::Corrupt("an address outside of what the file holds");

impl Segment {
    fn of(header: &ProgramHeader64<LittleEndian>, pages: &Pages) -> Option<Self> {
        let (offset, length) = header.file_range(LE);
        let address = header.p_vaddr(LE);
        let loads = header.p_type(LE) == elf::PT_LOAD && length > 0;
        let fits = offset.checked_add(length)? <= pages.length();
        // Room above, so that no address within needs a checked addition.
        let low = address.checked_add(length)? <= u64::MAX >> 1;
        (loads && fits && low).then_some(Self {
            address,
            offset,
            length,
            writable: header.p_flags(LE) & elf::PF_W != 0,
            executable: header.p_flags(LE) & elf::PF_X != 0,
        })
    }
}

fn sections(
    header: &FileHeader64<LittleEndian>,
    headers: &Headers<'_>,
    names: &[&'static str],
) -> Vec<Section> {
    let Ok(table) = header.sections(LE, headers) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for section in table.iter().take(MAX_SECTIONS) {
        let Ok(name) = table.section_name(LE, section) else {
            continue;
        };
        if let Some(name) = names.iter().find(|wanted| wanted.as_bytes() == name) {
            found.push(Section {
                name,
                address: section.sh_addr(LE),
            });
        }
    }
    found
}

/// Where the relocations with addend lie, as the dynamic linker is told.
fn relocation_table(program: &[ProgramHeader64<LittleEndian>], headers: &Headers<'_>) -> Option<Range<u64>> {
    let entries = program
        .iter()
        .find_map(|header| header.dynamic(LE, headers).ok().flatten())?;
    let value = |tag: i64| {
        entries
            .iter()
            .find(|entry| entry.tag(LE) == tag)
            .map(|entry| entry.val(LE))
    };
    let start = value(elf::DT_RELA)?;
    Some(start..start.checked_add(value(elf::DT_RELASZ)?)?)
}

// === impl Relocations ===

/// Words that the dynamic linker sets to an address within the executable: by place, as distances from address 0,
/// which in a position-independent executable is its own start.
#[derive(Debug, Default)]
struct Relocations {
    ascending: Vec<(u32, u32)>,
}

impl Relocations {
    fn read(image: &Image, table: Range<u64>) -> Result<Self, Unreadable> {
        let count = (table.end - table.start) / RELOCATION;
        if count > MAX_RELOCATIONS {
            return Err(Unreadable::Large {
                what: "its table of relocations",
                size: table.end - table.start,
                limit: MAX_RELOCATIONS * RELOCATION,
            });
        }
        if !image.holds(&table) {
            return Err(Unreadable::Corrupt("the place of its relocations"));
        }
        let relative = match image.arch {
            Arch::Amd64 => elf::R_X86_64_RELATIVE,
            Arch::Arm64 => elf::R_AARCH64_RELATIVE,
        };
        let mut ascending = Vec::with_capacity(index(count));
        image.stream(table.start..table.start + count * RELOCATION, |_, block| {
            let entries = block.chunks_exact(index(RELOCATION));
            let used = block.len() - entries.remainder().len();
            for entry in entries {
                let word = |at: usize| entry.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
                let (Some(place), Some(kind), Some(target)) = (word(0), word(8), word(16)) else {
                    continue;
                };
                if let (true, Ok(place), Ok(target)) = (
                    kind == u64::from(relative),
                    u32::try_from(place),
                    u32::try_from(target),
                ) {
                    ascending.push((place, target));
                }
            }
            ControlFlow::Continue(used)
        })?;
        // Linkers write them in order, or nearly.
        ascending.sort_unstable();
        Ok(Self { ascending })
    }

    fn at(&self, address: u64) -> Option<u64> {
        let address = u32::try_from(address).ok()?;
        let nth = self
            .ascending
            .binary_search_by_key(&address, |&(place, _)| place)
            .ok()?;
        self.ascending.get(nth).map(|&(_, target)| u64::from(target))
    }

    fn to(&self, words: &[u64], limit: usize) -> Vec<u64> {
        let places = self
            .ascending
            .iter()
            .filter(|&&(_, target)| words.contains(&u64::from(target)));
        places.map(|&(place, _)| u64::from(place)).take(limit).collect()
    }
}

// === impl Headers ===

/// What `object` reads of the file, bounded: its cache keeps all that was asked for.
#[derive(Debug)]
struct Headers<'f> {
    cache: ReadCache<&'f File>,
    left: Cell<u64>,
}

impl<'f> Headers<'f> {
    fn new(file: &'f File) -> Self {
        Self {
            cache: ReadCache::new(file),
            left: Cell::new(MAX_HEADERS),
        }
    }

    fn spend(&self, bytes: u64) -> Result<(), ()> {
        self.left.set(self.left.get().checked_sub(bytes).ok_or(())?);
        Ok(())
    }
}

impl<'a> ReadRef<'a> for &'a Headers<'_> {
    fn len(self) -> Result<u64, ()> {
        (&self.cache).len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        self.spend(size)?;
        (&self.cache).read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        // It reads 256 bytes at a time, and gives up after 4096.
        self.spend(4096)?;
        (&self.cache).read_bytes_at_until(range, delimiter)
    }
}
