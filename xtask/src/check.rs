//! `cargo xtask check`: everything about the source that can be judged without running it.
//!
//! Every step runs, also after one that failed, so that one run shows all faults.

use std::process::{Command, ExitCode};

use crate::{
    place,
    step::{self, Steps},
    tidy,
};

/// The release that reads `.deny.toml`; a newer one may refuse or add keys.
const CARGO_DENY: &str = "0.20.2";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> ExitCode {
    let mut steps = Steps::default();
    steps.run("fmt", || step::succeed(cargo().args(["fmt", "--all", "--check"])));
    steps.run("clippy", || {
        step::succeed(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ]))
    });
    steps.run("tidy", || tidy::run(place::root()));
    steps.run("doc", || {
        let doc = ["doc", "--workspace", "--no-deps", "--document-private-items"];
        step::succeed(cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.run("deny", deny);
    steps.verdict()
}

/// Licences, sources and bans of all dependencies. Advisories need a database from outside, and
/// a check must give the same verdict tomorrow: they are left to the forge's own alerts.
fn deny() -> anyhow::Result<()> {
    let tools = place::cache()?
        .join("tools")
        .join(format!("cargo-deny-{CARGO_DENY}"));
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        eprintln!("building cargo-deny {CARGO_DENY}, once (about 4 minutes)");
        let install = [
            "install",
            "--locked",
            "--no-default-features",
            "cargo-deny",
            "--version",
            CARGO_DENY,
        ];
        step::succeed(cargo().args(install).arg("--root").arg(&tools))?;
    }
    let verdicts = ["check", "bans", "licenses", "sources"];
    step::succeed(
        Command::new(program)
            .current_dir(place::root())
            .args(["--locked", "--workspace"])
            .args(verdicts),
    )
}

/// Cargo at the top of the repository.
fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(place::root());
    cargo
}
