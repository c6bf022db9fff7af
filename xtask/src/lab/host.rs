//! What the lab needs of the machine, and how it gets it.
//!
//! In: a machine. Out: nothing, when all is there or could be installed; else one list of all that is
//! missing, each with the way to get it.

use anyhow::bail;
use nix::unistd::geteuid;

use crate::{
    place,
    setup::{self, Need},
};

/// Directories that a node covers with its own.
const COVERED: [&str; 3] = ["/etc", "/var", "/run"];

/// Installs what it can, and says what it cannot.
pub(crate) fn prepare() -> anyhow::Result<()> {
    let mut missing = Vec::new();
    if !geteuid().is_root() {
        missing.push("root, for namespaces and mounts: `sudo -E env PATH=$PATH cargo xtask lab`".to_owned());
    }
    for dir in [place::root().to_owned(), place::cache()?] {
        if COVERED.iter().any(|covered| dir.starts_with(covered)) {
            missing.push(format!(
                "another place for {}: a node covers {}",
                dir.display(),
                COVERED.join(", ")
            ));
        }
    }
    let needs = [Need::Cluster, Need::Programs, Need::StaticBinary, Need::Image];
    if let Err(fault) = setup::ensure(&needs) {
        missing.push(format!("{fault:#}"));
    }
    if !missing.is_empty() {
        bail!("the lab cannot run here yet:\n{}", missing.join("\n"));
    }
    Ok(())
}
