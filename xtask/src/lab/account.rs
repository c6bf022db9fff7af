//! Where every span of the components is: sent, received, exported, dropped, held, arrived.
//!
//! In: the packets on the loopback, the agent's metrics, and what the collector sent on. Out: one
//! line per component. Three witnesses that share no code.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    capture,
    node::{self, Node},
    patience, recorder, spans, twins,
};
use crate::scrape::total;

/// The agent's port for /metrics.
const ADMIN: u16 = 9464;

/// The components that trace natively, as the agent names them, with their `service.name`.
pub(crate) const COMPONENTS: [(&str, &str); 4] = [
    ("kube-apiserver", "apiserver"),
    ("etcd", "etcd"),
    ("kubelet", "kubelet"),
    ("containerd", "containerd"),
];

/// What the agent saw itself, whichever component it is about.
const OWN: &str = "innerspan";

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Seen on the loopback, where a capture runs.
    pub(crate) sent: Option<u64>,
    pub(crate) received: u64,
    pub(crate) exported: u64,
    pub(crate) dropped: u64,
    pub(crate) held: u64,
    /// What the collector passed on.
    pub(crate) arrived: u64,
    /// Arrived, but without the name of the node that it came from.
    pub(crate) nameless: u64,
}

#[derive(Debug)]
pub(crate) struct Account {
    /// By component.
    pub(crate) lines: BTreeMap<&'static str, Line>,
    /// Calls of which both the component's span and one of the agent's arrived.
    pub(crate) repeated: usize,
    /// Requests that the agent asked to be sent again later, because it was full.
    pub(crate) refused: u64,
}

/// Waits until every component has found the agent: they start before it, and gRPC tries a port that was
/// closed again only after up to two minutes.
pub(crate) fn await_components(node: &Node) -> anyhow::Result<()> {
    patience::until("spans of all four components", Duration::from_mins(4), || {
        let account = take(node)?;
        match account
            .lines
            .iter()
            .find(|(component, line)| **component != OWN && line.received == 0)
        {
            Some((component, _)) => bail!("none of {component} yet"),
            None => Ok(()),
        }
    })
}

/// After its start the agent leaves what components may report themselves to them, until they had the time to.
pub(crate) const LISTENS: Duration = Duration::from_secs(11);

/// The components that the agent looks into, by `service.name`.
const TRACED: [&str; 6] = [
    "apiserver",
    "containerd",
    "etcd",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
];

/// Waits until the agent has its probes in every component, and in all functions of its catalogue.
pub(crate) fn await_traced(node: &Node) -> anyhow::Result<()> {
    patience::until("probes in all components", Duration::from_mins(1), || {
        let metrics = metrics(node)?;
        let is_traced = |service: &&str| {
            let label = format!(r#"service="{service}""#);
            total(&metrics, "innerspan_ingest_go_processes", &[&label]) > 0
        };
        if let Some(service) = TRACED.iter().find(|service| !is_traced(service)) {
            bail!("none in {service} yet");
        }
        match total(&metrics, "innerspan_ingest_go_functions", &[r#"state="missing""#]) {
            0 => Ok(()),
            missing => bail!(
                "{missing} functions of the catalogue are not traced: the agent's log says which and why"
            ),
        }
    })
}

/// Takes stock now; the witnesses are asked one after another, so a busy instant may not add up.
pub(crate) fn take(node: &Node) -> anyhow::Result<Account> {
    let dir = &node.space.ground.dir;
    let capture = dir.join(capture::FILE);
    let sent = if capture.exists() {
        Some(sent(&capture)?)
    } else {
        None
    };
    let metrics = metrics(node)?;
    let arrived = spans::of(&recorder::read(&dir.join(recorder::FILE))?);
    let repeated = twins::find(&arrived)
        .iter()
        .flat_map(|twins| &twins.pairs)
        .filter(|pair| pair.own.is_some())
        .count();
    let (own, arrived): (Vec<_>, Vec<_>) = arrived.into_iter().partition(|span| span.own);
    let nameless: Vec<_> = arrived
        .iter()
        .filter(|span| span.node.is_none())
        .cloned()
        .collect();
    let (arrived, nameless) = (spans::count(&arrived), spans::count(&nameless));
    let of = |counts: &BTreeMap<String, u64>, service: &str| counts.get(service).copied().unwrap_or(0);
    let own: u64 = spans::count(&own).values().sum();
    let lines = COMPONENTS
        .into_iter()
        .chain([(OWN, OWN)])
        .map(|(component, service)| {
            let labels = [r#"signal="traces""#, &format!(r#"component="{component}""#)];
            let total = |metric: &str| total(&metrics, metric, &labels);
            let line = Line {
                sent: sent
                    .as_ref()
                    .filter(|_| component != OWN)
                    .map(|sent| of(sent, service)),
                received: total("innerspan_export_items_received_total"),
                exported: total("innerspan_export_items_exported_total"),
                dropped: total("innerspan_export_items_dropped_total"),
                held: total("innerspan_export_items_held"),
                arrived: if component == OWN {
                    own
                } else {
                    of(&arrived, service)
                },
                nameless: of(&nameless, service),
            };
            (component, line)
        });
    let refused = ["full", "busy"].map(|outcome| {
        let outcome = format!(r#"outcome="{outcome}""#);
        total(&metrics, "innerspan_ingest_otlp_requests_total", &[&outcome])
    });
    Ok(Account {
        lines: lines.collect(),
        repeated,
        refused: refused.iter().sum(),
    })
}

/// For a program to read.
pub(crate) fn as_json(account: &Account) -> Value {
    let line = |line: &Line| {
        let Line {
            sent,
            received,
            exported,
            dropped,
            held,
            arrived,
            nameless,
        } = line;
        json!({
            "sent": sent, "received": received, "exported": exported, "dropped": dropped,
            "held": held, "arrived": arrived, "nameless": nameless,
        })
    };
    let lines: BTreeMap<_, _> = account
        .lines
        .iter()
        .map(|(component, counts)| (component, line(counts)))
        .collect();
    json!({ "components": lines, "repeated": account.repeated, "refused": account.refused })
}

pub(crate) fn metrics(node: &Node) -> anyhow::Result<String> {
    let server = SocketAddr::from((node::address(node.number), ADMIN));
    node.space
        .fetch(server, "/metrics")
        .context("cannot read the agent's metrics")
}

/// Different spans of each service on the loopback.
fn sent(capture: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    let requests = capture::requests(capture)?;
    let decoded = requests
        .iter()
        .map(|request| ExportTraceServiceRequest::decode(request.body.as_slice()));
    let decoded: Vec<_> = decoded
        .collect::<Result<_, _>>()
        .context("the capture holds a request that is not OTLP")?;
    Ok(spans::count(&spans::of(&decoded)))
}
