//! Which programs run on this node: processes as they start, change their executable and end.
//!
//! In: /proc, asked again and again. Out: what changed since the last time. Must not know spans, nor what a program
//! is for. Works for processes in other PID and mount namespaces, as long as /proc shows them.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::cgroup::Place;
use crate::model::process::{Executable, Pid};

/// A process that runs an executable which it did not run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    pub pid: Pid,
    pub executable: Executable,
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Ended, or runs another executable now. Comes before what started.
    pub ended: Vec<Pid>,
    pub started: Vec<Started>,
}

/// The processes of this node as they were last seen.
#[derive(Debug)]
pub struct Processes {
    proc: PathBuf,
    known: HashMap<Pid, Executable>,
    /// Whether one was found whose executable may not be read.
    refused: bool,
}

impl Processes {
    /// Reads below `proc`, which is /proc but for tests.
    #[must_use]
    pub fn new(proc: &Path) -> Self {
        Self {
            proc: proc.to_owned(),
            known: HashMap::new(),
            refused: false,
        }
    }

    /// Whether the executable of some process could not be read for want of the capability `SYS_PTRACE`.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Looks at every process once: a `stat` for each.
    pub fn refresh(&mut self) -> io::Result<Changes> {
        let mut changes = Changes::default();
        let mut now = HashMap::with_capacity(self.known.len());
        for entry in fs::read_dir(&self.proc)? {
            // A process may end at any moment, and with it whatever is read of it.
            let Some(pid) = entry
                .ok()
                .and_then(|entry| entry.file_name().to_str()?.parse().ok())
            else {
                continue;
            };
            if let Some(executable) = self.executable(Pid(pid)) {
                now.insert(Pid(pid), executable);
            }
        }
        for (pid, executable) in &self.known {
            if now.get(pid) != Some(executable) {
                changes.ended.push(*pid);
            }
        }
        for (&pid, &executable) in &now {
            if self.known.get(&pid) != Some(&executable) {
                changes.started.push(Started { pid, executable });
            }
        }
        changes.ended.sort_unstable();
        changes.started.sort_unstable_by_key(|started| started.pid);
        self.known = now;
        Ok(changes)
    }

    /// A kernel thread has none.
    fn executable(&mut self, pid: Pid) -> Option<Executable> {
        match fs::metadata(self.path(pid)) {
            Ok(file) => Some(Executable {
                device: file.dev(),
                inode: file.ino(),
                size: file.size(),
                modified: (file.mtime(), file.mtime_nsec()),
            }),
            Err(error) => {
                self.refused |= error.kind() == io::ErrorKind::PermissionDenied;
                None
            }
        }
    }

    /// The executable itself, also when its file has been replaced or removed since.
    #[must_use]
    pub fn path(&self, pid: Pid) -> PathBuf {
        self.file(pid, "exe")
    }

    /// The pod and the container that a process is in; none for one of the node itself.
    #[must_use]
    pub fn place(&self, pid: Pid) -> Option<Place> {
        let file = fs::read_to_string(self.file(pid, "cgroup")).ok()?;
        Place::of_process(&file)
    }

    fn file(&self, pid: Pid, name: &str) -> PathBuf {
        self.proc.join(pid.0.to_string()).join(name)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A /proc with nothing in it but links to executables.
    struct Proc(tempfile::TempDir);

    impl Proc {
        fn new() -> Self {
            let proc = Self(tempfile::tempdir().unwrap());
            for (name, content) in [("kubelet", "1"), ("etcd", "22")] {
                fs::write(proc.0.path().join(name), content).unwrap();
            }
            fs::create_dir(proc.0.path().join("self")).unwrap();
            proc
        }

        fn run(&self, pid: u32, executable: &str) {
            self.end(pid);
            let folder = self.0.path().join(pid.to_string());
            fs::create_dir(&folder).unwrap();
            symlink(self.0.path().join(executable), folder.join("exe")).unwrap();
        }

        fn end(&self, pid: u32) {
            drop(fs::remove_dir_all(self.0.path().join(pid.to_string())));
        }
    }

    fn check(processes: &mut Processes, ended: &[u32], started: &[u32]) {
        let changes = processes.refresh().unwrap();
        let pids: Vec<u32> = changes.started.iter().map(|started| started.pid.0).collect();
        let gone: Vec<u32> = changes.ended.iter().map(|pid| pid.0).collect();
        assert_eq!((&*gone, &*pids), (ended, started));
    }

    #[test]
    fn processes_start_change_and_end() {
        let proc = Proc::new();
        let mut processes = Processes::new(proc.0.path());
        check(&mut processes, &[], &[]);
        proc.run(7, "kubelet");
        proc.run(9, "etcd");
        check(&mut processes, &[], &[7, 9]);
        check(&mut processes, &[], &[]);
        // As runc becomes the program that it starts.
        proc.run(7, "etcd");
        proc.end(9);
        check(&mut processes, &[7, 9], &[7]);
    }

    #[test]
    fn a_file_that_was_replaced_is_another_executable() {
        let proc = Proc::new();
        let mut processes = Processes::new(proc.0.path());
        proc.run(7, "kubelet");
        check(&mut processes, &[], &[7]);
        fs::write(proc.0.path().join("kubelet"), "a new release").unwrap();
        check(&mut processes, &[7], &[7]);
    }

    #[test]
    fn a_process_is_in_the_pod_of_its_control_group() {
        let proc = Proc::new();
        let processes = Processes::new(proc.0.path());
        proc.run(7, "etcd");
        assert_eq!(processes.place(Pid(7)), None);
        let uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let file = proc.0.path().join("7/cgroup");
        fs::write(file, format!("0::/kubepods/burstable/pod{uid}\n")).unwrap();
        assert_eq!(processes.place(Pid(7)).unwrap().pod.to_string(), uid);
    }

    #[test]
    fn a_kernel_thread_is_no_process() {
        let proc = Proc::new();
        let mut processes = Processes::new(proc.0.path());
        proc.run(2, "no such file");
        check(&mut processes, &[], &[]);
    }
}
