//! The outside of a file: its length, its opening, and the names it gives.

use std::{ffi::OsStr, path::Path};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{
    EMPTY_NAMES, Fault, HARD_LINES, POSTPONED, SOFT_LINES, TOP,
    tree::{Source, Tree},
};

/// Files that near the limit, longest first.
pub(super) fn remarks(tree: &Tree) -> Vec<String> {
    let mut long: Vec<(usize, &Path)> = tree
        .sources
        .iter()
        .map(|source| (source.text.lines().count(), source.path.as_path()))
        .filter(|(lines, _)| (SOFT_LINES + 1..=HARD_LINES).contains(lines))
        .collect();
    long.sort_unstable_by(|left, right| right.cmp(left));
    long.iter()
        .map(|(lines, path)| format!("{} has {lines} lines of {SOFT_LINES}", path.display()))
        .collect()
}

/// Entries at the top of the repository that do not belong there.
pub(super) fn strangers(top: &[String]) -> Vec<Fault> {
    let strangers = top.iter().filter(|name| !TOP.contains(&name.as_str()));
    strangers
        .map(|name| Fault::new(Path::new(name), 1, "does not belong at the top: see TOP"))
        .collect()
}

pub(super) fn faults(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    let lines = source.text.lines().count();
    if lines > HARD_LINES {
        let says = format!("{lines} lines, at most {HARD_LINES}: split it where it does two things");
        faults.push(Fault::new(&source.path, HARD_LINES, says));
    }
    if !source.text.starts_with("//!") {
        faults.push(Fault::new(
            &source.path,
            1,
            "a module opens with `//!`: what enters, what leaves",
        ));
    }
    if source.path.file_name() == Some(OsStr::new("mod.rs")) {
        faults.push(Fault::new(
            &source.path,
            1,
            "a room is `foo.rs` beside `foo/`, not `foo/mod.rs`",
        ));
    }
    if let Some(stem) = source.path.file_stem().and_then(OsStr::to_str)
        && EMPTY_NAMES.contains(&stem)
    {
        faults.push(Fault::new(
            &source.path,
            1,
            format!("a module called `{stem}` says nothing"),
        ));
    }
    faults.extend(comments(source));
    words(source.tokens.clone(), Namer::Us, source, &mut faults);
    faults
}

/// Comments that put off what should be done: a note to self is an issue, a pair of things to be
/// kept alike is shared, asserted or generated.
fn comments(source: &Source) -> Vec<Fault> {
    let postponed = source.text.lines().enumerate().filter_map(|(at, line)| {
        let (_, comment) = line.split_once("// ").or_else(|| line.split_once("/// "))?;
        let phrase = POSTPONED
            .iter()
            .find(|phrase| comment.to_lowercase().starts_with(*phrase))?;
        Some(Fault::new(
            &source.path,
            at + 1,
            format!("a comment must not begin `{phrase}`: do it, or share it"),
        ))
    });
    postponed.collect()
}

/// Who chose the names of functions and types in a block: in `impl Trait for Type` it is the trait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Namer {
    Us,
    Trait,
}

/// Faults in the names that the tokens define, at every depth.
fn words(tokens: TokenStream, namer: Namer, source: &Source, faults: &mut Vec<Fault>) {
    let (mut before, mut heads_impl, mut inside) = (String::new(), false, Namer::Us);
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                let name = word.to_string();
                if let Some(says) = name_fault(&before, &name, namer, &source.path) {
                    faults.push(Fault::new(&source.path, word.span().start().line, says));
                }
                heads_impl |= name == "impl";
                if heads_impl && name == "for" {
                    inside = Namer::Trait;
                }
                before = name;
            }
            TokenTree::Group(group) => {
                let is_block = group.delimiter() == Delimiter::Brace;
                words(
                    group.stream(),
                    if is_block { inside } else { Namer::Us },
                    source,
                    faults,
                );
                if is_block {
                    (heads_impl, inside) = (false, Namer::Us);
                }
                before.clear();
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => before.clear(),
        }
    }
}

