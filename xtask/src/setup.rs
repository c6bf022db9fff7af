//! `cargo xtask setup`: what a build needs besides cargo itself.
//!
//! In: needs of a room. Out: nothing when all is there or could be installed; else one list of all
//! that is missing, each with the way to get it. What is there is never installed again, so that
//! other rooms call [`ensure`] whenever they start.

use std::{process::ExitCode, time::Instant};

use anyhow::bail;

mod apt;
mod cluster;
mod part;

use part::Part;
pub(crate) use part::musl_target;

/// The bundle of certificate authorities, where Debian and most others keep it.
pub(crate) const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What a room cannot do without.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// The agent's eBPF programs: a compiler and a linker for BPF.
    Programs,
    /// A binary that asks nothing of its host: Rust's and C's library for musl.
    StaticBinary,
    /// An image, with the certificate authorities that a TLS client needs.
    Image,
    /// A cluster on this machine, whose components are built here.
    Cluster,
}

impl Need {
    fn parts(self) -> &'static [Part] {
        match self {
            Self::Programs => &[part::BPF_COMPILER, part::BPF_LINKER],
            Self::StaticBinary => &[part::MUSL_STD, part::MUSL_GCC],
            Self::Image => &[part::BUILDAH, part::CERTIFICATES],
            Self::Cluster => &[cluster::PROGRAMS, cluster::GO],
        }
    }
}

pub(crate) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    ensure(&[Need::Programs, Need::StaticBinary, Need::Image])?;
    println!("all that a build needs is there");
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing and can be installed; the rest is one error.
pub(crate) fn ensure(needs: &[Need]) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for part in needs.iter().flat_map(|need| need.parts()) {
        if (part.is_there)() {
            continue;
        }
        eprintln!("=== installing {}", part.name);
        let begun = Instant::now();
        let installed = (part.install)();
        let took = begun.elapsed().as_secs_f64();
        match installed {
            Ok(()) if (part.is_there)() => eprintln!("=== {} installed in {took:.1} s", part.name),
            Ok(()) => missing.push(format!("{}: {}", part.name, part.by_hand)),
            Err(fault) => missing.push(format!("{}: {}\n    ({fault:#})", part.name, part.by_hand)),
        }
    }
    if !missing.is_empty() {
        bail!("missing, with the way to get it:\n  - {}", missing.join("\n  - "));
    }
    Ok(())
}
