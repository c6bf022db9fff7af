//! One program under measurement: a process on a core that is chosen for it.
//!
//! In: a command. Out: the CPU time and the memory that it has used so far, as the kernel
//! counts them. It ends with this value.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cpu {
    /// Alone: what is measured.
    Alone = 0,
    /// With the load generator and the sink.
    Ours = 1,
}

/// How long a program may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    clock: ClockId,
    log: PathBuf,
}

/// Resident memory in kB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resident {
    pub(super) now: u64,
    pub(super) peak: u64,
}

/// Keeps the calling thread off the core of what is measured.
pub(super) fn pin_ourselves() -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(Cpu::Ours as usize)?;
    sched_setaffinity(Pid::this(), &cores).context("cannot use a second core: the bench needs two")
}

impl Process {
    /// Starts it with its output in a file, and waits until it listens.
    pub(super) async fn start(
        command: &Command,
        cpu: Cpu,
        listens: SocketAddr,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut pinned = Command::new("taskset");
        pinned
            .arg("--cpu-list")
            .arg((cpu as usize).to_string())
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        let child = pinned
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start taskset: install util-linux")?;
        let pid = Pid::from_raw(child.id().try_into()?);
        let clock = clock_getcpuclockid(pid).context("cannot read the CPU time of a process")?;
        let mut process = Self {
            child,
            clock,
            log: log.into(),
        };
        process.wait_for(listens).await?;
        Ok(process)
    }

    async fn wait_for(&mut self, listens: SocketAddr) -> anyhow::Result<()> {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(listens).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: see {}", self.log.display());
            }
            if begun.elapsed() > PATIENCE {
                bail!("it does not listen on {listens}: see {}", self.log.display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What it has said.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// CPU time of all its threads, ended ones included.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        let used =
            clock_gettime(self.clock).with_context(|| format!("it is gone: see {}", self.log.display()))?;
        Ok(used.into())
    }

    pub(super) fn resident(&self) -> anyhow::Result<Resident> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kilobytes = |key| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .with_context(|| format!("no {key} in /proc: see {}", self.log.display()))
        };
        Ok(Resident {
            now: kilobytes("VmRSS:")?,
            peak: kilobytes("VmHWM:")?,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Everything has arrived by now, so there is nothing that it should still do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
