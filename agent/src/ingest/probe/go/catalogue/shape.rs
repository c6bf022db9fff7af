//! What a captured value must look like to be believed.
//!
//! A wrong offset reads garbage; garbage hardly ever looks like a UUID. The shape follows from the attribute, so
//! that an entry cannot forget it.

use std::sync::Arc;

use crate::model::attr;

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Printable text.
    Text,
    /// A pod's UID: a UUID, or for a static pod the 32 hex digits of the kubelet's hash.
    Uid,
    /// The id of a container or sandbox: 64 hex digits.
    ContainerId,
    /// The name of an object or a namespace: lower-case letters, digits, `-` and `.`; `:` in those of RBAC.
    Name,
    /// Two names with a slash between them.
    Pair,
}

impl Shape {
    /// The shape of what these attributes hold.
    #[must_use]
    pub fn of(keys: &[Arc<str>]) -> Self {
        match keys {
            [key] if &**key == attr::K8S_POD_UID => Self::Uid,
            [key] if matches!(&**key, attr::CONTAINER_ID | attr::SANDBOX_ID) => Self::ContainerId,
            [key] if key.starts_with("k8s.") && key.ends_with(".name") => Self::Name,
            [_, _] => Self::Pair,
            _ => Self::Text,
        }
    }

    /// Does the value have this form?
    #[must_use]
    pub fn fits(self, value: &str) -> bool {
        match self {
            Self::Text => !value.is_empty() && value.chars().all(|letter| !letter.is_control()),
            Self::Uid => is_uuid(value) || is_hex(value, 32),
            Self::ContainerId => is_hex(value, 64),
            Self::Name => is_name(value),
            Self::Pair => value
                .split_once('/')
                .is_some_and(|(left, right)| is_name(left) && is_name(right)),
        }
    }
}

fn is_hex(value: &str, length: usize) -> bool {
    value.len() == length
        && value
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_uuid(value: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    value.len() == 36
        && value.bytes().enumerate().all(|(at, byte)| {
            if dashes.contains(&at) {
                byte == b'-'
            } else {
                is_digit(byte)
            }
        })
}

fn is_name(value: &str) -> bool {
    let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b':');
    !value.is_empty() && value.len() <= 253 && value.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, fits: &[&str], unfit: &[&str]) {
        let keys: Vec<Arc<str>> = key.split('/').map(Arc::from).collect();
        let shape = Shape::of(&keys);
        for value in fits {
            assert!(shape.fits(value), "{shape:?} {value}");
        }
        for value in unfit {
            assert!(!shape.fits(value), "{shape:?} {value}");
        }
    }

    #[test]
    fn the_attribute_says_what_its_value_looks_like() {
        let id = "0123456789abcdef".repeat(4);
        check(
            "k8s.pod.uid",
            &[
                "8d1b2c3e-0a1b-4c2d-9e8f-001122334455",
                "0123456789abcdef0123456789abcdef",
            ],
            &["", "8d1b2c3e00a1b-4c2d-9e8f-001122334455", &id],
        );
        check("container.id", &[&id], &["0123", &id.to_uppercase()]);
        check("k8s.pod.name", &["web-5d8f.0"], &["", "Web", "a\0b", "a/b"]);
        check(
            "k8s.namespace.name/k8s.job.name",
            &["default/a"],
            &["default", "a/", "a/b/c"],
        );
        check("etcd.key", &["/registry/pods/default/web"], &["", "a\u{7}"]);
    }
}
