//! Packages of Debian and Ubuntu.

use std::{fs, os::unix::fs::MetadataExt as _, process::Command};

use anyhow::{Context as _, bail};

use crate::step;

/// Another apt may be at work: it gets this long to end.
const LOCK: &str = "DPkg::Lock::Timeout=300";

/// Installs packages with their progress on the terminal; an error if this user or system cannot.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let ours = fs::metadata("/proc/self").context("reading /proc/self: is /proc mounted?")?;
    if ours.uid() != 0 {
        bail!(
            "installing needs root: sudo apt-get install {}",
            packages.join(" ")
        );
    }
    apt(&["update", "--quiet=2"])?;
    let options = [
        "install",
        "--quiet=2",
        "--yes",
        "--no-install-recommends",
        "--option",
        LOCK,
    ];
    apt(&[&options[..], packages].concat())
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let mut apt = Command::new("apt-get");
    step::succeed(apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}
