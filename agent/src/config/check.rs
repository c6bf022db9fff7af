//! What is written, checked against what makes sense: raw settings in, the rooms' own out.
//!
//! It opens files that are named, to see whether they can be read, and binds and connects nothing. A check
//! that fails records its fault and the others go on, so a section is `None` only beside a fault.

use std::{
    collections::HashMap,
    fs::File,
    io,
    net::SocketAddr,
    path::{Path as FilePath, PathBuf},
    time::Duration,
};

use super::{
    Config, Correlate, Identify, Ingest,
    document::{Node, Path},
    fault::Fault,
    raw,
    units::{Size, Time},
};
use crate::{
    admin,
    correlate::{
        calls::{self, Mode},
        pod_trace,
    },
    identify,
    ingest::otlp::{self, Listen},
    model::{ByteSize, attr},
    pipeline, telemetry,
};

mod catalogue;
mod endpoint;
mod measure;

pub(super) use catalogue::embedded;

/// Checks all sections.
pub(super) fn check(raw: &raw::Config, document: &Node, faults: &mut Vec<Fault>) -> Option<Config> {
    let mut check = Check { document, faults };
    let ingest = check.otlp(&raw.ingest.otlp);
    let probe = check.probe(&raw.ingest.probe);
    let identify = check.cluster(&raw.identify.cluster);
    let export = check.export(&raw.export, raw.ingest.otlp.max_message_size);
    let span_metrics = check.span_metrics(&raw.correlate.span_metrics);
    let metrics_interval = check.metrics_interval(raw.correlate.metrics.interval);
    let admin = check.admin(&raw.admin);
    let telemetry = check.telemetry(&raw.telemetry);
    if let (Some(ingest), Some(admin)) = (&ingest, &admin) {
        check.addresses(ingest, admin);
    }
    Some(Config {
        ingest: Ingest { otlp: ingest?, probe },
        identify: Identify { cluster: identify },
        correlate: Correlate {
            calls: calls(&raw.correlate.calls),
            pod_trace: POD_TRACE,
            span_metrics,
            metrics_interval,
        },
        export: export?,
        pipeline: pipeline::Config {
            shutdown_grace: raw.pipeline.shutdown_grace.0,
        },
        admin: admin?,
        telemetry: telemetry?,
    })
}

/// Calls in flight that are remembered: a few hundred bytes each.
const MAX_OPEN: usize = 16_384;

/// A start has some forty pieces of work, of half a kilobyte each.
const POD_TRACE: pod_trace::Config = pod_trace::Config {
    // Components report every five seconds, and once more as late if they have to try again.
    linger: Duration::from_secs(12),
    give_up: Duration::from_mins(30),
    max_pods: 1024,
    max_works: 1024,
    max_kept: 64,
};

fn calls(raw: &raw::Calls) -> calls::Config {
    let mode = |(service, mode): (&String, &raw::Mode)| {
        let mode = match mode {
            raw::Mode::Auto => Mode::Auto,
            raw::Mode::Always => Mode::Always,
            raw::Mode::Off => Mode::Off,
        };
        (service.as_str().into(), mode)
    };
    calls::Config {
        modes: raw.modes.iter().map(mode).collect(),
        max_open: MAX_OPEN,
    }
}

struct Check<'a> {
    document: &'a Node,
    faults: &'a mut Vec<Fault>,
}

