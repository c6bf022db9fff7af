//! One YAML file whose sections carry the names of the rooms.
//!
//! It checks and binds nothing: every fault is found before anything starts, all of them at once.

use crate::{admin, export, identify, ingest, pipeline, telemetry};

/// All rooms' settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub ingest: Ingest,
    pub identify: Identify,
    pub export: export::Config,
    pub pipeline: pipeline::Config,
    pub admin: admin::Config,
    pub telemetry: telemetry::Config,
}

#[derive(Clone, Debug)]
pub struct Ingest {
    pub otlp: ingest::otlp::Config,
}

#[derive(Clone, Debug)]
pub struct Identify {
    pub cluster: identify::cluster::Config,
}
