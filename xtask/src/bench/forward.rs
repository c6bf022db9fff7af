//! The bench `forward`: OTLP in, OTLP out.
//!
//! In: the recording and the forwarders. Out: one row of figures per forwarder, and how
//! innerspan stands against each peer that compresses as it does.
//!
//! The forwarders take turns, so that a slow minute of the machine hits them all, and what
//! counts is the median of the rounds. A measurement ends when the last span has arrived:
//! CPU time and spans then belong together, whatever a forwarder holds back meanwhile.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;

use super::{
    forwarder::{self, Forwarder},
    load::Load,
    process,
    recording::Recording,
    sink::{Sink, Total},
    table::{Figure, Row, render},
};
use crate::place;

/// What is sent to each forwarder, in this order. The sizes are those of a slow and of a busy
/// component; the rate is far above what a node emits.
const LOADS: [Load; 3] = [
    Load {
        spans_per_request: 100,
        pace: Some(10_000),
    },
    Load {
        spans_per_request: 20,
        pace: None,
    },
    Load {
        spans_per_request: 512,
        pace: None,
    },
];

/// How often, and how long at a time.
#[derive(Clone, Copy, Debug)]
struct Plan {
    rounds: usize,
    idle: Duration,
    warm_up: Duration,
    length: Duration,
}

const FULL: Plan = Plan {
    rounds: 3,
    idle: Duration::from_secs(3),
    warm_up: Duration::from_secs(1),
    length: Duration::from_secs(5),
};

const QUICK: Plan = Plan {
    rounds: 1,
    idle: Duration::from_millis(500),
    warm_up: Duration::from_millis(500),
    length: Duration::from_secs(1),
};

/// What is still missing this long after the last arrival is lost.
const SILENCE: Duration = Duration::from_secs(5);

/// True if innerspan has lost or doubled nothing.
pub(super) fn run(quick: bool, only_ours: bool) -> anyhow::Result<bool> {
    let plan = if quick { QUICK } else { FULL };
    let recording = Recording::read(&place::root().join("tests/data/otlp/lab.binpb"))?;
    let loads = LOADS.map(|load| {
        (
            load,
            Arc::from(recording.requests(load.spans_per_request as usize)),
        )
    });
    let forwarders = forwarder::all(only_ours)?;

    process::pin_ourselves()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let rows = runtime.block_on(rounds(plan, &forwarders, &loads))?;

    let report = render(&rows);
    println!("{report}");
    let file = place::root().join("target/bench/forward.md");
    fs::write(&file, report).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(rows.iter().all(|row| !row.ours || row.is_exact()))
}

async fn rounds(
    plan: Plan,
    forwarders: &[Forwarder],
    loads: &[(Load, Arc<[Bytes]>)],
) -> anyhow::Result<Vec<Row>> {
    let sink = Sink::start().await?;
    let mut rows: Vec<_> = forwarders
        .iter()
        .map(|it| Row::new(it.name, it.ours, it.gzip))
        .collect();
    for round in 1..=plan.rounds {
        for (forwarder, row) in forwarders.iter().zip(&mut rows) {
            eprintln!("round {round} of {}: {}", plan.rounds, forwarder.name);
            measure(plan, forwarder, loads, &sink, row)
                .await
                .context(forwarder.name)?;
        }
    }
    Ok(rows)
}

async fn measure(
    plan: Plan,
    forwarder: &Forwarder,
    loads: &[(Load, Arc<[Bytes]>)],
    sink: &Sink,
    row: &mut Row,
) -> anyhow::Result<()> {
    let files = place::root()
        .join("target/bench")
        .join(forwarder.name.replace([',', ' ', '/'], "-"));
    let (process, address) = forwarder.start(sink.address, &files).await?;
    tokio::time::sleep(plan.idle).await;
    row.idle_kb.push(process.resident()?.now);
    for ((load, requests), figures) in loads.iter().zip(&mut row.figures) {
        for (length, counts) in [(plan.warm_up, false), (plan.length, true)] {
            let (cpu, arrived, begun) = (process.cpu()?, sink.total(), Instant::now());
            let sent = load.send(address, Arc::clone(requests), length).await?;
            let end = arrived.spans + sent.spans;
            let arrived = settled(sink, end).await - arrived;
            let figure = Figure {
                sent,
                arrived,
                cpu: process.cpu()?.saturating_sub(cpu),
                elapsed: begun.elapsed(),
            };
            if counts {
                figures.push(figure);
            }
        }
    }
    row.peak_kb.push(process.resident()?.peak);
    Ok(())
}

/// What has arrived once everything has, or once nothing comes any more.
async fn settled(sink: &Sink, spans: u64) -> Total {
    let (mut last, mut changed) = (sink.total(), Instant::now());
    while last.spans < spans && changed.elapsed() < SILENCE {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let total = sink.total();
        if total.spans != last.spans {
            (last, changed) = (total, Instant::now());
        }
    }
    last
}
