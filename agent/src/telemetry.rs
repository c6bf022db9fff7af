//! Our own logs and metric registry. It names no room.

pub mod log;
mod process;
mod registry;

pub use log::Level;
pub use registry::{Build, CONTENT_TYPE, END, Registry, encode, registry};

/// What the process says of itself.
#[derive(Clone, Debug)]
pub struct Config {
    pub log: Log,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub level: Level,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}
