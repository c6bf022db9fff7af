//! The endpoints: addresses, credentials and bounds of each, and what must differ between them.

use std::path::PathBuf;

use http::{HeaderMap, Uri};

use super::{Check, open};
use crate::{
    config::{document::Path, raw, units::Size},
    export::{
        self, Batch, ClientCertificate, Compression, Endpoint, Protocol, Queue, Retry, Tls, WhenFull, headers,
    },
    model::Signal,
};

const MAX_NAME: usize = 63;
const MAX_CONCURRENCY: usize = 256;

impl Check<'_> {
    pub(super) fn export(&mut self, raw: &raw::Export, largest: Size) -> Option<export::Config> {
        let path = Path::of("export.endpoints");
        if raw.endpoints.is_empty() {
            self.fault(
                &path,
                "names no receiver: add `- endpoint: http://collector:4317`, or set OTEL_EXPORTER_OTLP_ENDPOINT",
            );
        }
        let endpoints: Vec<Option<Endpoint>> = raw
            .endpoints
            .iter()
            .enumerate()
            .map(|(index, endpoint)| {
                let here = path.index(index);
                if raw
                    .endpoints
                    .iter()
                    .take(index)
                    .any(|before| before.name == endpoint.name)
                {
                    self.fault(
                        &here.key("name"),
                        "is the name of another endpoint: give each its own",
                    );
                }
                self.endpoint(&here, endpoint, largest)
            })
            .collect();
        Some(export::Config {
            endpoints: endpoints.into_iter().collect::<Option<_>>()?,
        })
    }

    fn endpoint(&mut self, path: &Path, raw: &raw::Endpoint, largest: Size) -> Option<Endpoint> {
        let letters = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if raw.name.is_empty() || raw.name.len() > MAX_NAME || !raw.name.bytes().all(letters) {
            self.fault(
                &path.key("name"),
                "expected 1 to 63 lower-case letters, digits, `-` or `_`",
            );
        }
        if !(1..=MAX_CONCURRENCY).contains(&raw.concurrency) {
            self.fault(
                &path.key("concurrency"),
                format!("expected 1 to {MAX_CONCURRENCY}"),
            );
        }
        let uris = self.uris(path, raw);
        let (headers, headers_file) = self.headers(path, raw);
        let tls = self.tls(path, raw);
        let timeout = self.positive_time(&path.key("timeout"), raw.timeout);
        let batch = Batch {
            max_size: self.positive_size(&path.key("batch.max_size"), raw.batch.max_size),
            max_age: self.positive_time(&path.key("batch.max_age"), raw.batch.max_age),
        };
        let queue = self.queue(path, raw, largest);
        let retry = self.retry(&path.key("retry"), &raw.retry);
        Some(Endpoint {
            name: raw.name.clone(),
            protocol: protocol(raw),
            uris: uris?,
            compression: match raw.compression {
                raw::Compression::Gzip => Compression::Gzip,
                raw::Compression::Zstd => Compression::Zstd,
                raw::Compression::None => Compression::None,
            },
            headers,
            headers_file,
            tls,
            timeout,
            batch,
            queue,
            retry,
            concurrency: raw.concurrency,
        })
    }

    /// The complete URI of each listed signal.
    fn uris(&mut self, path: &Path, raw: &raw::Endpoint) -> Option<[Option<Uri>; Signal::ALL.len()]> {
        let listed: Vec<Signal> = raw.signals.iter().map(|signal| signal.checked()).collect();
        if listed.is_empty() {
            self.fault(
                &path.key("signals"),
                "lists no signal: expected traces, metrics or logs",
            );
        }
        for (index, signal) in listed
            .iter()
            .enumerate()
            .filter(|(index, signal)| listed[..*index].contains(signal))
        {
            self.fault(
                &path.key("signals").index(index),
                format!("lists {} again: keep one", signal.as_str()),
            );
        }
        let appends = raw.append_signal_path || raw.protocol == raw::Protocol::Grpc;
        if !appends && listed.len() > 1 {
            let here = path.key("append_signal_path");
            self.fault(&here, "makes the URL that of one signal: list one in `signals`");
        }
        let base = self.accept(&path.key("endpoint"), base(&raw.endpoint, raw.protocol))?;
        let mut uris = [const { None }; Signal::ALL.len()];
        for signal in listed {
            let uri = if appends {
                export::uri(&base, protocol(raw), signal).map_err(|error| format!("makes no URL: {error}"))
            } else {
                Ok(base.clone())
            };
            uris[signal.index()] = self.accept(&path.key("endpoint"), uri);
        }
        Some(uris)
    }

    fn tls(&mut self, path: &Path, raw: &raw::Endpoint) -> Tls {
        let here = path.key("tls");
        let ca_file = self.file(&here.key("ca_file"), &raw.tls.ca_file);
        let client = self.pair(&here, &raw.tls.cert_file, &raw.tls.key_file);
        if raw.endpoint.starts_with("http://") && (ca_file.is_some() || client.is_some()) {
            self.fault(&here, "has no use with `http://`: write `https://`, or remove it");
        }
        Tls {
            ca_file,
            client: client.map(|(cert_file, key_file)| ClientCertificate { cert_file, key_file }),
        }
    }

    fn queue(&mut self, path: &Path, raw: &raw::Endpoint, largest: Size) -> Queue {
        if raw.batch.max_size > raw.queue.max_size {
            let (here, other) = (path.key("batch.max_size"), path.key("queue.max_size"));
            self.clash(
                &here,
                &other,
                "is more than `queue.max_size`: such a batch never fills",
            );
        }
        if raw.queue.max_size < largest {
            let (here, other) = (
                path.key("queue.max_size"),
                Path::of("ingest.otlp.max_message_size"),
            );
            self.clash(
                &here,
                &other,
                "is less than `ingest.otlp.max_message_size`: such a message never fits",
            );
        }
        Queue {
            max_size: raw.queue.max_size.0,
            when_full: match raw.queue.when_full {
                raw::WhenFull::Refuse => WhenFull::Refuse,
                raw::WhenFull::Drop => WhenFull::Drop,
            },
        }
    }

    fn retry(&mut self, path: &Path, raw: &raw::Retry) -> Retry {
        let initial_delay = self.positive_time(&path.key("initial_delay"), raw.initial_delay);
        if raw.max_delay < raw.initial_delay {
            let (here, other) = (path.key("max_delay"), path.key("initial_delay"));
            self.clash(&here, &other, "must be at least `initial_delay`");
        }
        let give_up_after = raw
            .give_up_after
            .map(|limit| self.positive_time(&path.key("give_up_after"), limit));
        Retry {
            initial_delay,
            max_delay: raw.max_delay.0,
            give_up_after,
        }
    }

    /// The headers of the configuration and their file, which is read again whenever it changes.
    fn headers(&mut self, path: &Path, raw: &raw::Endpoint) -> (HeaderMap, Option<PathBuf>) {
        let mut headers = HeaderMap::new();
        for (name, value) in &raw.headers {
            if let Err(fault) = headers::add(&mut headers, name, &value.0) {
                self.fault(&path.key("headers").entry(name), fault.to_string());
            }
        }
        let here = path.key("headers_file");
        let file = self.file(&here, &raw.headers_file);
        // That it cannot be opened is said already.
        if let Some(file) = file.as_ref().filter(|file| open(file).is_ok()) {
            for fault in headers::add_file(&mut headers.clone(), file) {
                self.fault(&here, fault.to_string());
            }
        }
        (headers, file)
    }
}

