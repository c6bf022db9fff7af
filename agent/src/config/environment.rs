//! The environment, read once, and its variables put into the values of a document.

use std::collections::BTreeMap;

use super::{
    document::{Node, Path, Value},
    fault::Fault,
};

/// The variables that a configuration may name.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process, but for what is no UTF-8.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    pub(super) fn read(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A variable of the OpenTelemetry specification, which has an empty one count as unset.
    pub(super) fn read_filled(&self, name: &str) -> Option<&str> {
        self.read(name).map(str::trim).filter(|value| !value.is_empty())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl std::fmt::Debug for Environment {
    /// Names alone: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Replaces `${NAME}` and `${NAME:-default}` in all values, `$$` by `$`. Keys are taken as they are.
pub(super) fn substitute(node: &mut Node, path: &Path, environment: &Environment, faults: &mut Vec<Fault>) {
    match &mut node.value {
        Value::Text(text) => match expand(text, environment) {
            Ok(expanded) => *text = expanded,
            Err(reason) => {
                faults.push(Fault {
                    origin: node.origin.clone(),
                    path: path.to_string(),
                    reason,
                });
                node.value = Value::Faulty;
            }
        },
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                substitute(item, &path.index(index), environment, faults);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                substitute(value, &path.entry(key), environment, faults);
            }
        }
        Value::Null | Value::Faulty => {}
    }
}

fn expand(text: &str, environment: &Environment) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let (inside, after) = after
                .split_once('}')
                .ok_or("has a `${` without `}`; write `$$` for a `$`")?;
            expanded.push_str(variable(inside, environment)?);
            rest = after;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The value of what stands between the braces.
fn variable<'a>(inside: &'a str, environment: &'a Environment) -> Result<&'a str, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let letters = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || !name.bytes().all(letters)
    {
        return Err("names no variable between `${` and `}`; write `$$` for a `$`".to_owned());
    }
    match (environment.read(name), default) {
        (Some("") | None, Some(default)) => Ok(default),
        (Some(value), _) => Ok(value),
        (None, None) => Err(format!(
            "the variable {name} is not set: set it, or write `${{{name}:-}}` for an empty default"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let environment = [("NODE", "a-1"), ("EMPTY", "")].into_iter().collect();
        let found = expand(text, &environment);
        match expected {
            Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{text}"),
            Err(part) => assert!(found.unwrap_err().contains(part), "{text}"),
        }
    }

    #[test]
    fn a_variable_is_replaced_by_its_value_or_its_default() {
        check("${NODE}", Ok("a-1"));
        check("x-${NODE}-${NODE:-b}.", Ok("x-a-1-a-1."));
        check("${NONE:-b:-c}", Ok("b:-c"));
        check("${EMPTY:-b}${EMPTY}", Ok("b"));
        check("${NONE:-}", Ok(""));
    }

    #[test]
    fn a_doubled_dollar_is_one_and_a_lone_one_stays() {
        check("$$", Ok("$"));
        check("$${NODE}", Ok("${NODE}"));
        check("$5 a$", Ok("$5 a$"));
    }

    #[test]
    fn what_cannot_be_replaced_is_a_fault() {
        check("${NONE}", Err("NONE is not set"));
        check("${NODE", Err("without `}`"));
        check("${}", Err("names no variable"));
        check("${9A}", Err("names no variable"));
        check("${a-b}", Err("names no variable"));
    }
}
