//! `cargo xtask bench`: how fast innerspan is, beside its peers on the same machine.
//!
//! Figures are printed and kept under `target/bench`; none is a reason to fail, since a shared
//! machine gives another one every minute. What was lost is.

use std::{
    env,
    process::{Command, ExitCode},
};

use anyhow::Context as _;

use crate::place;

mod client;
mod forward;
mod forwarder;
mod grpc;
mod load;
mod markdown;
mod probes;
mod process;
mod recording;
mod sink;
mod spread;
mod table;
mod wire;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The benches to run; all when none is named.
    #[arg(value_enum)]
    names: Vec<Name>,
    /// One short round: shows that it works, but its figures are worth little.
    #[arg(long)]
    quick: bool,
    /// innerspan alone, without its peers.
    #[arg(long)]
    only_ours: bool,
    /// Boot the lab for what an idle node costs; without it that is measured if a lab is up.
    #[arg(long)]
    lab: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// OTLP in, OTLP out: CPU, memory and bytes per span, and whether all of them arrive.
    Forward,
    /// What the probes cost the components and the agent.
    Probes,
    /// What following the starts of pods costs the agent.
    Starts,
    /// The part of `probes` that runs in a process namespace of its own.
    #[value(hide = true)]
    ProbesAlone,
}

/// What runs when nothing is named.
const ALL: &[Name] = &[Name::Forward, Name::Probes, Name::Starts];

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if cfg!(debug_assertions) {
        return in_release();
    }
    let names = if args.names.is_empty() { ALL } else { &args.names };
    let mut passed = true;
    for name in names {
        passed &= match name {
            Name::Forward => forward::run(args.quick, args.only_ours)?,
            Name::Probes => probes::run(args.quick, args.lab)?,
            Name::Starts => starts()?,
            Name::ProbesAlone => probes::measure(args.quick)?,
        };
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A recorded start, a thousand times over: a program of the agent's own, since only it knows what it follows.
fn starts() -> anyhow::Result<bool> {
    let status = Command::new("cargo")
        .current_dir(place::root())
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "innerspan",
            "--example",
            "pod_starts",
        ])
        .status()
        .context("cannot start cargo")?;
    Ok(status.success())
}

/// The same command, optimised: otherwise the load generator is what is measured.
fn in_release() -> anyhow::Result<ExitCode> {
    let status = Command::new("cargo")
        .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
        .args(env::args_os().skip(1))
        .status()
        .context("cannot start cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
