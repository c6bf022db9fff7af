//! What the suite finds on the machine before, and must find after.

use std::fs;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    interfaces: Vec<String>,
    mounts: String,
    cgroups: Vec<String>,
    pinned: Vec<String>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let list = |dir: &str| -> Vec<String> {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            let mut names: Vec<_> = entries
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        let hierarchies = list("/sys/fs/cgroup");
        let labs = hierarchies
            .iter()
            .flat_map(|hierarchy| list(&format!("/sys/fs/cgroup/{hierarchy}")))
            .chain(hierarchies.clone())
            .filter(|name| name.starts_with("innerspan-lab-"));
        Self {
            interfaces: list("/sys/class/net"),
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
            cgroups: labs.collect(),
            pinned: list("/sys/fs/bpf"),
        }
    }

    pub(crate) fn is_as_it_was(&self) {
        // A cgroup cannot be removed as long as a process is in it.
        assert_eq!(self, &Self::look());
    }
}
