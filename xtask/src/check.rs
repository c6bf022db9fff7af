//! `cargo xtask check`: everything about the source that can be judged without running it.
//!
//! Every step runs, also after one that failed, so that one run shows all faults.

use std::process::{Command, ExitCode};

use crate::{
    r#gen, place,
    setup::{self, Need},
    step::{self, Steps},
    tidy,
};

/// The release that reads `.deny.toml`; a newer one may refuse or add keys.
const CARGO_DENY: &str = "0.20.2";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> ExitCode {
    let mut steps = Steps::default();
    steps.run("fmt", || step::succeed(&mut cargo("fmt --all --check")));
    steps.run("setup", || setup::ensure(&[Need::Programs]));
    steps.run("clippy", || {
        step::succeed(&mut cargo(
            "clippy --workspace --all-targets --all-features --keep-going -- -D warnings",
        ))
    });
    steps.run("ebpf", ebpf);
    steps.run("gen", r#gen::check);
    steps.run("tidy", || tidy::run(place::root()));
    steps.run("doc", || {
        let mut doc = cargo("doc --workspace --keep-going --no-deps --document-private-items");
        step::succeed(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.run("deny", deny);
    steps.verdict()
}

/// Format and lints of the programs, which are no member of the workspace. Lints read them for this
/// host, so that no BPF toolchain is needed; only the profile must not unwind, for want of std.
fn ebpf() -> anyhow::Result<()> {
    step::succeed(&mut cargo("fmt --manifest-path ebpf/Cargo.toml --check"))?;
    let mut clippy =
        cargo("clippy --manifest-path ebpf/Cargo.toml --target-dir target/ebpf-lint -- -D warnings");
    step::succeed(clippy.env("CARGO_PROFILE_DEV_PANIC", "abort"))
}

/// Licences, sources and bans of all dependencies. Advisories need a database from outside, and
/// a check must give the same verdict tomorrow: they are left to the forge's own alerts.
fn deny() -> anyhow::Result<()> {
    let tools = place::cache()?
        .join("tools")
        .join(format!("cargo-deny-{CARGO_DENY}"));
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        eprintln!("building cargo-deny {CARGO_DENY}, once: some minutes");
        let install =
            format!("install --locked --no-default-features --version {CARGO_DENY} cargo-deny --root");
        step::succeed(cargo(&install).arg(&tools))?;
    }
    let mut deny = Command::new(program);
    deny.current_dir(place::root())
        .args(["--locked", "--workspace", "check", "bans", "licenses", "sources"]);
    step::succeed(&mut deny)
}

/// Cargo at the top of the repository, with the words of `line` as its arguments.
fn cargo(line: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(place::root()).args(line.split_whitespace());
    cargo
}
