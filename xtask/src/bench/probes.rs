//! The bench `probes`: what innerspan's probes cost the programs that they are in, and the agent.
//!
//! In: the agent as it is shipped, and the lab's components. Out: tables of what one probed call costs, of how many
//! of a component's probes are of the cheap kind, of an etcd under load with an agent and without, and of an idle node.
//!
//! The agent looks into every component that it sees. So what is measured runs in a process namespace of its own, and
//! other components of this machine are left alone.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{process, sink::Sink};
use crate::{image, lab::components::Components, place};

mod agent;
mod calls;
mod etcd;
mod functions;
mod node;

/// How often, and how long at a time.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Of a round without probes and one with them.
    pairs: u32,
    warm_up: Duration,
    length: Duration,
    /// Of one round in which a program does nothing but call.
    calls: u32,
}

const FULL: Plan = Plan {
    pairs: 10,
    warm_up: Duration::from_secs(1),
    length: Duration::from_secs(5),
    calls: 20_000,
};

const QUICK: Plan = Plan {
    pairs: 1,
    warm_up: Duration::from_millis(500),
    length: Duration::from_secs(2),
    calls: 2_000,
};

/// What the measurement in a namespace of its own leaves: its tables, and what the dearest kind of call costs.
const REPORT: &str = "report";
const NANOS: &str = "nanos_per_call";

/// True if all that was measured could be.
pub(super) fn run(quick: bool, boot: bool) -> anyhow::Result<bool> {
    let components = Components::locate()?;
    let innerspan = image::static_binary()?;
    let functions = functions::table(&components, &innerspan)?;
    let idle = node::measure(boot)?;
    let measured = measure_alone(quick)?;
    let report = measured[REPORT].as_str().unwrap_or_default();
    let nanos_per_call = measured[NANOS].as_f64().unwrap_or(f64::NAN);
    let idle = idle.map_or_else(
        || "An idle node was not measured: no lab is up, and --lab did not ask for one.\n".to_owned(),
        |idle| idle.table(nanos_per_call),
    );
    let report = format!("{report}\n{functions}\n{idle}");
    println!("{report}");
    let file = place::root().join("target/bench/probes.md");
    fs::write(&file, report).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(true)
}

/// Starts [`measure`] as the first process of a namespace, with which all that it starts ends.
fn measure_alone(quick: bool) -> anyhow::Result<Value> {
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
    ]);
    command.arg("--kill-child").arg(env::current_exe()?);
    command.args(["bench", "probes-alone"]);
    if quick {
        command.arg("--quick");
    }
    let ended = command.stdin(Stdio::null()).status();
    let ended = ended.context("cannot start setpriv: install util-linux")?;
    ensure!(ended.success(), "the measurement ended with {ended}");
    let written = fs::read(measured()).context("nothing was measured")?;
    serde_json::from_slice(&written).context("what was measured is not understood")
}

/// The part that needs a process namespace of its own.
pub(super) fn measure(quick: bool) -> anyhow::Result<bool> {
    let plan = if quick { QUICK } else { FULL };
    let file = measured();
    let files = file.parent().unwrap_or(place::root());
    fs::create_dir_all(files).with_context(|| format!("cannot create {}", files.display()))?;
    let innerspan = image::static_binary()?;
    let etcd = Components::locate()?.build_program("etcd", "etcd")?;
    let program = calls::build(files)?;
    let begun = load_average()?;
    process::pin_ourselves()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (costs, rounds) = runtime.block_on(async {
        let sink = Sink::start().await?;
        let mut costs = Vec::new();
        for case in &calls::CASES {
            eprintln!("calls: {}", case.name);
            let files = files.join("calls-agent");
            costs.push(calls::measure(plan, case, &program, &innerspan, sink.address, &files).await?);
        }
        let bed = etcd::Bed {
            plan,
            etcd: &etcd,
            innerspan: &innerspan,
            sink: sink.address,
            files: &files.join("etcd"),
        };
        anyhow::Ok((costs, bed.measure().await?))
    })?;
    let report = format!(
        "Load of the machine: {begun} before, {} after.\n\n{}\n{}",
        load_average()?,
        calls::table(&costs),
        rounds.table()
    );
    let dearest = costs.iter().map(|cost| cost.added().median).fold(0.0, f64::max);
    let measured = json!({ REPORT: report, NANOS: dearest });
    fs::write(&file, measured.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(true)
}

fn measured() -> PathBuf {
    place::root().join("target/bench/probes/measured.json")
}

/// Of the last minute, our own load included.
fn load_average() -> anyhow::Result<String> {
    let all = fs::read_to_string("/proc/loadavg").context("cannot read the load of this machine")?;
    Ok(all.split_ascii_whitespace().next().unwrap_or_default().to_owned())
}
