//! A set of namespaces, and how programs are run in it.
//!
//! A space is held by its first process, Kubernetes's `pause`: killing it ends all that runs in
//! the space and in the spaces within. In: a place in the cgroup tree. Out: commands that enter.
//! It does not know what the space is for.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use nix::sched::{CloneFlags, setns};

use super::{cgroup::Tree, components::Components, images, patience};
use crate::scrape;

/// What is shared by all spaces of one lab.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) tree: Tree,
    /// State and logs, under `target/`.
    pub(crate) dir: PathBuf,
    /// The lab's programs.
    pub(crate) components: Components,
}

/// A running space.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    pub(crate) ground: Ground,
    /// Where its processes are in the cgroup tree.
    pub(crate) place: String,
    /// Its first process, as the host numbers it.
    pub(crate) init: i32,
}

const NAMESPACES: [&str; 6] = ["--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup"];

impl Ground {
    /// Starts a space: on the host, or inside of another one.
    pub(crate) fn start(&self, within: Option<&Space>, place: &str) -> anyhow::Result<Space> {
        self.tree.create(place)?;
        let mut command = match within {
            None => Self::enter(place),
            Some(outer) => {
                let mut command = Self::enter(place);
                // Not its cgroup namespace: the new one takes `place` as its root.
                command.args(["nsenter", "--target", &outer.init.to_string()]);
                command.args(["--net", "--mount", "--pid", "--uts", "--ipc"]);
                command
            }
        };
        command.args(["setsid", "--fork", "unshare"]).args(NAMESPACES);
        command.args(["--fork", "--kill-child", "--mount-proc"]);
        command.arg(images::pause(&self.components)?);
        let log = self.log(place)?;
        start(&mut command, log)?;
        let depth = if within.is_some() { 3 } else { 2 };
        let init = patience::until(
            "the first process of a namespace",
            Duration::from_secs(10),
            || {
                self.init(place, depth)
                    .with_context(|| format!("no first process in {place}"))
            },
        )?;
        Ok(self.space(place, init))
    }

    /// Finds a running space by its place; `depth` counts the PID namespaces around its first process.
    pub(crate) fn find(&self, place: &str, depth: usize) -> Option<Space> {
        let init = self.init(place, depth)?;
        Some(self.space(place, init))
    }

    fn space(&self, place: &str, init: i32) -> Space {
        Space {
            ground: self.clone(),
            place: place.to_owned(),
            init,
        }
    }

    fn init(&self, place: &str, depth: usize) -> Option<i32> {
        self.tree.members(place).into_iter().find(|pid| {
            let ids = nested_ids(*pid);
            ids.len() == depth && ids.last() == Some(&1)
        })
    }

    /// A command that is in its cgroups before it starts.
    fn enter(place: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| "xtask".into()));
        command.args(["lab", "enter", place, "--"]);
        command
    }

    /// An empty log that nobody has written to yet, for a process that outlives this one.
    fn log(&self, name: &str) -> anyhow::Result<File> {
        let path = self.log_path(name);
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))
    }

    pub(crate) fn log_path(&self, name: &str) -> PathBuf {
        self.dir
            .join("logs")
            .join(format!("{}.log", name.replace('/', "-")))
    }
}

impl Space {
    /// A command in this space with the lab's programs on its PATH and nothing else of ours.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.bare("/");
        command.arg(program);
        command.env_clear().envs(self.environment());
        command
    }

    /// Becomes a program that runs in this space, in the same directory, with the same terminal.
    pub(crate) fn become_program(&self, words: &[String]) -> anyhow::Error {
        let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
        let mut command = self.bare(here);
        command.args(words).envs(self.environment());
        anyhow::Error::new(command.exec()).context("cannot enter the lab")
    }

    fn bare(&self, dir: impl AsRef<OsStr>) -> Command {
        let mut command = Ground::enter(&self.place);
        command.args(["nsenter", "--target", &self.init.to_string()]);
        command
            .args(NAMESPACES)
            .args(["--root", "--", "env", "--chdir"])
            .arg(dir);
        command
    }

    fn environment(&self) -> [(&'static str, String); 4] {
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            self.ground.components.path()
        );
        [
            ("PATH", path),
            ("HOME", "/root".to_owned()),
            ("TMPDIR", "/var/tmp".to_owned()),
            ("KUBECONFIG", "/etc/kubernetes/admin.conf".to_owned()),
        ]
    }

    /// Runs a command to its end and returns its output.
    pub(crate) fn run(&self, words: &[&str]) -> anyhow::Result<String> {
        self.run_within(words, Duration::from_secs(30))
    }

    pub(crate) fn run_within(&self, words: &[&str], within: Duration) -> anyhow::Result<String> {
        let (program, arguments) = words.split_first().context("an empty command")?;
        patience::output(self.command(program).args(arguments), within)
    }

    /// Starts a process that lives as long as this space; what it prints is in its log.
    pub(crate) fn daemon(
        &self,
        name: &str,
        words: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<()> {
        let mut command = self.command("setsid");
        command.arg("--fork").args(words);
        command.envs(environment.iter().cloned());
        start(&mut command, self.ground.log(name)?).with_context(|| format!("cannot start {name}"))
    }

    /// Asks an HTTP server that only this space can reach.
    pub(crate) fn fetch(&self, server: SocketAddr, path: &str) -> anyhow::Result<String> {
        let namespace = format!("/proc/{}/ns/net", self.init);
        let path = path.to_owned();
        // A thread moves alone, and ends where it went.
        let ask = move || {
            let namespace = File::open(namespace).context("cannot open the network namespace")?;
            setns(namespace, CloneFlags::CLONE_NEWNET).context("cannot enter the network namespace")?;
            scrape::get(server, &path)
        };
        thread::spawn(ask)
            .join()
            .map_err(|_panic| anyhow!("the request panicked"))?
    }

    /// The first process, as the process namespace around this space numbers it.
    pub(crate) fn init_from_outside(&self) -> anyhow::Result<i32> {
        let ids = nested_ids(self.init);
        ids.iter()
            .rev()
            .nth(1)
            .copied()
            .context("the first process of a space is gone")
    }
}

/// Starts something that detaches by itself.
fn start(command: &mut Command, log: File) -> anyhow::Result<()> {
    let errors = log.try_clone().context("cannot share a log")?;
    let status = command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .status()
        .context("cannot start a process of the lab")?;
    if !status.success() {
        bail!("a process of the lab did not start: {status}");
    }
    Ok(())
}

/// The ids of a process in the namespaces around it, from the host's inwards.
fn nested_ids(pid: i32) -> Vec<i32> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    status
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .map(|ids| {
            ids.split_ascii_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect()
        })
        .unwrap_or_default()
}
