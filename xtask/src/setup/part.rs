//! The parts that a build needs: how to see that one is there, how to install it, and what to tell
//! who has to do it by hand.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

use super::{AUTHORITIES, apt};
use crate::{place, step};

/// Seconds until rustup is taken to have no way to its server: it would try for very long.
const PATIENCE: &str = "180";

/// Its LLVM must not be older than the one of the compiler that it links for.
const LINKER: &str = "0.13.0";
const LLVM: &str = "22";

pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) is_there: fn() -> bool,
    pub(super) install: fn() -> anyhow::Result<()>,
    pub(super) by_hand: &'static str,
}

pub(super) const BPF_COMPILER: Part = Part {
    name: "a Rust compiler for BPF",
    is_there: || {
        let distribution = "/usr/lib/rustlib/bpfel-unknown-none/lib";
        Path::new(distribution).is_dir() || in_rustlib("src/rust/library/core")
    },
    install: || {
        rustup(&["component", "add", "rust-src"])
            .or_else(|_| apt::install(&["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"]))
    },
    by_hand: "`rustup component add rust-src`, or a rustc of the distribution with a core for bpfel-unknown-none",
};

pub(super) const BPF_LINKER: Part = Part {
    name: "bpf-linker",
    is_there: || runs("bpf-linker"),
    install: || {
        let llvm = format!("/usr/lib/llvm-{LLVM}");
        if !Path::new(&llvm).join("include/llvm-c").is_dir() {
            let [headers, polly] = [format!("llvm-{LLVM}-dev"), format!("libpolly-{LLVM}-dev")];
            apt::install(&[&headers, &polly, "libzstd-dev", "zlib1g-dev", "g++"])?;
        }
        let feature = format!("llvm-{LLVM}");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["install", "--locked", "bpf-linker", "--version", LINKER]);
        cargo.args(["--no-default-features", "--features", &feature]);
        step::succeed(cargo.current_dir(place::root()).env("LLVM_PREFIX", &llvm))
    },
    by_hand: "a binary from https://github.com/aya-rs/bpf-linker/releases in cargo's bin directory",
};

pub(super) const MUSL_STD: Part = Part {
    name: "Rust's standard library for musl",
    is_there: || in_rustlib(&format!("{}/lib", musl_target())),
    install: || rustup(&["target", "add", &musl_target()]),
    by_hand: "`rustup target add ARCH-unknown-linux-musl` in this directory",
};

pub(super) const MUSL_GCC: Part = Part {
    name: "a C compiler for musl",
    is_there: || runs("musl-gcc"),
    install: || apt::install(&["musl-tools"]),
    by_hand: "the package `musl-tools` (Debian, Ubuntu) or `musl-gcc` (Fedora)",
};

pub(super) const BUILDAH: Part = Part {
    name: "buildah",
    is_there: || runs("buildah"),
    install: || apt::install(&["buildah"]),
    by_hand: "the package `buildah`",
};

pub(super) const CERTIFICATES: Part = Part {
    name: "certificate authorities",
    is_there: || Path::new(AUTHORITIES).is_file(),
    install: || apt::install(&["ca-certificates"]),
    by_hand: "the package `ca-certificates`, whose bundle is /etc/ssl/certs/ca-certificates.crt",
};

/// The target of a static binary for this machine.
pub(crate) fn musl_target() -> String {
    format!("{}-unknown-linux-musl", env::consts::ARCH)
}

fn rustup(arguments: &[&str]) -> anyhow::Result<()> {
    let mut rustup = Command::new("timeout");
    rustup.args([PATIENCE, "rustup"]).args(arguments);
    step::succeed(rustup.current_dir(place::root()))
}

/// Has the toolchain of this repository something in `lib/rustlib`?
fn in_rustlib(path: &str) -> bool {
    let sysroot = || {
        let mut rustc = Command::new("rustc");
        let output = rustc
            .current_dir(place::root())
            .args(["--print", "sysroot"])
            .output()?;
        String::from_utf8(output.stdout).context("the path of the sysroot is not UTF-8")
    };
    sysroot().is_ok_and(|sysroot| {
        PathBuf::from(sysroot.trim())
            .join("lib/rustlib")
            .join(path)
            .exists()
    })
}

fn runs(program: &str) -> bool {
    let mut version = Command::new(program);
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
