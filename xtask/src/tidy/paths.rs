//! Every path that a file names, in `use` lines, in code and inside macros alike.
//!
//! In: tokens, and the module they stand in. Out: paths with their line; those that begin
//! with `crate`, `self` or `super` are made absolute, from the crate's top. It resolves no
//! names: a path through an alias goes unseen, which is the price of not being a compiler.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path as far as it is written: `crate::ingest::otlp` or `tokio::time`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) line: usize,
    /// Ours, from the crate's top; else it begins with the name of a crate.
    pub(super) ours: bool,
    pub(super) segments: Vec<String>,
}

/// All paths in `tokens`, which stand in `module`.
pub(super) fn named(tokens: TokenStream, module: &[String]) -> Vec<Named> {
    let mut walk = Walk {
        module: module.to_vec(),
        found: Vec::new(),
    };
    walk.tokens(tokens);
    walk.found
}

struct Walk {
    module: Vec<String>,
    found: Vec<Named>,
}

impl Walk {
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(word) if word == "mod" => at = self.inline_module(&tokens, at),
                TokenTree::Ident(word) => {
                    let imported = at
                        .checked_sub(1)
                        .and_then(|before| ident(tokens.get(before)))
                        .is_some_and(|before| before == "use");
                    at = self.path(&tokens, at, Vec::new(), imported, word.span().start().line);
                }
                TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    at += 1;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// `mod name { ... }` is one level deeper; any other use of the word is passed over.
    fn inline_module(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        if let (Some(name), Some(TokenTree::Group(body))) = (ident(tokens.get(at + 1)), tokens.get(at + 2)) {
            self.module.push(name);
            self.tokens(body.stream());
            self.module.pop();
            return at + 3;
        }
        at + 1
    }

    /// Follows one path from `at`; returns where it ends. A word alone is no path, unless imported.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        mut at: usize,
        mut so_far: Vec<String>,
        whole: bool,
        line: usize,
    ) -> usize {
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(word)) => so_far.push(word.to_string()),
                Some(TokenTree::Group(group))
                    if group.delimiter() == Delimiter::Brace && !so_far.is_empty() =>
                {
                    self.branches(group.stream(), &so_far, line);
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
            if !is_colons(tokens, at) {
                break;
            }
            at += 2;
        }
        if whole || so_far.len() > 1 {
            self.keep(so_far, line);
        }
        at
    }

    /// The branches of a `use` tree: `{self, a::b, c as d}` behind `stem`.
    fn branches(&mut self, group: TokenStream, stem: &[String], line: usize) {
        let tokens: Vec<TokenTree> = group.into_iter().collect();
        for branch in tokens.split(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ',')) {
            if let Some(first) = branch.first() {
                let line = first.span().start().line.max(line);
                self.path(branch, 0, stem.to_vec(), true, line);
            }
        }
    }

    fn keep(&mut self, segments: Vec<String>, line: usize) {
        let mut ours = false;
        let mut absolute: Vec<String> = Vec::new();
        for (place, segment) in segments.into_iter().enumerate() {
            match segment.as_str() {
                "crate" => ours = true,
                "self" if place == 0 => {
                    ours = true;
                    absolute.clone_from(&self.module);
                }
                "super" => {
                    if place == 0 {
                        ours = true;
                        absolute.clone_from(&self.module);
                    }
                    absolute.pop();
                }
                // The last `self` of a `use` tree names the tree's own stem.
                "self" => {}
                _ => absolute.push(segment),
            }
        }
        self.found.push(Named {
            line,
            ours,
            segments: absolute,
        });
    }
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(word)) => Some(word.to_string()),
        _ => None,
    }
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    colon(at) && colon(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[&str]) {
        let module = ["ingest".to_owned(), "otlp".to_owned()];
        let found: Vec<String> = named(source.parse().unwrap(), &module)
            .into_iter()
            .map(|named| {
                format!(
                    "{} {}{}",
                    named.line,
                    if named.ours { "/" } else { "" },
                    named.segments.join("/")
                )
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_use_tree_names_each_of_its_leaves() {
        check(
            "use crate::{model::Span, export::{self, Config as C}};\nuse kube;",
            &["1 /model/Span", "1 /export", "1 /export/Config", "2 kube"],
        );
    }

    #[test]
    fn code_and_macros_name_paths_as_imports_do() {
        check(
            "fn f(a: aya::Ebpf) { info!(x = crate::identify::who(), \"a::b\"); }",
            &["1 aya/Ebpf", "1 /identify/who"],
        );
    }

    #[test]
    fn relative_paths_are_counted_from_the_module_they_stand_in() {
        check(
            "use super::probe::Call;\nmod tests {\n use super::*; use super::super::super::export::Queue;\n}",
            &["1 /ingest/probe/Call", "3 /ingest/otlp", "3 /export/Queue"],
        );
    }

    #[test]
    fn a_struct_literal_is_no_use_tree() {
        check("fn f() -> A { A { b: c::D { e: 1 } } }", &["1 c/D"]);
    }
}
