//! `cargo xtask lab starts`: many pods start at once, and the trace of each is held against the kubelet's own words.
//!
//! In: a running lab. Out: of each pod whether its trace is whole, and how far its totals are from those that the
//! kubelet logs as "Observed pod startup duration". The traces are those that the backend has, by the pods' UIDs.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{
    cluster,
    jaeger::{self, parent, tag},
    node::Node,
    patience, world,
};

/// Pods of one Deployment.
const PODS: usize = 50;

/// The name of the Deployment, and of its manifest.
const NAME: &str = "starts";

/// What the trace of every pod has, whichever way its parts were seen.
pub(crate) const PHASES: [&str; 13] = [
    "reconcile",
    "create",
    "schedule",
    "scheduling cycle",
    "binding cycle",
    "bind",
    "notice",
    "sync",
    "volumes",
    "sandbox",
    "cni",
    "create container",
    "start container",
];

/// One pod's start; times in seconds.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) pod: String,
    /// What is wrong with its trace; empty if nothing is.
    pub(crate) faults: Vec<String>,
    pub(crate) end_to_end: Pair,
    pub(crate) sli: Pair,
    /// By which the creation time stamp, from which the kubelet counts, is too early.
    pub(crate) rounding: f64,
}

/// A total as the kubelet logged it, and as the trace has it, counted from the same instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    /// None if the kubelet says nothing of this pod: it misses those whose last state its watch brings it before it has
    /// taken note that they run, now and then one of fifty.
    pub(crate) kubelet: Option<f64>,
    pub(crate) trace: f64,
}

impl Pair {
    pub(crate) fn difference(self) -> Option<f64> {
        Some((self.trace - self.kubelet?).abs())
    }

    /// Within 2 % or 20 ms, where there is something to agree with.
    pub(crate) fn agrees(self) -> bool {
        let tolerated = self.kubelet.map(|kubelet| (0.02 * kubelet).max(0.020));
        self.difference() <= tolerated
    }
}

/// Starts the pods, and holds their traces against the kubelet's log.
pub(crate) fn measure(node: &Node) -> anyhow::Result<Vec<Line>> {
    let values = [
        ("PODS", PODS.to_string()),
        ("IMAGE", format!("{}/demo:1", world::REGISTRY)),
    ];
    cluster::apply(node, &format!("{NAME}.yaml"), &values)?;
    cluster::rolled_out(node, "default", &format!("deployment/{NAME}"))?;
    let selector = format!("--selector=app={NAME}");
    let format = "--output=jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
    let listed = node.space.run(&["kubectl", "get", "pods", &selector, format])?;
    let pods: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
    if pods.len() != PODS {
        bail!("{} of {PODS} pods are there", pods.len());
    }
    let mut traces = BTreeMap::new();
    patience::until("the traces of all pods", Duration::from_mins(2), || {
        for (name, uid) in &pods {
            if !traces.contains_key(name) {
                let trace = jaeger::trace(node, &uid.replace('-', ""))?;
                root(&trace).with_context(|| format!("the trace of {name} has no root yet"))?;
                traces.insert(*name, trace);
            }
        }
        Ok(())
    })?;
    let log = fs::read_to_string(node.log("kubelet")).context("cannot read the kubelet's log")?;
    pods.iter()
        .map(|(name, _)| line(name, &traces[name], &log))
        .collect()
}

/// Takes the Deployment away again.
pub(crate) fn clear(node: &Node) -> anyhow::Result<()> {
    node.space.run(&["kubectl", "delete", "deployment", NAME])?;
    Ok(())
}

/// For a program to read.
pub(crate) fn as_json(lines: &[Line]) -> Value {
    let pair = |pair: Pair| json!({ "kubelet": pair.kubelet, "trace": pair.trace, "agrees": pair.agrees() });
    lines
        .iter()
        .map(|line| {
            json!({
                "pod": line.pod, "faults": line.faults, "rounding": line.rounding,
                "end_to_end": pair(line.end_to_end), "sli": pair(line.sli),
            })
        })
        .collect()
}

fn line(name: &str, trace: &Value, log: &str) -> anyhow::Result<Line> {
    let subject = format!("pod=\"default/{name}\"");
    let mut lines = log.lines();
    let observed =
        lines.find(|line| line.contains("Observed pod startup duration") && line.contains(&subject));
    let root = root(trace).context("no root")?;
    let said = |key: &str| {
        tag(root, key)
            .and_then(Value::as_f64)
            .with_context(|| format!("the root of {name}'s trace has no {key}: {root}"))
    };
    let rounding = said("innerspan.pod_start.creation_rounding")?;
    let pair = |logged: &str, ours: &str| -> anyhow::Result<Pair> {
        let kubelet = observed
            .map(|line| field(line, logged).with_context(|| format!("no {logged} in `{line}`")))
            .transpose()?;
        let trace = said(ours)? + rounding;
        Ok(Pair { kubelet, trace })
    };
    Ok(Line {
        pod: name.to_owned(),
        faults: faults(trace),
        end_to_end: pair("podStartE2EDuration", "innerspan.pod_start.end_to_end")?,
        sli: pair("podStartSLOduration", "innerspan.pod_start.sli")?,
        rounding,
    })
}

