//! Replays a recorded pod start many times over; `cargo xtask bench starts` runs it and shows what it prints.
//!
//! In: the requests in `tests/data/otlp`, as the components of a real cluster sent them. Out: CPU time and memory for
//! each start: of finding its spans among all others, and of following and writing its trace. Every replay is another
//! pod, with other ids and at another time.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::{collections::HashSet, error::Error, fs, path::Path, sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes};
use innerspan::{
    correlate::pod_trace::{Config, Metrics, PodTraces, wanted},
    ingest::otlp,
    model::{
        attr::Value,
        pod::{Condition, Phase, Pod, PodEvent, PodUid},
        time::{Nanos, Wall},
        trace::{Span, TraceId},
    },
};
use nix::time::{ClockId, clock_gettime};

/// The pod that was recorded.
const NAME: &str = "demo-56445c469b-7q8nt";
const UID: &str = "e4ca9bb2-76b5-4f1c-8a1c-0dfbae5ad301";

const STARTS: u32 = 1000;
/// From one start to the next: some sixty are followed at any time.
const APART: Duration = Duration::from_millis(250);

fn main() -> Result<(), Box<dyn Error>> {
    let requests = requests()?;
    let begun = cpu()?;
    let recorded: Vec<Span> = find(&requests);
    let walked = cpu()?.saturating_sub(begun);
    let all: usize = count(&requests);
    let start = recorded.iter().map(|span| span.start).min().ok_or("no spans")?;
    let end = recorded.iter().map(|span| span.end).max().ok_or("no spans")?;

    let before = resident()?;
    let mut traces = PodTraces::new(
        Config {
            linger: Duration::from_secs(12),
            give_up: Duration::from_mins(30),
            max_pods: 1024,
            max_works: 1024,
            max_kept: 64,
        },
        Metrics::default(),
    );
    let (mut written, mut roots, mut peak) = (Vec::new(), 0_u64, before);
    let begun = cpu()?;
    for number in 0..STARTS {
        let later = u64::try_from(APART.as_nanos())? * u64::from(number);
        let pod = Replay::new(number, later).ok_or("no UID")?;
        let now = shift(end, later);
        traces.pod(pod.seen(shift(start, later), start, false));
        for span in &recorded {
            traces.native(pod.replay(span), now);
        }
        traces.pod(pod.seen(now, start, true));
        traces.tick(now, &mut written);
        roots += written.iter().filter(|span| span.parent.is_none()).count() as u64;
        written.clear();
        if number.is_multiple_of(100) {
            peak = peak.max(resident()?);
        }
    }
    traces.tick(shift(end, u64::MAX / 4), &mut written);
    roots += written.iter().filter(|span| span.parent.is_none()).count() as u64;
    let followed = cpu()?.saturating_sub(begun);

    println!("starts replayed: {STARTS}, traces written: {roots}");
    println!(
        "spans of a start that say something of the pod: {}",
        recorded.len()
    );
    println!(
        "CPU time per start, followed and written: {:?}",
        followed / STARTS
    );
    println!(
        "CPU time per native span that is looked at: {:?}",
        walked / u32::try_from(all)?
    );
    println!(
        "memory while some sixty are followed, and 64 kept: {} kB",
        peak.saturating_sub(before)
    );
    if roots == u64::from(STARTS) {
        Ok(())
    } else {
        Err("some starts have no trace".into())
    }
}

/// One start among many.
struct Replay {
    number: u32,
    later: u64,
    uid: PodUid,
}

impl Replay {
    fn new(number: u32, later: u64) -> Option<Self> {
        let uid = PodUid::parse(&format!("{number:08x}{}", &UID[8..]))?;
        Some(Self { number, later, uid })
    }

    fn name(&self) -> String {
        format!("demo-{:08x}", self.number)
    }

    fn seen(&self, at: Nanos<Wall>, created: Nanos<Wall>, is_ready: bool) -> PodEvent {
        let ready = Condition {
            kind: "Ready".into(),
            is_true: is_ready,
            since: at,
            reason: "".into(),
            message: "".into(),
        };
        PodEvent::Seen {
            pod: Arc::new(Pod {
                uid: self.uid,
                namespace: "default".into(),
                name: self.name().into(),
                is_static: false,
                owner: None,
                created: shift(created, self.later),
                deletion: None,
                deletion_grace: None,
                phase: Phase::Pending,
                reason: "".into(),
                message: "".into(),
                conditions: vec![ready],
                containers: Vec::new(),
            }),
            at,
            listed: false,
        }
    }

    fn replay(&self, span: &Span) -> Span {
        let mut span = span.clone();
        let TraceId(id) = &mut span.trace_id;
        id[..4].copy_from_slice(&self.number.to_be_bytes());
        (span.start, span.end) = (shift(span.start, self.later), shift(span.end, self.later));
        for (_, value) in &mut span.attributes {
            if let Value::Text(text) = value {
                // Ids of sandboxes and containers are 64 digits.
                let other = if text.len() == 64 {
                    format!("{:08x}{}", self.number, &text[8..])
                } else {
                    text.replace(UID, &self.uid.to_string())
                        .replace(NAME, &self.name())
                };
                *text = other.into();
            }
        }
        span
    }
}

fn shift(at: Nanos<Wall>, by: u64) -> Nanos<Wall> {
    Nanos::new(at.count().saturating_add(by))
}

/// The recorded spans that a pod's trace asks for, of the traces that name the pod.
fn find(requests: &[Bytes]) -> Vec<Span> {
    let mut found = Vec::new();
    for request in requests {
        otlp::spans(request, |native| {
            if let Some(keys) = wanted(native.span, |key| native.said(key)) {
                found.push(native.keep(keys));
            }
        });
    }
    let names = |span: &Span| {
        let texts = span.attributes.iter().filter_map(|(_, value)| value.text());
        texts
            .into_iter()
            .any(|text| text.contains(UID) || text.contains(NAME))
    };
    let of_pod: HashSet<TraceId> = found
        .iter()
        .filter(|span| names(span))
        .map(|span| span.trace_id)
        .collect();
    found.retain(|span| of_pod.contains(&span.trace_id));
    found
}

fn count(requests: &[Bytes]) -> usize {
    let mut count = 0;
    for request in requests {
        otlp::spans(request, |_| count += 1);
    }
    count
}

/// The requests of all components, each behind its length.
fn requests() -> Result<Vec<Bytes>, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/otlp");
    let mut requests = Vec::new();
    for component in ["kube-apiserver", "etcd", "kubelet", "containerd"] {
        let mut file = Bytes::from(fs::read(folder.join(component).with_extension("binpb"))?);
        while file.has_remaining() {
            let length = prost::decode_length_delimiter(&mut file)?;
            requests.push(file.split_to(length));
        }
    }
    Ok(requests)
}

fn cpu() -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?))
}

/// In kB.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    Ok(number.ok_or("no VmRSS")?.parse()?)
}
