//! What is wrong with a configuration, and where.
//!
//! A reason never quotes a value: any of them may be a secret, or stand for one by substitution.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A line of the file, counted from 1.
    Line(usize),
    /// A variable of the environment.
    Variable(String),
    /// There is no file.
    Nowhere,
}

/// One thing to put right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub origin: Origin,
    /// The keys that lead there, for example `export.endpoints[0].timeout`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Everything that is wrong with a configuration, in the order of its lines.
#[derive(Debug, thiserror::Error)]
pub struct Faults {
    file: Option<PathBuf>,
    list: Vec<Fault>,
}

impl Faults {
    pub(super) fn new(file: Option<&Path>, mut list: Vec<Fault>) -> Self {
        list.sort();
        list.dedup();
        Self {
            file: file.map(Path::to_owned),
            list,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.list.iter()
    }
}

impl fmt::Display for Faults {
    /// A line for each fault: `FILE:LINE: path: reason`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match (&fault.origin, &self.file) {
                (Origin::Line(line), Some(file)) => write!(f, "{}:{line}: ", file.display())?,
                (Origin::Variable(name), _) => write!(f, "{name}: ")?,
                (Origin::Line(_) | Origin::Nowhere, _) => {}
            }
            if !fault.path.is_empty() {
                write!(f, "{}: ", fault.path)?;
            }
            f.write_str(&fault.reason)?;
        }
        Ok(())
    }
}