fn spans(trace: &Value) -> impl Iterator<Item = &Value> {
    trace["spans"].as_array().into_iter().flatten()
}

fn root(trace: &Value) -> Option<&Value> {
    spans(trace).find(|span| parent(span).is_none() && span["operationName"] == "pod start")
}

/// A number of the kubelet's log line, which it writes bare, quoted, or as a Go duration.
fn field(line: &str, key: &str) -> Option<f64> {
    let (_, rest) = line.split_once(&format!("{key}="))?;
    let word = rest.split_ascii_whitespace().next()?.trim_matches('"');
    match word.parse() {
        Ok(number) => Some(number),
        Err(_) => go_duration(word),
    }
}

/// `1m2.5s`, `350ms`
fn go_duration(text: &str) -> Option<f64> {
    let (mut seconds, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    Some(seconds)
}

/// What is wrong with a trace.
fn faults(trace: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let times = |span: &Value| {
        let start = span["startTime"].as_u64().unwrap_or_default();
        (start, start + span["duration"].as_u64().unwrap_or_default())
    };
    let by_id: BTreeMap<&str, &Value> = spans(trace)
        .filter_map(|span| Some((span["spanID"].as_str()?, span)))
        .collect();
    let roots = spans(trace).filter(|span| parent(span).is_none()).count();
    if roots != 1 {
        faults.push(format!("{roots} roots"));
    }
    if by_id.len() != spans(trace).count() {
        faults.push("two spans of one id".to_owned());
    }
    for span in spans(trace) {
        let name = span["operationName"].as_str().unwrap_or_default();
        let Some(id) = parent(span) else { continue };
        let Some(parent) = by_id.get(id) else {
            faults.push(format!("{name} has no parent"));
            continue;
        };
        // The backend keeps whole microseconds.
        let (inner, outer) = (times(span), times(parent));
        if inner.0 + 1 < outer.0 || inner.1 > outer.1 + 1 {
            faults.push(format!("{name} is not within its parent"));
        }
    }
    for phase in PHASES {
        if !spans(trace).any(|span| span["operationName"] == phase) {
            faults.push(format!("no {phase}"));
        }
    }
    if let Some(root) = root(trace) {
        let tags = root["tags"].as_array().into_iter().flatten();
        let parts = tags.filter(|tag| {
            let key = tag["key"].as_str().unwrap_or_default();
            key.starts_with("innerspan.critical_path.")
        });
        let sum: f64 = parts.filter_map(|tag| tag["value"].as_f64()).sum();
        let whole = root["duration"].as_f64().unwrap_or_default() / 1e6;
        if (sum - whole).abs() > 1e-5 {
            faults.push(format!("the sums are {sum} s of {whole} s"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_words_are_numbers() {
        let line = "I1 \"Observed pod startup duration\" pod=\"default/a\" podStartSLOduration=0.85 \
                    podStartE2EDuration=\"1m1.25s\" totalImagesPullingTime=\"400ms\"";
        assert_eq!(field(line, "podStartSLOduration"), Some(0.85));
        assert_eq!(field(line, "podStartE2EDuration"), Some(61.25));
        assert_eq!(field(line, "totalImagesPullingTime"), Some(0.4));
        assert_eq!(field(line, "nothing"), None);
    }

    #[test]
    fn a_trace_with_a_hole_is_faulty() {
        let span = |id: &str, name: &str, parent: Option<&str>, start: u64, duration: u64| {
            let references: Vec<Value> = parent
                .map(|parent| json!({ "refType": "CHILD_OF", "spanID": parent }))
                .into_iter()
                .collect();
            json!({ "spanID": id, "operationName": name, "references": references, "startTime": start,
                    "duration": duration, "tags": [] })
        };
        let mut whole = vec![span("r", "pod start", None, 0, 100)];
        let names = PHASES.iter().enumerate();
        whole.extend(names.map(|(at, name)| span(&at.to_string(), name, Some("r"), 10, 20)));
        whole[0]["tags"] = json!([{ "key": "innerspan.critical_path.sync", "value": 100e-6 }]);
        assert_eq!(faults(&json!({ "spans": whole })), [""; 0]);
        let mut damaged = whole.clone();
        damaged.remove(1);
        damaged.push(span("x", "x", Some("gone"), 0, 1));
        damaged.push(span("y", "y", Some("r"), 90, 20));
        assert_eq!(
            faults(&json!({ "spans": damaged })),
            ["x has no parent", "y is not within its parent", "no reconcile"]
        );
    }
}
