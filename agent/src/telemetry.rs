//! Our own logs and metric registry. It names no room.

/// What the process says of itself.
#[derive(Clone, Debug)]
pub struct Config {
    pub log: Log,
}

#[derive(Clone, Debug)]
pub struct Log {
    /// A filter in the form of `RUST_LOG`, for example `info` or `info,innerspan::export=debug`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}
