//! Functions by name, from the table that Go's runtime needs for stack traces and that stripping leaves.
//!
//! In: the module's tables and some names. Out: where each function of these names is, in one walk over the
//! names and one over the functions; what is kept is what was asked for.

use std::{collections::HashSet, ops::ControlFlow};

use super::{Unreadable, image::Image, module::Module};

/// The most functions that a set of names may lead to: a name of a generic function stands for many.
const MAX_FOUND: usize = 1 << 16;
/// A function in assembler code takes its arguments on the stack: `abi.FuncFlagAsm`.
const ASSEMBLER: u8 = 1 << 2;

/// A function with code of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// The name that was asked for. The executable's own may be longer, by the path of the module in whose
    /// `vendor` folder the package was.
    pub name: Box<str>,
    /// Where its first instruction is: the linker's virtual address. In a position-independent executable
    /// the process adds its bias.
    pub entry: u64,
    /// Up to the next function, so with the bytes that fill the gap between them.
    pub size: u64,
    /// Where its first instruction is in the file: what a uprobe is placed by.
    pub file_offset: u64,
    /// It is written in assembler code, and so does not keep to the register ABI.
    pub assembler: bool,
}

/// What was found of a set of names.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    /// By name, then by address.
    found: Vec<Function>,
    /// By name.
    inlined: Vec<Box<str>>,
}

impl Functions {
    /// All functions of this name. There are several where a generic function was compiled for several
    /// shapes of its type arguments (`Do[...]`), and where a function in assembler code comes with a
    /// wrapper; a method value (`-fm`), a closure (`.func1`) and a method of an embedded type have names
    /// of their own.
    #[must_use]
    pub fn named(&self, name: &str) -> &[Function] {
        let start = self.found.partition_point(|function| *function.name < *name);
        let rest = &self.found[start..];
        &rest[..rest.partition_point(|function| *function.name == *name)]
    }

    /// Is a function of this name only within the code of others? It has no code of its own then.
    #[must_use]
    pub fn is_inlined(&self, name: &str) -> bool {
        self.inlined
            .binary_search_by(|inlined| (**inlined).cmp(name))
            .is_ok()
    }

    /// All that were found, by name.
    #[must_use]
    pub fn all(&self) -> &[Function] {
        &self.found
    }

    pub(super) fn find(image: &Image, module: &Module, names: &HashSet<&str>) -> Result<Self, Unreadable> {
        let asked = Asked::read(image, module, names)?;
        let mut found = asked.walk(image, module)?;
        found.sort_unstable_by(|a, b| (&a.name, a.entry).cmp(&(&b.name, b.entry)));
        let mut functions = Self {
            found,
            inlined: Vec::new(),
        };
        let mut inlined: Vec<Box<str>> = asked.places.iter().map(|asked| asked.name.into()).collect();
        inlined.retain(|name| functions.named(name).is_empty());
        inlined.sort_unstable();
        inlined.dedup();
        functions.inlined = inlined;
        Ok(functions)
    }
}

/// Where in the table of names those are that were asked for.
struct Asked<'n> {
    /// Ascending.
    places: Vec<Place<'n>>,
}

struct Place<'n> {
    distance: u32,
    name: &'n str,
    vendored: bool,
}

impl<'n> Asked<'n> {
    fn read(image: &Image, module: &Module, names: &HashSet<&'n str>) -> Result<Self, Unreadable> {
        let mut places = Vec::new();
        image.stream(module.names.clone(), |address, block| {
            // A name that fills a block and goes on is none that is asked for.
            let used = block
                .iter()
                .rposition(|&byte| byte == 0)
                .map_or(block.len(), |last| last + 1);
            let mut distance = address - module.names.start;
            for name in block[..used].split_inclusive(|&byte| byte == 0) {
                if let Some((name, vendored)) = asked(name, names)
                    && let Ok(distance) = u32::try_from(distance)
                {
                    places.push(Place {
                        distance,
                        name,
                        vendored,
                    });
                }
                distance += name.len() as u64;
            }
            match places.len() {
                0..MAX_FOUND => ControlFlow::Continue(used),
                _ => ControlFlow::Break(()),
            }
        })?;
        // The package itself goes before a copy of it in a `vendor` folder.
        let own: HashSet<&str> = places
            .iter()
            .filter(|place| !place.vendored)
            .map(|place| place.name)
            .collect();
        places.retain(|place| !place.vendored || !own.contains(place.name));
        Ok(Self { places })
    }

    fn walk(&self, image: &Image, module: &Module) -> Result<Vec<Function>, Unreadable> {
        let mut found = Vec::new();
        if self.places.is_empty() {
            return Ok(found);
        }
        for nth in 0..module.count {
            // This function's entry and description, and the next one's entry.
            let entry: [u8; 12] = image.array(module.entries + nth * 8)?;
            let [start, described, end] = [0, 4, 8].map(|at| u64::from(quarter(&entry, at)));
            let description = module.functions.start + described;
            if description >= module.functions.end {
                return Err(Unreadable::Corrupt("the place of a function's description"));
            }
            let head: [u8; 8] = image.array(description)?;
            let Ok(asked) = self
                .places
                .binary_search_by_key(&quarter(&head, 4), |place| place.distance)
            else {
                continue;
            };
            let (start, end) = (module.text.checked_add(start), module.text.checked_add(end));
            let (Some(entry), Some(end)) = (start, end) else {
                return Err(Unreadable::Corrupt("the entry of a function"));
            };
            let Some(file_offset) = image.code_offset(&(entry..end)) else {
                return Err(Unreadable::Corrupt("the place of a function's code"));
            };
            let [flags] = image.array(description + 41)?;
            found.push(Function {
                name: self.places[asked].name.into(),
                entry,
                size: end - entry,
                file_offset,
                assembler: flags & ASSEMBLER != 0,
            });
            if found.len() > MAX_FOUND {
                return Err(Unreadable::Corrupt("the number of functions of one name"));
            }
        }
        Ok(found)
    }
}

/// The name that was asked for, if this is it, and whether it was found behind a `vendor` folder.
fn asked<'n>(name: &[u8], names: &HashSet<&'n str>) -> Option<(&'n str, bool)> {
    let name = str::from_utf8(name).ok()?.strip_suffix('\0')?;
    if let Some(asked) = named(name, names) {
        return Some((asked, false));
    }
    let vendored = match name.rsplit_once("/vendor/") {
        Some((_, vendored)) => vendored,
        None => name.strip_prefix("vendor/")?,
    };
    named(vendored, names).map(|asked| (asked, true))
}

/// A generic function may be asked for with the shape of its type arguments (`Do[go.shape.int]`), or without
/// (`Do[...]`) for all shapes. That is the code which every call runs; `Do[int]` is a wrapper of it, for a
/// function value, and has to be asked for by that name. Go 1.20 writes all of them as `Do[...]`.
fn named<'n>(name: &str, names: &HashSet<&'n str>) -> Option<&'n str> {
    if let Some(asked) = names.get(name) {
        return Some(asked);
    }
    let (before, arguments) = name.split_once('[')?;
    let (_, behind) = arguments.rsplit_once(']')?;
    let shaped = arguments.starts_with("go.shape.");
    names
        .get(format!("{before}[...]{behind}").as_str())
        .copied()
        .filter(|_| shaped)
}

fn quarter(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|quarter| quarter.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}
