//! What this node adds to the resource of everything that passes.

use std::collections::BTreeMap;

/// Resource attributes by key: the node's identity and what the configuration adds.
///
/// String values only: every key that innerspan adds is a string in the semantic conventions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceAttributes(BTreeMap<String, String>);

impl ResourceAttributes {
    /// Sets a key, unless the value is empty: an empty attribute says nothing.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.insert(key.into(), value);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}