impl Check<'_> {
    /// Records a fault at a setting, or at the nearest one around it that is written.
    ///
    /// What lies in, at or around a place that reading passed over has its fault already.
    fn fault(&mut self, path: &Path, reason: impl Into<String>) {
        let (node, place) = self.document.nearest(path);
        let reached = place.0.len() == path.0.len();
        let said = node.is_faulty() || (reached && node.holds_faulty());
        if !said {
            let origin = node.origin.clone();
            let path = place.beyond(path).to_string();
            self.faults.push(Fault {
                origin,
                path,
                reason: reason.into(),
            });
        }
    }

    /// Records that a setting does not go with another, unless that one has a fault of its own.
    fn clash(&mut self, path: &Path, other: &Path, reason: &str) {
        if !self.document.nearest(other).0.is_faulty() {
            self.fault(path, reason);
        }
    }

    /// The value, or a fault with the error's own words.
    fn accept<T>(&mut self, path: &Path, checked: Result<T, impl Into<String>>) -> Option<T> {
        checked.map_err(|reason| self.fault(path, reason)).ok()
    }

    fn positive_time(&mut self, path: &Path, time: Time) -> Duration {
        if time.0.is_zero() {
            self.fault(path, "must be more than 0");
        }
        time.0
    }

    fn positive_size(&mut self, path: &Path, size: Size) -> ByteSize {
        if size.0 == ByteSize::default() {
            self.fault(path, "must be more than 0");
        }
        size.0
    }

    /// A file that can be opened; none where no name is written.
    fn file(&mut self, path: &Path, name: &str) -> Option<PathBuf> {
        if name.is_empty() {
            return None;
        }
        let file = PathBuf::from(name);
        if let Err(error) = open(&file) {
            self.fault(
                path,
                format!("this file cannot be read ({error}): mount it, or correct the path"),
            );
        }
        Some(file)
    }

    /// A certificate and its key: both or none.
    fn pair(&mut self, path: &Path, cert_file: &str, key_file: &str) -> Option<(PathBuf, PathBuf)> {
        let cert = self.file(&path.key("cert_file"), cert_file);
        let key = self.file(&path.key("key_file"), key_file);
        match (cert, key) {
            (Some(cert), Some(key)) => return Some((cert, key)),
            (Some(_), None) => self.fault(&path.key("cert_file"), "needs `key_file` beside it"),
            (None, Some(_)) => self.fault(&path.key("key_file"), "needs `cert_file` beside it"),
            (None, None) => {}
        }
        None
    }

    fn otlp(&mut self, raw: &raw::Otlp) -> Option<otlp::Config> {
        let path = Path::of("ingest.otlp");
        let grpc = self.listeners(&path.key("grpc"), &raw.grpc);
        let http = self.listeners(&path.key("http"), &raw.http);
        if raw.grpc.is_empty() && raw.http.is_empty() {
            self.fault(&path, "listens nowhere: give `grpc` or `http` an address");
        }
        self.positive_size(&path.key("max_message_size"), raw.max_message_size);
        if raw.max_in_flight < raw.max_message_size {
            let (here, other) = (path.key("max_in_flight"), path.key("max_message_size"));
            self.clash(&here, &other, "must be at least `max_message_size`");
        }
        Some(otlp::Config {
            grpc: grpc?,
            http: http?,
            max_message_size: raw.max_message_size.0,
            max_in_flight: raw.max_in_flight.0,
            read_timeout: self.positive_time(&path.key("read_timeout"), raw.read_timeout),
        })
    }

    fn listeners(&mut self, path: &Path, addresses: &[String]) -> Option<Vec<Listen>> {
        let listeners: Vec<Option<Listen>> = addresses
            .iter()
            .enumerate()
            .map(|(index, address)| self.accept(&path.index(index), listen(address)))
            .collect();
        listeners.into_iter().collect()
    }

    /// Two listeners cannot share an address; port 0 is any free one.
    fn addresses(&mut self, otlp: &otlp::Config, admin: &admin::Config) {
        let path = Path::of("ingest.otlp");
        let mut seen = HashMap::from([(Listen::Tcp(admin.address), Path::of("admin.address"))]);
        for (key, listeners) in [("grpc", &otlp.grpc), ("http", &otlp.http)] {
            for (index, listener) in listeners.iter().enumerate() {
                let here = path.key(key).index(index);
                let any = matches!(listener, Listen::Tcp(address) if address.port() == 0);
                match seen.get(listener) {
                    Some(first) if !any => {
                        let reason = format!("is the address of `{first}` already: choose another");
                        self.fault(&here, reason);
                    }
                    _ => {
                        seen.insert(listener.clone(), here);
                    }
                }
            }
        }
    }

    fn cluster(&mut self, raw: &raw::Cluster) -> identify::cluster::Config {
        let path = Path::of("identify.cluster");
        let own = [attr::K8S_NODE_NAME, attr::K8S_NODE_UID, attr::K8S_CLUSTER_NAME];
        for key in raw.resource_attributes.keys() {
            let here = path.key("resource_attributes").entry(key);
            if key.is_empty() {
                self.fault(&here, "is no attribute key: it is empty");
            } else if own.contains(&key.as_str()) {
                self.fault(&here, "is set by innerspan: use `node_name` and `cluster_name`");
            }
        }
        identify::cluster::Config {
            enabled: raw.enabled,
            node_name: filled(&raw.node_name),
            cluster_name: filled(&raw.cluster_name),
            kubeconfig: self.file(&path.key("kubeconfig"), &raw.kubeconfig),
            resource_attributes: raw.resource_attributes.clone(),
        }
    }

    fn admin(&mut self, raw: &raw::Admin) -> Option<admin::Config> {
        let path = Path::of("admin");
        let address = self.accept(&path.key("address"), tcp(&raw.address));
        let tls = self.pair(&path.key("tls"), &raw.tls.cert_file, &raw.tls.key_file);
        Some(admin::Config {
            bearer_token_file: self.file(&path.key("bearer_token_file"), &raw.bearer_token_file),
            tls: tls.map(|(cert_file, key_file)| admin::Tls { cert_file, key_file }),
            address: address?,
        })
    }

    fn telemetry(&mut self, raw: &raw::Telemetry) -> Option<telemetry::Config> {
        let level = raw
            .log
            .level
            .parse::<telemetry::Level>()
            .map_err(|error| error.to_string());
        let format = match raw.log.format {
            raw::LogFormat::Text => telemetry::LogFormat::Text,
            raw::LogFormat::Json => telemetry::LogFormat::Json,
        };
        let level = self.accept(&Path::of("telemetry.log.level"), level)?;
        Some(telemetry::Config {
            log: telemetry::Log { level, format },
        })
    }
}

/// What is written; empty is nothing.
fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Opens a regular file: a directory opens too, and a pipe would wait for its writer.
fn open(file: &FilePath) -> io::Result<File> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    File::open(file)
}

fn tcp(address: &str) -> Result<SocketAddr, &'static str> {
    address
        .parse()
        .map_err(|_invalid| "expected an IP address and a port, for example 127.0.0.1:9464 or [::1]:9464")
}

fn listen(address: &str) -> Result<Listen, &'static str> {
    match address.strip_prefix("unix://") {
        Some(socket) if socket.len() > 1 && socket.starts_with('/') => Ok(Listen::Unix(socket.into())),
        Some(_) => Err("expected an absolute path, for example unix:///run/innerspan/otlp.sock"),
        None => address.parse().map(Listen::Tcp).map_err(|_invalid| {
            "expected an IP address and a port, for example 127.0.0.1:4317, or unix:///run/innerspan/otlp.sock"
        }),
    }
}
