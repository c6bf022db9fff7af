//! The project's own commands: `cargo xtask COMMAND`.
//!
//! A command is a room of the same name: its `Args` are the command line, and its
//! `run(&Args)` ends with an exit code. What a room prints is its result, so
//! printing is its job.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of the command line reports on the terminal"
)]

use std::process::ExitCode;

use clap::Parser;

mod bench;
mod check;
mod r#gen;
mod image;
mod lab;
mod place;
mod scrape;
mod setup;
mod step;
mod test;
mod tidy;

/// The commands, in the order in which a newcomer meets them.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Install what a build needs: the eBPF toolchain, the musl toolchain, buildah.
    Setup(setup::Args),
    /// Check format, lints, layout rules, documentation and dependencies.
    Check(check::Args),
    /// Boot a real cluster on this machine, with innerspan in it.
    Lab(lab::Args),
    /// Run every test: units, whole processes, the kernel, the lab.
    Test(test::Args),
    /// Measure speed, memory and bytes on the wire, beside the OpenTelemetry Collector and Rotel.
    Bench(bench::Args),
    /// Write the files that are made from the source: deploy/config.md.
    Gen(r#gen::Args),
    /// Build the static binary and the image, and print their sizes.
    Image(image::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Setup(args) => setup::run(&args),
        Command::Check(args) => Ok(check::run(&args)),
        Command::Lab(args) => lab::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Gen(args) => r#gen::run(&args),
        Command::Image(args) => image::run(&args),
    }
}
