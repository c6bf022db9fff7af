//! Our own log lines, on standard error: text for people, JSON for machines.

use std::{
    error::Error,
    io::{self, IsTerminal as _},
    str::FromStr,
};

use tracing_subscriber::{EnvFilter, filter::ParseError};

use super::{Log, LogFormat};

/// A filter in the form of `RUST_LOG`, for example `info` or `info,innerspan::export=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level(String);

impl FromStr for Level {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        EnvFilter::builder().parse(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// Libraries that log every failed try; the room that tries says once what is wrong. A level that names them
/// goes before.
const QUIET: &str = "kube_client=off,kube_runtime=error";

/// Another part of the process writes the log already.
#[derive(Debug, thiserror::Error)]
#[error("start the log")]
pub struct StartError(#[source] Box<dyn Error + Send + Sync>);

/// Starts the log of this process.
pub fn start(log: &Log) -> Result<(), StartError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{QUIET},{}", log.level.0)))
        .with_writer(io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(StartError)
}
