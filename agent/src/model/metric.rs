//! What is measured, as it stands at one moment: families of series, each with what tells it from the others.
//!
//! Names and units are OpenTelemetry's (`rpc.client.call.duration`, `s`); how they are written for whoever reads them
//! is known where they leave.

use std::sync::Arc;

use super::{
    attr::Attribute,
    histogram::Histogram,
    time::{Nanos, Wall},
};

/// What tells a series from the others of its family. Keys stand once each, in an order that is the same for all.
pub type Labels = Arc<[Attribute]>;

/// All series of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    pub name: &'static str,
    pub description: &'static str,
    /// Since when its series count: a series that came up later was zero until then.
    pub start: Nanos<Wall>,
    pub series: Series,
}

/// The series of a family, which are all of one kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Series {
    /// Counts, which only grow.
    Counts(Vec<(Labels, u64)>),
    /// Durations, in seconds.
    Durations(Vec<(Labels, Arc<Histogram>)>),
}

impl Series {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Counts(counts) => counts.is_empty(),
            Self::Durations(durations) => durations.is_empty(),
        }
    }
}
