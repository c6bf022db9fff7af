//! The layout rules of this repository, as tables, and the walk that holds the tree to them.
//!
//! In: every file below the top of the repository. Out: faults, each with its place and
//! what to do, and remarks on files that grow too long. The tables below are the
//! documentation: whoever adds a room adds its line here, with what it may know.

use std::{fmt, path::Path};

use anyhow::bail;

mod graph;
mod imports;
mod manifest;
mod paths;
mod shape;
mod stems;
mod tree;
mod verdicts;

use tree::Tree;

/// A part of `agent/src`, and the rooms (or crates of ours) that it may name.
///
/// A room may always name itself, the rooms it lies in, and the rooms that lie in it.
struct Room {
    path: &'static str,
    may: &'static [&'static str],
}

/// Who may know whom in the agent: stages meet only in `pipeline`.
const ROOMS: &[Room] = &[
    Room {
        path: "model",
        may: &[],
    },
    Room {
        path: "ingest",
        may: &["model"],
    },
    Room {
        path: "ingest/otlp",
        may: &["model"],
    },
    Room {
        path: "ingest/scrape",
        may: &["model"],
    },
    Room {
        path: "ingest/node",
        may: &["model"],
    },
    Room {
        path: "ingest/probe",
        may: &["model", "abi"],
    },
    Room {
        path: "identify",
        may: &["model"],
    },
    Room {
        path: "identify/process",
        may: &["model"],
    },
    Room {
        path: "identify/cluster",
        may: &["model"],
    },
    Room {
        path: "correlate",
        may: &["model"],
    },
    Room {
        path: "export",
        may: &["model"],
    },
    // A picture of spans, for whoever asked for them: it sees what the whole waited for.
    Room {
        path: "waterfall",
        may: &["model", "correlate"],
    },
    Room {
        path: "pipeline",
        may: &["model", "ingest", "identify", "correlate", "export", "config"],
    },
    // For their `Config` alone.
    Room {
        path: "config",
        may: &[
            "model",
            "ingest",
            "identify",
            "correlate",
            "export",
            "pipeline",
            "admin",
            "telemetry",
        ],
    },
    Room {
        path: "admin",
        may: &["model", "telemetry"],
    },
    Room {
        path: "telemetry",
        may: &[],
    },
    Room {
        path: "main",
        may: &["command"],
    },
    // Starts what runs beside the data path: the watch of the node, the admin server. Says what would be probed, and
    // draws what another agent tells.
    Room {
        path: "command",
        may: &[
            "main",
            "model",
            "config",
            "pipeline",
            "admin",
            "telemetry",
            "identify/cluster",
            "ingest/probe",
            "waterfall",
        ],
    },
];

/// Crates of ours, and the crates of ours that each may depend on.
const MEMBERS: &[Room] = &[
    Room {
        path: "abi",
        may: &[],
    },
    Room {
        path: "innerspan",
        may: &["abi", "link"],
    },
    Room {
        path: "link",
        may: &[],
    },
    Room {
        path: "tests",
        may: &["abi", "innerspan"],
    },
    Room {
        path: "xtask",
        may: &["abi"],
    },
];

/// Paths from outside that are named in few rooms, so that replacing one is a local change.
struct Fence {
    paths: &'static [&'static str],
    /// Rooms, or `*/NAME` for a file of that name in any room.
    within: &'static [&'static str],
}

const FENCES: &[Fence] = &[
    Fence {
        paths: &["aya", "link"],
        within: &["ingest/probe"],
    },
    Fence {
        paths: &["kube", "k8s_openapi"],
        within: &["identify/cluster"],
    },
    Fence {
        paths: &["procfs"],
        within: &["ingest/node", "identify/process", "telemetry"],
    },
    Fence {
        paths: &["tonic", "tonic_types", "opentelemetry_proto"],
        within: &["ingest/otlp", "export"],
    },
    Fence {
        paths: &["prometheus_client"],
        // The pipeline hands the registry to the rooms, and tests read what a room wrote there.
        within: &["telemetry", "pipeline", "*/metrics", "*/tests"],
    },
];

/// What a room must never name: it does no I/O, has no tasks, or does not know the time.
struct Absence {
    room: &'static str,
    paths: &'static [&'static str],
}

const ABSENCES: &[Absence] = &[
    Absence {
        room: "model",
        paths: &[
            "tokio",
            "tokio_util",
            "futures",
            "prost",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
        ],
    },
    Absence {
        room: "correlate",
        paths: &[
            "tokio",
            "tokio_util",
            "futures",
            "prost",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
    },
    Absence {
        room: "config",
        paths: &["tokio", "std::net::TcpListener", "std::os::unix::net"],
    },
];

/// Where a probe has a file of its stem: the program first, then what must be there with it.
const PROBE_PLACES: [&str; 3] = ["ebpf/src", "ebpf/abi/src", "tests/suites/kernel"];

/// Files among the programs that belong to all of them.
const PROBE_SHARED: &[&str] = &["main.rs", "lib.rs", "emit.rs", "read.rs"];

/// Names that say nothing: of a module, or the last word of a type's name.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "types", "misc", "manager", "handler", "data", "info",
    "core", "base",
];

/// How a comment begins that puts off what should be done now.
const POSTPONED: &[&str] = &["todo", "fixme", "xxx", "hack", "keep in sync"];

/// Lines of one file: past the first it is remarked on, past the second it is a fault.
const SOFT_LINES: usize = 400;
const HARD_LINES: usize = 600;

/// All that may stand at the top of the repository.
const TOP: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "rust-toolchain.toml",
    "agent",
    "ebpf",
    "deploy",
    "xtask",
    "tests",
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".config",
    ".deny.toml",
    ".gitignore",
    ".rustfmt.toml",
];

/// A broken rule, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    path: String,
    line: usize,
    says: String,
}

impl Fault {
    fn new(path: &Path, line: usize, says: impl Into<String>) -> Self {
        Self {
            path: path.display().to_string(),
            line,
            says: says.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, says } = self;
        write!(out, "{path}:{line}: {says}")
    }
}

/// Prints remarks and faults of the tree at `root`; any fault is an error.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let tree = Tree::read(root)?;
    for remark in shape::remarks(&tree) {
        eprintln!("remark: {remark}");
    }
    let faults = faults(&tree)?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        bail!(
            "{} layout faults; the rules are the tables of xtask/src/tidy.rs",
            faults.len()
        );
    }
    Ok(())
}

fn faults(tree: &Tree) -> anyhow::Result<Vec<Fault>> {
    let mut faults = manifest::faults(tree)?;
    faults.extend(shape::strangers(&tree.top));
    let paths: Vec<&Path> = tree.sources.iter().map(|source| source.path.as_path()).collect();
    faults.extend(stems::faults(&paths));
    for source in &tree.sources {
        faults.extend(shape::faults(source));
        faults.extend(imports::faults(source));
        faults.extend(graph::faults(source));
        faults.extend(verdicts::faults(source));
    }
    faults.sort();
    Ok(faults)
}

/// Holds what a rule says of one file against what it should say.
#[cfg(test)]
fn check(rule: fn(&tree::Source) -> Vec<Fault>, path: &str, text: &str, expected: &[&str]) {
    let source = tree::Source::parse(path.into(), text.to_owned()).unwrap();
    let says: Vec<String> = rule(&source).iter().map(ToString::to_string).collect();
    assert_eq!(says, expected);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place;

    #[test]
    fn this_repository_keeps_its_rules() {
        let tree = Tree::read(place::root()).unwrap();
        let faults: Vec<String> = faults(&tree).unwrap().iter().map(ToString::to_string).collect();
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    }
}
