//! What the probes cost an etcd that is busy: the lab's own, with puts at a fixed rate.
//!
//! Rounds without and with an agent take turns, and each round with one is held against the rounds before and
//! after it, so that neither a slow minute nor a database that grows makes a difference of its own. What is
//! measured is CPU time, which waits for nobody.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use tokio::{
    task::JoinSet,
    time::{self, MissedTickBehavior},
};

use super::{
    super::{
        client::Client,
        forwarder::free_address,
        grpc::{self, Answer},
        markdown::{head, markdown},
        process::{Cpu, Process},
        spread::{Spread, float},
        wire,
    },
    Plan,
    agent::Agent,
};

const COMPONENT: &str = "etcd";
const PUT: &str = "/etcdserverpb.KV/Put";

/// Of all clients together: far more than the API server of a small cluster asks for.
const CALLS_PER_SECOND: u32 = 2_000;
/// Each waits for its answer; together they keep up the rate while etcd waits for its disk.
const CLIENTS: u32 = 64;
const CONNECTIONS: usize = 4;
/// As large as an object of Kubernetes.
const VALUE: usize = 1_000;
const KEYS: u32 = 1_000;
/// One key in so many is of a pod, whose calls become spans however fast they are.
const PODS: u32 = 10;

/// From the end of an agent until the kernel has taken its last probe off.
const DETACHED: Duration = Duration::from_secs(2);

/// What one round cost, in microseconds per call.
#[derive(Clone, Copy, Debug)]
struct Round {
    etcd: f64,
    /// Calls that were answered in a second.
    rate: f64,
}

#[derive(Clone, Copy, Debug)]
struct Traced {
    round: Round,
    agent: f64,
    /// Calls of probed functions, for each call of etcd.
    functions: f64,
}

/// All rounds: those with an agent between those without.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    without: Vec<Round>,
    with: Vec<Traced>,
    /// Of one run of the programs, without the trap that starts it.
    nanos_per_run: f64,
}

/// What is measured, and what it is measured with.
#[derive(Debug)]
pub(super) struct Bed<'a> {
    pub(super) plan: Plan,
    pub(super) etcd: &'a Path,
    pub(super) innerspan: &'a Path,
    pub(super) sink: SocketAddr,
    pub(super) files: &'a Path,
}

impl Bed<'_> {
    /// Starts an etcd and measures it, without an agent first and last.
    pub(super) async fn measure(&self) -> anyhow::Result<Rounds> {
        let (etcd, address) = start(self.etcd, self.files).await?;
        let load = Load::connect(address).await?;
        load.put(self.plan.warm_up).await?;
        let mut rounds = Rounds::default();
        for pair in 1..=self.plan.pairs {
            eprintln!("etcd: pair {pair} of {}", self.plan.pairs);
            rounds.without.push(self.round(&etcd, &load).await?);
            let agent = self.agent().await?;
            rounds.with.push(self.traced(&etcd, &load, &agent).await?);
            drop(agent);
            time::sleep(DETACHED).await;
        }
        rounds.without.push(self.round(&etcd, &load).await?);
        rounds.nanos_per_run = self.nanos_per_run(&load).await?;
        Ok(rounds)
    }

    async fn agent(&self) -> anyhow::Result<Agent> {
        Agent::start(
            self.innerspan,
            "",
            COMPONENT,
            self.sink,
            &self.files.join("agent"),
        )
        .await
    }

    async fn round(&self, etcd: &Process, load: &Load) -> anyhow::Result<Round> {
        load.put(self.plan.warm_up).await?;
        let (cpu, begun) = (etcd.cpu()?, Instant::now());
        let calls = f64::from(load.put(self.plan.length).await?);
        Ok(Round {
            etcd: micros(etcd.cpu()?.saturating_sub(cpu)) / calls,
            rate: calls / begun.elapsed().as_secs_f64(),
        })
    }

    async fn traced(&self, etcd: &Process, load: &Load, agent: &Agent) -> anyhow::Result<Traced> {
        let entered = || agent.count(COMPONENT, "entered");
        load.put(self.plan.warm_up).await?;
        let (cpu, entries) = (agent.cpu()?, entered()?);
        let (etcd, begun) = ((etcd, etcd.cpu()?), Instant::now());
        let calls = f64::from(load.put(self.plan.length).await?);
        let (rate, etcd) = (
            calls / begun.elapsed().as_secs_f64(),
            micros(etcd.0.cpu()?.saturating_sub(etcd.1)) / calls,
        );
        let traced = Traced {
            round: Round { etcd, rate },
            agent: micros(agent.cpu()?.saturating_sub(cpu)) / calls,
            functions: float(entered()? - entries) / calls,
        };
        exact(agent)?;
        Ok(traced)
    }

    /// With the kernel's own count of the programs' time, which adds a little to it.
    async fn nanos_per_run(&self, load: &Load) -> anyhow::Result<f64> {
        let _counting = Counting::start()?;
        let agent = self.agent().await?;
        load.put(self.plan.length).await?;
        agent.nanos_per_run()
    }
}

/// Each entry has its return, but for the calls that are under way or were when the probes came.
fn exact(agent: &Agent) -> anyhow::Result<()> {
    let [entered, returned, matched, unmatched] =
        ["entered", "returned", "matched", "unmatched"].map(|state| agent.count(COMPONENT, state));
    let (entered, returned, matched, unmatched) = (entered?, returned?, matched?, unmatched?);
    let under_way = u64::from(CLIENTS);
    ensure!(
        unmatched <= under_way && returned == matched + unmatched && entered - matched <= under_way,
        "of {entered} entries {matched} have their return, and of {returned} returns {unmatched} have no entry"
    );
    Ok(())
}

