//! The order of imports: std, then crates from outside, then ours, a blank line between.
//!
//! Stable rustfmt sorts within a group and cannot make the groups, so this says where they
//! are wrong. Ours is what lies in the same crate: rustfmt sorts another crate of the workspace
//! among those from outside. A `pub use` is no import but a part of the module's face.

use std::collections::BTreeSet;

use syn::{Item, ItemUse, UseTree, Visibility, spanned::Spanned as _};

use super::{Fault, tree::Source};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Std,
    External,
    Ours,
}

pub(super) fn faults(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    module(&source.file.items, source, &mut faults);
    faults
}

fn module(items: &[Item], source: &Source, faults: &mut Vec<Fault>) {
    let children: BTreeSet<String> = items
        .iter()
        .filter_map(|item| {
            if let Item::Mod(child) = item {
                Some(child.ident.to_string())
            } else {
                None
            }
        })
        .collect();
    for pair in items.windows(2) {
        if let [Item::Use(upper), Item::Use(lower)] = pair
            && let Some(says) = between(upper, lower, &children, &source.text)
        {
            faults.push(Fault::new(&source.path, lower.use_token.span.start().line, says));
        }
    }
    for item in items {
        if let Item::Mod(child) = item
            && let Some((_, inside)) = &child.content
        {
            module(inside, source, faults);
        }
    }
}

/// What is wrong between two imports that follow one another.
fn between(
    upper: &ItemUse,
    lower: &ItemUse,
    children: &BTreeSet<String>,
    text: &str,
) -> Option<&'static str> {
    if !is_import(upper) || !is_import(lower) {
        return None;
    }
    let (above, below) = (group(&upper.tree, children)?, group(&lower.tree, children)?);
    let (end, start) = (upper.span().end().line, lower.span().start().line);
    let gap = text
        .lines()
        .skip(end)
        .take(start.saturating_sub(end + 1))
        .any(|line| line.trim().is_empty());
    if above > below {
        Some("imports go std, external, ours")
    } else if above != below && !gap {
        Some("a blank line parts imports of std, external and ours")
    } else if above == below && gap {
        Some("no blank line within a group of imports")
    } else {
        None
    }
}

fn is_import(line: &ItemUse) -> bool {
    matches!(line.vis, Visibility::Inherited)
}

fn group(tree: &UseTree, children: &BTreeSet<String>) -> Option<Group> {
    let head = match tree {
        UseTree::Path(path) => path.ident.to_string(),
        UseTree::Name(name) => name.ident.to_string(),
        UseTree::Rename(rename) => rename.ident.to_string(),
        UseTree::Glob(_) | UseTree::Group(_) => return None,
    };
    Some(match head.as_str() {
        "std" | "core" | "alloc" => Group::Std,
        "crate" | "self" | "super" => Group::Ours,
        name if children.contains(name) => Group::Ours,
        _ => Group::External,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        crate::tidy::check(faults, "a.rs", text, expected);
    }

    #[test]
    fn three_groups_with_a_blank_line_between_are_in_order() {
        check(
            "use std::fmt;\n\nuse abi::exec;\nuse bytes::Bytes;\n\nuse crate::model;",
            &[],
        );
    }

    #[test]
    fn a_group_out_of_place_is_a_fault() {
        check(
            "use bytes::Bytes;\n\nuse std::fmt;",
            &["a.rs:3: imports go std, external, ours"],
        );
        check(
            "mod a { mod child; use child::B;\n\nuse bytes::Bytes; }",
            &["a.rs:3: imports go std, external, ours"],
        );
    }

    #[test]
    fn groups_are_parted_by_a_blank_line_and_held_together_without() {
        check(
            "use std::fmt;\nuse bytes::Bytes;",
            &["a.rs:2: a blank line parts imports of std, external and ours"],
        );
        check(
            "use std::fmt;\n\nuse std::io;",
            &["a.rs:3: no blank line within a group of imports"],
        );
    }
}
