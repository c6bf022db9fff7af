//! Our own log lines, on standard error: text for people, JSON for machines.

use std::str::FromStr;

use tracing_subscriber::{EnvFilter, filter::ParseError};

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