impl raw::Signal {
    fn checked(self) -> Signal {
        match self {
            Self::Traces => Signal::Traces,
            Self::Metrics => Signal::Metrics,
            Self::Logs => Signal::Logs,
        }
    }
}

fn protocol(raw: &raw::Endpoint) -> Protocol {
    match raw.protocol {
        raw::Protocol::Grpc => Protocol::Grpc,
        raw::Protocol::Http => Protocol::Http,
    }
}

/// The URL that the signals' paths go below. A reason does not quote it: it may hold a password.
fn base(endpoint: &str, protocol: raw::Protocol) -> Result<Uri, &'static str> {
    if endpoint.is_empty() {
        return Err("is missing: give the receiver's URL, for example http://collector:4317");
    }
    let lower = endpoint.get(..8).unwrap_or(endpoint).to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err("has no scheme: write `http://` before it for plain text, `https://` for TLS");
    }
    let uri: Uri = endpoint
        .parse()
        .map_err(|_invalid| "is no URL: expected `http://host:port` or `https://host`")?;
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            return Err("holds a user or password: send them in `headers` as `authorization`");
        }
        Some(authority) if authority.host().is_empty() => return Err("names no host"),
        Some(_) => {}
        None => return Err("names no host"),
    }
    if protocol == raw::Protocol::Grpc && !matches!(uri.path(), "" | "/") {
        return Err("has a path, which OTLP/gRPC does not use: remove it, or set `protocol: http`");
    }
    if uri.query().is_some() {
        return Err("has a query: remove it");
    }
    Ok(uri)
}
