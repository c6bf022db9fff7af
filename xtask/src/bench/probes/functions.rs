//! How many of each component's probes are of the cheap kind.
//!
//! In: the lab's components, and the agent, which says what it would probe in each. Out: a table.

use std::{path::Path, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::super::markdown::{head, markdown};
use crate::lab::components::Components;

/// Each component with the family of programs that it is built with.
const COMPONENTS: [(&str, &str); 6] = [
    ("kubernetes", "kubelet"),
    ("containerd", "containerd"),
    ("kubernetes", "kube-apiserver"),
    ("etcd", "etcd"),
    ("kubernetes", "kube-scheduler"),
    ("kubernetes", "kube-controller-manager"),
];

/// Counts of a component's functions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    found: usize,
    missing: usize,
    checked_entry: usize,
    /// With early returns alone, with early returns and others, and with others alone.
    early: usize,
    mixed: usize,
    last: usize,
}

impl Row {
    fn parse(listed: &[u8]) -> anyhow::Result<Self> {
        let functions: Vec<Value> = serde_json::from_slice(listed).context("it is no list")?;
        let mut row = Self::default();
        for function in &functions {
            let Some(checked) = function["checked_entry"].as_bool() else {
                row.missing += 1;
                continue;
            };
            row.found += 1;
            row.checked_entry += usize::from(checked);
            let early = function["early_returns"].as_u64() > Some(0);
            let last = function["last_returns"].as_u64() > Some(0);
            match (early, last) {
                (true, false) => row.early += 1,
                (true, true) => row.mixed += 1,
                (false, _) => row.last += 1,
            }
        }
        Ok(row)
    }

    fn cells(&self, name: &str) -> Vec<String> {
        let Self {
            found,
            missing,
            checked_entry,
            early,
            mixed,
            last,
        } = self;
        let counts = [found, missing, checked_entry, early, mixed, last].map(ToString::to_string);
        std::iter::once(name.to_owned()).chain(counts).collect()
    }
}

/// Builds what the cache lacks of the components, and asks the agent about each.
pub(super) fn table(components: &Components, innerspan: &Path) -> anyhow::Result<String> {
    let mut lines = vec![head([
        "component",
        "functions",
        "missing",
        "entry behind the stack check",
        "returns all early",
        "some early",
        "none early",
    ])];
    for (family, name) in COMPONENTS {
        let program = components.build_program(family, name)?;
        let output = Command::new(innerspan)
            .args(["functions", "--json"])
            .arg(&program)
            .output()
            .context("cannot start innerspan")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "innerspan functions {name}: {said}");
        let row = Row::parse(&output.stdout).with_context(|| format!("innerspan functions {name}"))?;
        lines.push(row.cells(&format!("{name} {}", components.version(family))));
    }
    Ok(markdown(&lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_counted_by_where_their_probes_are() {
        let listed = br#"[
            {"service": "s", "span": "a", "checked_entry": true, "early_returns": 1, "last_returns": 0},
            {"service": "s", "span": "b", "checked_entry": true, "early_returns": 1, "last_returns": 2},
            {"service": "s", "span": "c", "checked_entry": false, "early_returns": 0, "last_returns": 1},
            {"service": "s", "span": "d", "reason": "the executable does not have d"}
        ]"#;
        let expected = Row {
            found: 3,
            missing: 1,
            checked_entry: 2,
            early: 1,
            mixed: 1,
            last: 1,
        };
        assert_eq!(Row::parse(listed).unwrap(), expected);
    }
}
