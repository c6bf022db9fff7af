//! Tests: each one runs, and fails by an assertion at the line that knows why.

use syn::{Attribute, Item, ItemFn, ReturnType};

use super::{Fault, tree::Source};

pub(super) fn faults(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    items(&source.file.items, source, &mut faults);
    faults
}

fn items(items_of_module: &[Item], source: &Source, faults: &mut Vec<Fault>) {
    for item in items_of_module {
        match item {
            Item::Fn(function) if marked(&function.attrs, "test") => test(function, source, faults),
            Item::Mod(module) => {
                if let Some((_, inside)) = &module.content {
                    items(inside, source, faults);
                }
            }
            _ => {}
        }
    }
}

fn test(function: &ItemFn, source: &Source, faults: &mut Vec<Fault>) {
    let name = &function.sig.ident;
    let mut fault = |says: String| faults.push(Fault::new(&source.path, name.span().start().line, says));
    if marked(&function.attrs, "ignore") {
        fault(format!(
            "`{name}` is ignored: put it behind a feature that the test command sets"
        ));
    }
    if matches!(function.sig.output, ReturnType::Type(..)) {
        fault(format!(
            "`{name}` returns a value: a test unwraps, and so fails at the line that knows why"
        ));
    }
    if name.to_string().starts_with("test_") {
        fault(format!("`{name}`: a test is a sentence that says what holds"));
    }
}

/// Whether an attribute ends in `word`: `#[test]`, `#[tokio::test(...)]`.
fn marked(attributes: &[Attribute], word: &str) -> bool {
    attributes.iter().any(|attribute| {
        attribute
            .path()
            .segments
            .last()
            .is_some_and(|last| last.ident == word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        crate::tidy::check(faults, "a.rs", text, expected);
    }

    #[test]
    fn a_test_that_runs_and_asserts_is_clean() {
        check(
            "mod tests { #[tokio::test(flavor = \"x\")] async fn holds() {} }",
            &[],
        );
    }

    #[test]
    fn a_test_that_is_ignored_or_hands_its_failure_on_is_a_fault() {
        check(
            "mod tests {\n#[test]\n#[ignore]\nfn later() {}\n#[tokio::test]\nasync fn test_it() -> R {}\n}",
            &[
                "a.rs:4: `later` is ignored: put it behind a feature that the test command sets",
                "a.rs:6: `test_it` returns a value: a test unwraps, and so fails at the line that knows why",
                "a.rs:6: `test_it`: a test is a sentence that says what holds",
            ],
        );
    }
}