fn name_fault(keyword: &str, name: &str, namer: Namer, path: &Path) -> Option<String> {
    match keyword {
        _ if name == "unsafe" && !path.starts_with("ebpf") => {
            Some("`unsafe` belongs under ebpf/ only".to_owned())
        }
        "fn" | "type" if namer == Namer::Trait => None,
        "fn" if name.starts_with("get_") => Some(format!("`{name}` needs no `get_`")),
        "mod" if EMPTY_NAMES.contains(&name) => Some(format!("a module called `{name}` says nothing")),
        "struct" | "enum" | "union" | "trait" | "type" => {
            let last = last_word(name);
            EMPTY_NAMES
                .contains(&last.as_str())
                .then(|| format!("`{name}` says nothing by `{last}`: name the thing"))
        }
        _ => None,
    }
}

/// `PodManager` -> `manager`.
fn last_word(name: &str) -> String {
    let start = name.rfind(|letter: char| letter.is_uppercase()).unwrap_or(0);
    name.get(start..).unwrap_or(name).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        crate::tidy::check(faults, path, text, expected);
    }

    #[test]
    fn a_file_past_the_hard_limit_is_a_fault() {
        let text = format!("//! Long.\n{}", "// line\n".repeat(HARD_LINES));
        check(
            "xtask/src/long.rs",
            &text,
            &["xtask/src/long.rs:600: 601 lines, at most 600: split it where it does two things"],
        );
        check(
            "xtask/src/short.rs",
            &text["//! Long.\n".len()..].replacen("//", "//!", 1),
            &[],
        );
    }

    #[test]
    fn a_module_without_an_opening_is_a_fault() {
        check(
            "a/b.rs",
            "use a::B;",
            &["a/b.rs:1: a module opens with `//!`: what enters, what leaves"],
        );
    }

    #[test]
    fn names_that_say_nothing_are_faults() {
        check(
            "a/b.rs",
            "//! B.\nmod utils {\n  struct PodManager;\n  fn get_pod() {}\n}\nstruct DataPlane;",
            &[
                "a/b.rs:2: a module called `utils` says nothing",
                "a/b.rs:3: `PodManager` says nothing by `manager`: name the thing",
                "a/b.rs:4: `get_pod` needs no `get_`",
            ],
        );
        check(
            "a/common.rs",
            "//! C.",
            &["a/common.rs:1: a module called `common` says nothing"],
        );
        check(
            "a/b/mod.rs",
            "//! B.",
            &["a/b/mod.rs:1: a room is `foo.rs` beside `foo/`, not `foo/mod.rs`"],
        );
    }

    #[test]
    fn a_comment_that_postpones_is_a_fault() {
        // Marked with `#` here, so that this file itself is clean.
        let text = "//! B.\n# Keep in sync with C.\nconst D: u8 = 1; # todo: measure\n# Syncs keep going.";
        check(
            "a/b.rs",
            &text.replace('#', "//"),
            &[
                "a/b.rs:2: a comment must not begin `keep in sync`: do it, or share it",
                "a/b.rs:3: a comment must not begin `todo`: do it, or share it",
            ],
        );
    }

    #[test]
    fn unsafe_stays_under_ebpf() {
        let text = "//! U.\nfn f() { unsafe { g() } }";
        check(
            "agent/src/model.rs",
            text,
            &["agent/src/model.rs:2: `unsafe` belongs under ebpf/ only"],
        );
        check("ebpf/abi/src/exec.rs", text, &[]);
    }

    #[test]
    fn only_known_names_stand_at_the_top() {
        let top = ["agent".to_owned(), "notes.md".to_owned()];
        let says: Vec<String> = strangers(&top).iter().map(ToString::to_string).collect();
        assert_eq!(says, ["notes.md:1: does not belong at the top: see TOP"]);
    }
}
