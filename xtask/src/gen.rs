//! `cargo xtask gen`: the files that are written from the source, and whether they are what it says.
//!
//! So far one: `deploy/config.md`, from the types that read a configuration.

use std::{
    fs,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, ensure};

use crate::{
    place,
    setup::{self, Need},
};

const REFERENCE: &str = "deploy/config.md";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing: fail if a file is not what the source says.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.check {
        check()?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = place::root().join(REFERENCE);
    fs::write(&file, reference()?).with_context(|| format!("write {}", file.display()))?;
    println!("{REFERENCE}");
    Ok(ExitCode::SUCCESS)
}

/// Fails if a file is not what the source says.
pub(crate) fn check() -> anyhow::Result<()> {
    let file = place::root().join(REFERENCE);
    let written = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    ensure!(
        written == reference()?,
        "{REFERENCE} is not what agent/src/config says: run `cargo xtask gen`"
    );
    Ok(())
}

/// The agent prints it, built as every other command builds it: whatever differs would build it again for them.
fn reference() -> anyhow::Result<String> {
    setup::ensure(&[Need::Programs])?;
    let output = Command::new(env!("CARGO"))
        .current_dir(place::root())
        .args([
            "run",
            "--quiet",
            "-p",
            "innerspan",
            "--example",
            "config_reference",
        ])
        .output()
        .context("run cargo")?;
    ensure!(
        output.status.success(),
        "the agent does not print its reference:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).context("read the reference")
}
