//! The lab's own subtree in every cgroup hierarchy of this machine.
//!
//! In: places (`world`, `node1/system`). Out: directories, membership, and the processes in them.
//! Both layouts are served: one version 2 tree, and version 1 controllers beside an empty
//! version 2 tree. The subtree is also the lab's memory: the lab is up as long as a process is in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};

#[derive(Debug, Clone)]
struct Hierarchy {
    mount: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// What to pass to `mount -t cgroup -o`.
    V1(String),
    V2,
}

/// A subtree of the same name in every hierarchy.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    name: String,
    hierarchies: Vec<Hierarchy>,
}

impl Tree {
    pub(crate) fn new(name: String) -> anyhow::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
        let hierarchies: Vec<_> = mounts.lines().filter_map(hierarchy).collect();
        if hierarchies.is_empty() {
            bail!("no cgroup file system is mounted: the kubelet needs one under /sys/fs/cgroup");
        }
        Ok(Self { name, hierarchies })
    }

    /// Makes a place, with all parents that it lacks.
    pub(crate) fn create(&self, place: &str) -> anyhow::Result<()> {
        for hierarchy in &self.hierarchies {
            let mut at = hierarchy.mount.clone();
            for step in Path::new(&self.name).join(place).components() {
                at.push(step);
                make(hierarchy, &at).with_context(|| format!("cannot make the cgroup {}", at.display()))?;
            }
        }
        Ok(())
    }

    /// Gives a place the controllers of all its parents, which must be without processes by now.
    pub(crate) fn delegate(&self, place: &str) -> anyhow::Result<()> {
        for hierarchy in &self.hierarchies {
            let mut at = hierarchy.mount.clone();
            for step in Path::new(&self.name).join(place).components() {
                delegate(hierarchy, &at)?;
                at.push(step);
            }
        }
        Ok(())
    }

    /// Moves this process to a place.
    pub(crate) fn enter(&self, place: &str) -> anyhow::Result<()> {
        self.admit("0", place)
    }

    /// Moves a process, given by its id on the host.
    pub(crate) fn admit(&self, pid: &str, place: &str) -> anyhow::Result<()> {
        for hierarchy in &self.hierarchies {
            let procs = hierarchy.mount.join(&self.name).join(place).join("cgroup.procs");
            fs::write(&procs, pid).with_context(|| format!("cannot join {}", procs.display()))?;
        }
        Ok(())
    }

    /// Processes in a place itself, not below it.
    pub(crate) fn members(&self, place: &str) -> Vec<i32> {
        self.hierarchies
            .first()
            .map(|hierarchy| members(&hierarchy.mount.join(&self.name).join(place)))
            .unwrap_or_default()
    }

    /// Processes anywhere in the tree.
    pub(crate) fn everyone(&self) -> Vec<i32> {
        let mut found: Vec<_> = self
            .roots()
            .flat_map(|root| walk(&root))
            .flat_map(|dir| members(&dir))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Removes the tree, which must have no processes left.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        for root in self.roots() {
            // The deepest first; a cgroup stays busy for a moment after its last process.
            for dir in walk(&root).into_iter().rev() {
                remove(&dir).with_context(|| format!("cannot remove the cgroup {}", dir.display()))?;
            }
        }
        Ok(())
    }

    fn roots(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.hierarchies
            .iter()
            .map(|hierarchy| hierarchy.mount.join(&self.name))
    }

    /// What to mount inside a node, where the cgroup namespace makes its place the root:
    /// mount point, file system type, options.
    pub(crate) fn mounts(&self) -> Vec<(PathBuf, &'static str, String)> {
        let mount = |hierarchy: &Hierarchy| match &hierarchy.kind {
            Kind::V1(options) => (hierarchy.mount.clone(), "cgroup", options.clone()),
            Kind::V2 => (hierarchy.mount.clone(), "cgroup2", "rw".to_owned()),
        };
        self.hierarchies.iter().map(mount).collect()
    }
}

/// Reads a line of /proc/self/mounts.
fn hierarchy(line: &str) -> Option<Hierarchy> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (mount, filesystem, options) = (words.next()?, words.next()?, words.next()?);
    let kind = match filesystem {
        "cgroup2" => Kind::V2,
        "cgroup" => {
            let generic = [
                "rw", "ro", "relatime", "noatime", "nosuid", "nodev", "noexec", "xattr",
            ];
            let own: Vec<_> = options
                .split(',')
                .filter(|option| !generic.contains(option))
                .collect();
            let named = own.iter().any(|option| option.starts_with("name="));
            let prefix = if named { "none," } else { "" };
            Kind::V1(format!("{prefix}{}", own.join(",")))
        }
        _ => return None,
    };
    Some(Hierarchy {
        mount: mount.into(),
        kind,
    })
}

/// Hands the controllers of a version 2 cgroup down to its children.
fn delegate(hierarchy: &Hierarchy, dir: &Path) -> anyhow::Result<()> {
    if !matches!(hierarchy.kind, Kind::V2) {
        return Ok(());
    }
    let controllers = fs::read_to_string(dir.join("cgroup.controllers"))
        .with_context(|| format!("cannot read the controllers of {}", dir.display()))?;
    let enabled = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
    for controller in controllers.split_ascii_whitespace() {
        if enabled.split_ascii_whitespace().any(|have| have == controller) {
            continue;
        }
        fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"))
            .with_context(|| format!("cannot enable {controller} in {}", dir.display()))?;
    }
    Ok(())
}

/// A new version 1 cpuset is empty and admits nobody: it gets what its parent has.
fn make(hierarchy: &Hierarchy, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let (Kind::V1(options), Some(parent)) = (&hierarchy.kind, dir.parent()) else {
        return Ok(());
    };
    if options.split(',').any(|option| option == "cpuset") {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            fs::write(dir.join(file), fs::read(parent.join(file))?)?;
        }
    }
    Ok(())
}

fn members(dir: &Path) -> Vec<i32> {
    let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    procs.lines().filter_map(|pid| pid.parse().ok()).collect()
}

/// A directory and all below it, parents first.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let below = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .flat_map(|entry| walk(&entry.path()));
    std::iter::once(dir.to_owned()).chain(below).collect()
}

fn remove(dir: &Path) -> io::Result<()> {
    const TRIES: u32 = 100;
    let mut tries = 0;
    loop {
        match fs::remove_dir(dir) {
            Err(fault) if fault.kind() == io::ErrorKind::ResourceBusy && tries < TRIES => {
                tries += 1;
                thread::sleep(Duration::from_millis(50));
            }
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, hierarchy};

    fn options(line: &str) -> Option<String> {
        hierarchy(line).map(|hierarchy| match hierarchy.kind {
            Kind::V1(options) => options,
            Kind::V2 => "version 2".to_owned(),
        })
    }

    #[test]
    fn a_hierarchy_is_known_by_its_controllers_or_its_name() {
        for (line, expected) in [
            (
                "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0",
                Some("memory"),
            ),
            (
                "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0",
                Some("cpu,cpuacct"),
            ),
            (
                "cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0",
                Some("none,name=systemd"),
            ),
            (
                "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0",
                Some("version 2"),
            ),
            ("tmpfs /sys/fs/cgroup tmpfs rw 0 0", None),
        ] {
            assert_eq!(options(line).as_deref(), expected, "{line}");
        }
    }
}
