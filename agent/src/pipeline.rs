//! The only file that sees every stage: what is wired to what, what bounds it, and the order of draining.

use std::time::Duration;

/// How the process ends.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// From SIGTERM to the end: what is not delivered by then is dropped and counted.
    pub shutdown_grace: Duration,
}