impl Rounds {
    /// How much more etcd used in each round with an agent than in the two around it, as parts of one.
    fn more(&self) -> Spread {
        let around = self.without.windows(2).zip(&self.with);
        Spread::of(around.map(|(around, with)| {
            let without = around.iter().map(|round| round.etcd).sum::<f64>() / 2.0;
            with.round.etcd / without - 1.0
        }))
    }

    pub(super) fn table(&self) -> String {
        let of = |value: fn(&Traced) -> f64| Spread::of(self.with.iter().map(value));
        let micros = |value: f64| format!("{value:.1} µs");
        let percent = |value: f64| format!("{:.1} %", 100.0 * value);
        let rate = |spread: Spread| format!("{:.0}", spread.median);
        let without = Spread::of(self.without.iter().map(|round| round.etcd));
        let line = |what: &str, cells: [String; 3]| [&[what.to_owned()], &cells[..]].concat();
        markdown(&[
            head(["etcd, for each put", "without probes", "with all of them", "more"]),
            line(
                "CPU time of etcd",
                [
                    without.show(micros),
                    of(|with| with.round.etcd).show(micros),
                    self.more().show(percent),
                ],
            ),
            line(
                "CPU time of the agent",
                [String::new(), of(|with| with.agent).show(micros), String::new()],
            ),
            line(
                "calls of probed functions",
                [
                    String::new(),
                    of(|with| with.functions).show(|value| format!("{value:.1}")),
                    String::new(),
                ],
            ),
            line(
                "one run of a program, without its trap",
                [
                    String::new(),
                    format!("{:.0} ns", self.nanos_per_run),
                    String::new(),
                ],
            ),
            line(
                "puts/s",
                [
                    rate(Spread::of(self.without.iter().map(|round| round.rate))),
                    rate(of(|with| with.round.rate)),
                    String::new(),
                ],
            ),
        ])
    }
}

/// Has the kernel count the time of all eBPF programs, until this is dropped.
struct Counting {
    before: String,
}

impl Counting {
    const SETTING: &str = "/proc/sys/kernel/bpf_stats_enabled";

    fn start() -> anyhow::Result<Self> {
        let before = fs::read_to_string(Self::SETTING).context("this kernel does not count")?;
        fs::write(Self::SETTING, "1").context("cannot have the kernel count: run as root")?;
        Ok(Self { before })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        drop(fs::write(Self::SETTING, &self.before));
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// On a core of its own, with its database on the disk that this checkout is on.
async fn start(program: &Path, files: &Path) -> anyhow::Result<(Process, SocketAddr)> {
    let data: PathBuf = files.join("data");
    if data.exists() {
        fs::remove_dir_all(&data).with_context(|| format!("cannot clear {}", data.display()))?;
    }
    fs::create_dir_all(files).with_context(|| format!("cannot create {}", files.display()))?;
    let (client, peer) = (free_address()?, free_address()?);
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(&data);
    for (option, value) in [
        ("--listen-client-urls", format!("http://{client}")),
        ("--advertise-client-urls", format!("http://{client}")),
        ("--listen-peer-urls", format!("http://{peer}")),
        ("--initial-advertise-peer-urls", format!("http://{peer}")),
        ("--initial-cluster", format!("default=http://{peer}")),
        ("--log-level", "error".to_owned()),
    ] {
        command.arg(option).arg(value);
    }
    let process = Process::start(&command, Cpu::Alone, client, &files.join("log")).await;
    Ok((process.context("etcd did not start")?, client))
}

/// Clients that put values, each one after the other.
#[derive(Debug)]
struct Load {
    clients: Vec<Client>,
}

impl Load {
    async fn connect(to: SocketAddr) -> anyhow::Result<Self> {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Client::connect(to, PUT).await.context("cannot connect to etcd")?);
        }
        Ok(Self { clients })
    }

    /// Puts for so long, and says how often.
    async fn put(&self, length: Duration) -> anyhow::Result<u32> {
        let mut clients = JoinSet::new();
        for (number, client) in (0..CLIENTS).zip(self.clients.iter().cycle()) {
            clients.spawn(keep_putting(client.clone(), number, length));
        }
        let mut calls = 0;
        while let Some(one) = clients.join_next().await {
            calls += one.context("a client ended early")??;
        }
        Ok(calls)
    }
}

async fn keep_putting(mut client: Client, number: u32, length: Duration) -> anyhow::Result<u32> {
    let gap = Duration::from_secs(1) / CALLS_PER_SECOND;
    let mut ticks = time::interval_at(time::Instant::now() + gap * number, gap * CLIENTS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = Instant::now();
    for call in 0_u32.. {
        ticks.tick().await;
        if begun.elapsed() >= length {
            return Ok(call);
        }
        let key = call * CLIENTS + number;
        if client.call(request(key)).await? != Answer::Accepted {
            bail!("etcd is overloaded");
        }
    }
    Ok(u32::MAX)
}

/// A framed `etcdserverpb.PutRequest`.
fn request(number: u32) -> Bytes {
    const KEY: u32 = 1;
    const VALUE_OF: u32 = 2;
    let kind = if number.is_multiple_of(PODS) {
        "pods"
    } else {
        "leases"
    };
    let mut message = Vec::new();
    let key = format!("/registry/{kind}/bench/{:04}", number % KEYS);
    wire::put(&mut message, KEY, key.as_bytes());
    wire::put(&mut message, VALUE_OF, &[b'x'; VALUE]);
    grpc::frame(&message)
}
