//! `cargo xtask test`: every test there is, in one run of cargo's own test runner.
//!
//! Units, properties and whole-process suites need nothing. The kernel suite needs root,
//! and the lab suite boots a real cluster besides: both are features of the `tests` crate,
//! so that plain `cargo test` stays offline and rootless.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::ExitStatusExt as _},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail};

use crate::{
    place,
    setup::{self, Need},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out the real cluster, and without root the kernel too.
    #[arg(long)]
    fast: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let features = features(args.fast, is_root()?)?;
    setup::ensure(&[Need::Programs])?;
    eprintln!("testing with features [{features}]");
    let status = Command::new(env!("CARGO"))
        .current_dir(place::root())
        .args(["test", "--workspace", "--no-fail-fast", "--features", features])
        .status()
        .context("cannot start cargo")?;
    if let Some(signal) = status.signal() {
        bail!("the tests were ended by signal {signal}");
    }
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What this user may test here.
fn features(fast: bool, root: bool) -> anyhow::Result<&'static str> {
    match (fast, root) {
        (false, true) => Ok("tests/kernel,tests/lab"),
        (true, true) => Ok("tests/kernel"),
        (true, false) => Ok(""),
        (false, false) => bail!(
            "the kernel and lab suites need root: run as root, or `cargo xtask test --fast` for all the others"
        ),
    }
}

fn is_root() -> anyhow::Result<bool> {
    let ours = fs::metadata("/proc/self").context("reading /proc/self: is /proc mounted?")?;
    Ok(ours.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_suites_or_a_word_on_how_to_run_the_rest() {
        assert_eq!(features(false, true).unwrap(), "tests/kernel,tests/lab");
        assert_eq!(features(true, false).unwrap(), "");
        let refusal = features(false, false).unwrap_err().to_string();
        assert!(refusal.contains("--fast"), "{refusal}");
    }
}
