//! One YAML file whose sections carry the names of the rooms.
//!
//! In: the file and the environment. Out: every room's settings, checked, or all faults at once, each with
//! its line, what is wrong and what to do. It binds and connects nothing: what is wrong is found before
//! anything starts.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use crate::{
    admin, correlate, export, identify,
    ingest::{self, otlp::Listen, probe::go::catalogue::Service},
    model::Signal,
    pipeline, telemetry,
};

mod check;
mod document;
mod environment;
mod fault;
mod raw;
mod read;
mod reference;
mod standard;
mod units;

pub use environment::Environment;
pub use fault::{Fault, Faults, Origin};
pub use reference::reference;

use document::{Node, Value};

/// Of a file; a configuration has a few KiB.
const MAX_FILE: u64 = 1024 * 1024;

/// All rooms' settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub ingest: Ingest,
    pub identify: Identify,
    pub correlate: Correlate,
    pub export: export::Config,
    pub pipeline: pipeline::Config,
    pub admin: admin::Config,
    pub telemetry: telemetry::Config,
}

#[derive(Clone, Debug)]
pub struct Ingest {
    pub otlp: ingest::otlp::Config,
    pub probe: ingest::probe::Config,
}

#[derive(Clone, Debug)]
pub struct Identify {
    pub cluster: identify::cluster::Config,
}

#[derive(Clone, Debug)]
pub struct Correlate {
    pub calls: correlate::calls::Config,
    pub pod_trace: correlate::pod_trace::Config,
    pub span_metrics: correlate::span_metrics::Config,
    /// Between two exports of what is measured.
    pub metrics_interval: Duration,
}

/// Reads and checks a file, or the environment alone.
///
/// # Errors
/// All that is wrong with it.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Config, Faults> {
    let mut list = Vec::new();
    let checked = match file.map(text).transpose() {
        Ok(text) => check_text(text.as_deref(), environment, &mut list),
        Err(fault) => {
            list.push(fault);
            None
        }
    };
    checked
        .filter(|_| list.is_empty())
        .ok_or_else(|| Faults::new(file, list))
}

/// The catalogue of Go functions that every agent has.
///
/// # Errors
/// All that is wrong with it: nothing, in a release.
pub fn embedded_catalogue() -> Result<Vec<Service>, Faults> {
    let mut list = Vec::new();
    let services = check::embedded(&mut list);
    if list.is_empty() {
        Ok(services)
    } else {
        Err(Faults::new(None, list))
    }
}

/// Reads a file of bounded size.
fn text(file: &Path) -> Result<String, Fault> {
    let fault = |origin, reason| Fault {
        origin,
        path: String::new(),
        reason,
    };
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > MAX_FILE => Err(io::Error::other("it is larger than 1MiB")),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(|error| fault(Origin::Line(1), format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = 1 + sound.filter(|byte| **byte == b'\n').count();
        fault(Origin::Line(line), "is not UTF-8".to_owned())
    })
}

fn check_text(text: Option<&str>, environment: &Environment, faults: &mut Vec<Fault>) -> Option<Config> {
    let mut document = match text {
        Some(text) => document::parse(text, faults)?,
        None => Node::new(Origin::Nowhere, Value::Null),
    };
    environment::substitute(&mut document, &document::Path::default(), environment, faults);
    standard::fill(&mut document, environment, faults);
    let raw: raw::Config = read::read(&mut document, faults);
    check::check(&raw, &document, faults)
}

impl fmt::Display for Config {
    /// The way of the data, for whoever checks a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let otlp = &self.ingest.otlp;
        for (protocol, listeners) in [("grpc", &otlp.grpc), ("http", &otlp.http)] {
            for listener in listeners {
                match listener {
                    Listen::Tcp(address) => writeln!(f, "ingest otlp/{protocol} {address}")?,
                    Listen::Unix(socket) => {
                        writeln!(f, "ingest otlp/{protocol} unix://{}", socket.display())?;
                    }
                }
            }
        }
        for endpoint in &self.export.endpoints {
            let signals = Signal::ALL.iter().zip(&endpoint.uris);
            for (signal, uri) in signals.filter_map(|(signal, uri)| Some((signal, uri.as_ref()?))) {
                // The path is left out: with some receivers it holds a key.
                let receiver = (
                    uri.scheme_str().unwrap_or_default(),
                    uri.host().unwrap_or_default(),
                );
                let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
                writeln!(
                    f,
                    "export {} to {}: {}://{}{port}",
                    signal.as_str(),
                    endpoint.name,
                    receiver.0,
                    receiver.1
                )?;
            }
        }
        write!(f, "admin {}", self.admin.address)
    }
}

#[cfg(test)]
mod tests;
