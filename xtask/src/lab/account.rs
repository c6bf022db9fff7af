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
    patience, recorder,
    space::Ground,
    spans, twins,
};
use crate::scrape::total;

/// The agent's port for /metrics.
const ADMIN: u16 = 9464;
const RECEIVED: &str = "innerspan_export_items_received_total";

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

/// What runs on every node, by `service.name`; the others run on the first.
const EVERYWHERE: [&str; 2] = ["containerd", "kubelet"];

/// Waits until every component has found its agent: they start before it, and gRPC tries a port that was
/// closed again only after up to two minutes.
pub(crate) fn await_components(ground: &Ground) -> anyhow::Result<()> {
    patience::until("spans of all components", Duration::from_mins(4), || {
        on_each(ground, |node, metrics| {
            for (component, service) in COMPONENTS {
                let labels = [r#"signal="traces""#, &format!(r#"component="{component}""#)];
                if runs_on(node, service) && total(metrics, RECEIVED, &labels) == 0 {
                    bail!("none of {component} on {} yet", node.name());
                }
            }
            Ok(())
        })
    })
}

fn runs_on(node: &Node, service: &str) -> bool {
    node.number == 1 || EVERYWHERE.contains(&service)
}

/// Looks at what the agent of each node shows.
fn on_each(ground: &Ground, look: impl Fn(&Node, &str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut nodes = Node::all(ground).into_iter();
    nodes.try_for_each(|node| look(&node, &of_agent(&node)?))
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

/// Waits until every agent has its probes in every component, and in all functions of its catalogue.
pub(crate) fn await_traced(ground: &Ground) -> anyhow::Result<()> {
    patience::until("probes in all components", Duration::from_mins(1), || {
        on_each(ground, |node, metrics| {
            let is_traced = |service: &&&str| {
                let label = format!(r#"service="{service}""#);
                total(metrics, "innerspan_ingest_go_processes", &[&label]) > 0
            };
            let mut services = TRACED.iter().filter(|service| runs_on(node, service));
            if let Some(service) = services.find(|service| !is_traced(service)) {
                bail!("none in {service} of {} yet", node.name());
            }
            match total(metrics, "innerspan_ingest_go_functions", &[r#"state="missing""#]) {
                0 => Ok(()),
                missing => bail!(
                    "{missing} functions of the catalogue are not traced: the log of the agent on {} says which \
                     and why",
                    node.name()
                ),
            }
        })
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
    let metrics = metrics(&node.space.ground)?;
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
                received: total(RECEIVED),
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

/// What all agents show of themselves, one after another.
pub(crate) fn metrics(ground: &Ground) -> anyhow::Result<String> {
    Node::all(ground).iter().map(of_agent).collect()
}

fn of_agent(node: &Node) -> anyhow::Result<String> {
    let server = SocketAddr::from((node::address(node.number), ADMIN));
    node.space
        .fetch(server, "/metrics")
        .with_context(|| format!("cannot read the metrics of the agent on {}", node.name()))
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
