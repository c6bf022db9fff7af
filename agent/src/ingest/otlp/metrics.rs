//! What this room says of itself.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{
    fault::Outcome,
    scan::{Irregular, Irregularities},
};
use crate::model::Signal;

/// Which of the two OTLP transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    signal: &'static str,
    protocol: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySignal {
    signal: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProtocol {
    protocol: &'static str,
}

/// The counters of this room; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    received: Family<BySignal, Counter>,
    irregular: Family<ByKind, Counter>,
    refused_connections: Family<ByProtocol, Counter>,
    failed_accepts: Family<ByProtocol, Counter>,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "innerspan_ingest_otlp_requests",
            "OTLP requests by what became of them",
            self.requests.clone(),
        );
        registry.register(
            "innerspan_ingest_otlp_received_bytes",
            "Bytes of accepted OTLP requests, decompressed and before enrichment",
            self.received.clone(),
        );
        registry.register(
            "innerspan_ingest_otlp_irregular_spans",
            "Spans passed on although an id is malformed or they end before they start",
            self.irregular.clone(),
        );
        registry.register(
            "innerspan_ingest_otlp_refused_connections",
            "Connections closed at once because too many were open",
            self.refused_connections.clone(),
        );
        registry.register(
            "innerspan_ingest_otlp_failed_accepts",
            "Connections that could not be accepted, for want of file descriptors for instance",
            self.failed_accepts.clone(),
        );
    }

    /// Begins a request, which counts as disconnected unless something else becomes of it.
    pub(super) fn begin(&self, protocol: Protocol, signal: Option<Signal>) -> UnderWay<'_> {
        UnderWay {
            metrics: self,
            protocol,
            signal,
            outcome: Outcome::Disconnected,
        }
    }

    pub(super) fn accepted(&self, signal: Signal, bytes: usize, irregular: &Irregularities) {
        self.received
            .get_or_create(&BySignal {
                signal: signal.as_str(),
            })
            .inc_by(bytes as u64);
        for kind in Irregular::ALL {
            let spans = irregular.of(kind);
            if spans > 0 {
                self.irregular
                    .get_or_create(&ByKind { kind: kind.as_str() })
                    .inc_by(spans);
            }
        }
    }

    pub(super) fn refused_connection(&self, protocol: Protocol) {
        self.refused_connections
            .get_or_create(&ByProtocol {
                protocol: protocol.as_str(),
            })
            .inc();
    }

    pub(super) fn failed_accept(&self, protocol: Protocol) {
        self.failed_accepts
            .get_or_create(&ByProtocol {
                protocol: protocol.as_str(),
            })
            .inc();
    }
}

/// A request whose outcome is counted when this value goes away, however that comes.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    metrics: &'a Metrics,
    protocol: Protocol,
    signal: Option<Signal>,
    outcome: Outcome,
}

impl UnderWay<'_> {
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let labels = Request {
            // A request that reached no service has no signal.
            signal: self.signal.map_or("none", Signal::as_str),
            protocol: self.protocol.as_str(),
            outcome: self.outcome.as_str(),
        };
        self.metrics.requests.get_or_create(&labels).inc();
    }
}
