//! Where a value is read: `pod.ObjectMeta.UID`, `in.Compare[0].Key`.
//!
//! A path starts at a parameter or a result and goes on by fields; pointers on the way are followed, `[0]` is the
//! first element of a slice.

use std::fmt;

/// A way from a variable to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub variable: Box<str>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Field(Box<str>),
    /// The first element of a slice.
    First,
}

impl Path {
    /// Reads a path; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.');
        let (variable, first) = split_index(parts.next().unwrap_or_default())?;
        let mut steps: Vec<Step> = first.into_iter().collect();
        for part in parts {
            let (field, first) = split_index(part)?;
            steps.push(Step::Field(field.into()));
            steps.extend(first);
        }
        Ok(Self {
            variable: variable.into(),
            steps,
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.variable)?;
        self.steps.iter().try_for_each(|step| match step {
            Step::Field(name) => write!(f, ".{name}"),
            Step::First => f.write_str("[0]"),
        })
    }
}

fn split_index(part: &str) -> Result<(&str, Option<Step>), String> {
    let (name, step) = match part.strip_suffix("[0]") {
        Some(name) => (name, Some(Step::First)),
        None => (part, None),
    };
    let is_name = name
        .chars()
        .all(|letter| letter.is_alphanumeric() || letter == '_');
    if name.is_empty() || !is_name {
        return Err(format!(
            "`{part}` is no field: write `variable.Field.Field`, `[0]` for a first element"
        ));
    }
    Ok((name, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_variable_and_steps() {
        let path = Path::parse("in.Compare[0].Key").unwrap();
        let field = |name: &str| Step::Field(name.into());
        assert_eq!(&*path.variable, "in");
        assert_eq!(path.steps, [field("Compare"), Step::First, field("Key")]);
        assert_eq!(path.to_string(), "in.Compare[0].Key");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "a..b", "a.b[1]", "a.[0]", "a.b c"] {
            assert!(Path::parse(text).is_err(), "{text:?}");
        }
    }
}
