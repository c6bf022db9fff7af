//! What the lab needs of the machine, and how it gets it.
//!
//! In: a machine. Out: nothing, when all is there or could be installed; else one list of all that is
//! missing, each with the way to get it.

use std::{path::Path, process::Command, time::Duration};

use anyhow::bail;
use nix::unistd::geteuid;

use super::patience;
use crate::place;

/// Programs that the lab calls, with their Debian packages.
const PROGRAMS: [(&str, &str); 10] = [
    ("/usr/bin/gcc", "gcc"),
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/bin/unshare", "util-linux"),
    ("/usr/sbin/sysctl", "procps"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/usr/bin/tcpdump", "tcpdump"),
    ("/bin/busybox", "busybox-static"),
];

/// A header without which cgo cannot build the kubelet.
const LIBC: (&str, &str) = ("/usr/include/stdlib.h", "libc6-dev");

/// Directories that a node covers with its own.
const COVERED: [&str; 3] = ["/etc", "/var", "/run"];

/// Installs what it can, and says what it cannot.
pub(crate) fn prepare() -> anyhow::Result<()> {
    let mut missing = Vec::new();
    let root = geteuid().is_root();
    if !root {
        missing.push("root: namespaces and mounts need it, run `sudo -E cargo xtask lab`".to_owned());
    }
    if Command::new("go").arg("version").output().is_err() {
        missing.push(
            "Go 1.26 or later: https://go.dev/dl, or `apt-get install golang-go` with GOTOOLCHAIN=auto"
                .to_owned(),
        );
    }
    for dir in [place::root().to_owned(), place::cache()?] {
        if COVERED.iter().any(|covered| dir.starts_with(covered)) {
            missing.push(format!(
                "{} elsewhere: a node covers {}",
                dir.display(),
                COVERED.join(", ")
            ));
        }
    }
    let packages = absent();
    if !packages.is_empty() {
        let install = format!(
            "apt-get install --yes --no-install-recommends {}",
            packages.join(" ")
        );
        if !Path::new("/usr/bin/apt-get").exists() {
            missing.push(format!(
                "the programs of these Debian packages: {}",
                packages.join(" ")
            ));
        } else if !root {
            missing.push(format!("packages: `{install}`"));
        } else if let Err(fault) = apt(&packages) {
            missing.push(format!(
                "packages: `apt-get update && {install}` failed: {fault:#}"
            ));
        }
    }
    if !missing.is_empty() {
        bail!(
            "the lab cannot run here yet; missing:\n  - {}",
            missing.join("\n  - ")
        );
    }
    Ok(())
}

fn absent() -> Vec<&'static str> {
    PROGRAMS
        .into_iter()
        .chain([LIBC])
        .filter(|(path, _)| !Path::new(path).exists())
        .map(|(_, package)| package)
        .collect()
}

fn apt(packages: &[&str]) -> anyhow::Result<()> {
    let within = Duration::from_mins(10);
    let title = format!("installing {}", packages.join(", "));
    patience::with_progress(&title, || {
        let apt = |arguments: &[&str]| {
            let mut apt = Command::new("apt-get");
            apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
            patience::output(&mut apt, within)
        };
        apt(&["update"])?;
        let install = ["install", "--yes", "--no-install-recommends"];
        apt(&[&install[..], packages].concat())?;
        Ok(())
    })
}
