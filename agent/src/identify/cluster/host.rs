//! What the host says of itself, without asking anyone.

use std::{fs, path::Path};

const HOSTNAME: &str = "proc/sys/kernel/hostname";
const MACHINE_ID: &str = "etc/machine-id";

/// The host's own identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// In lower case, which is how the kubelet makes the node's name of it.
    pub name: String,
    /// Empty if the host has none or it is not mounted.
    pub machine_id: String,
}

impl Host {
    /// Reads it below the root of a file system.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let line = |file| {
            fs::read_to_string(root.join(file))
                .unwrap_or_default()
                .trim()
                .to_lowercase()
        };
        Self {
            name: line(HOSTNAME),
            machine_id: line(MACHINE_ID),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_the_identity_that_its_files_say() {
        let root = tempfile::TempDir::new().unwrap();
        assert_eq!(Host::read(root.path()), Host::default());
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join(HOSTNAME), "Node-1\n").unwrap();
        fs::write(root.path().join(MACHINE_ID), "0123abcd\n").unwrap();
        let expected = Host {
            name: "node-1".to_owned(),
            machine_id: "0123abcd".to_owned(),
        };
        assert_eq!(Host::read(root.path()), expected);
    }
}
