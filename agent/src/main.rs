//! The `innerspan` process: reads the configuration, builds the data path, runs it and drains it.

mod command;

use std::process::ExitCode;

use clap::Parser;

use crate::command::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Usage and configuration faults, as in sysexits.h.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            // Help and version come this way too; they go to standard output and are no fault.
            let code = if message.use_stderr() { EX_USAGE } else { 0 };
            return message
                .print()
                .map_or(ExitCode::FAILURE, |()| ExitCode::from(code));
        }
    };
    match cli.command {
        Command::Run { config } => command::run(config.as_deref()),
        Command::Check { file } => command::check(&file),
        Command::Functions {
            executable,
            config,
            json,
        } => command::functions(&executable, config.as_deref(), json),
        Command::Trace(args) => command::trace::run(&args),
    }
}
