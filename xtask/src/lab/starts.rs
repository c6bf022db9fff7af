//! `cargo xtask lab starts`: many pods start at once, and the trace of each is held against the kubelet's own words.
//!
//! In: a running lab. Out: of each pod whether its trace is whole, and how far its totals are from those that the
//! kubelet logs as "Observed pod startup duration", and of all of them the sum in the kubelet's own metric. The traces
//! are those that the backend has, by the pods' UIDs.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{
    cluster,
    jaeger::{self, parent, tag},
    node::Node,
    patience, world,
};
use crate::scrape;

/// Pods of one Deployment.
const PODS: usize = 50;

/// How the kubelet begins its line of a start.
const OBSERVED: &str = "Observed pod startup duration";

/// On the root if the agent that writes it saw the API server make the pod.
const ROUNDING: &str = "innerspan.pod_start.creation_rounding";

/// The name of the Deployment, and of its manifest.
const NAME: &str = "starts";

/// What the trace of every pod has, whichever way its parts were seen.
const PHASES: [&str; 13] = [
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

/// All starts, and what the kubelet counted meanwhile: of these pods, and of others that it noted late.
#[derive(Debug)]
pub(crate) struct Starts {
    pub(crate) lines: Vec<Line>,
    /// `kubelet_pod_start_sli_duration_seconds`
    pub(crate) metric: Sli,
    /// The same by the lines of the log.
    pub(crate) logged: Sli,
}

/// How many starts, and their seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sli {
    pub(crate) count: f64,
    pub(crate) sum: f64,
}

impl Sli {
    fn since(self, before: Self) -> Self {
        Self {
            count: self.count - before.count,
            sum: self.sum - before.sum,
        }
    }
}

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
    /// The kubelet counts until its own watch tells it what it has told the API server so long before. Where the watch
    /// is faster than the kubelet takes note, that is when anything else happens to the pod.
    pub(crate) lag: f64,
}

/// A total as the kubelet logged it, and as the trace has it, counted from the same instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) kubelet: f64,
    pub(crate) trace: f64,
}

/// Whether trace and kubelet say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Within 2 % or 20 ms.
    Agrees,
    /// Apart by no more than the kubelet's watch lagged behind.
    Lags,
    Differs,
}

impl Line {
    pub(crate) fn verdict(&self, pair: Pair) -> Verdict {
        let tolerated = (0.02 * pair.kubelet).max(0.020);
        let short = pair.kubelet - pair.trace;
        if short.abs() <= tolerated {
            Verdict::Agrees
        } else if (-tolerated..=self.lag + tolerated).contains(&short) {
            Verdict::Lags
        } else {
            Verdict::Differs
        }
    }
}

/// What the trace of a pod has. Where another agent saw it being bound, the one of its node cannot always tell how long
/// the kubelet took to notice.
pub(crate) fn phases(bound_elsewhere: bool) -> Vec<&'static str> {
    let mut phases = PHASES.to_vec();
    phases.retain(|phase| *phase != "notice" || !bound_elsewhere);
    phases
}

/// Starts the pods, holds their traces against what the kubelet says, and takes them away again.
pub(crate) fn measure(node: &Node) -> anyhow::Result<Starts> {
    let image = format!("{}/demo:1", world::REGISTRY);
    // The first pods have to wait for it.
    let words = ["ctr", "--namespace=k8s.io", "images", "remove", &image];
    for node in Node::all(&node.space.ground) {
        node.space.run(&words)?;
    }
    let (metric, logged) = (sli(node)?, logged(&logs(node)?));
    let values = [("PODS", PODS.to_string()), ("IMAGE", image)];
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
    // What the agent beside the control plane has to tell comes after the root where the pod is on another node.
    let whole = patience::until("whole traces of all pods", Duration::from_mins(2), || {
        for (name, uid) in &pods {
            if traces.get(name).is_none_or(|trace| !faults(trace).is_empty()) {
                let trace = jaeger::trace(node, &uid.replace('-', ""))?;
                root(&trace).with_context(|| format!("the trace of {name} has no root yet"))?;
                traces.insert(*name, trace);
            }
        }
        match traces.iter().find(|(_, trace)| !faults(trace).is_empty()) {
            Some((name, trace)) => bail!("{name}: {}", faults(trace).join(", ")),
            None => Ok(()),
        }
    });
    if traces.len() < PODS {
        whole?;
    }
    // A start that the kubelet has not noted yet it notes when the pod is deleted.
    node.space.run(&["kubectl", "delete", "deployment", NAME])?;
    let mut log = String::new();
    patience::until("the kubelet's word of all pods", Duration::from_mins(1), || {
        log = logs(node)?;
        pods.iter()
            .try_for_each(|(name, _)| observed(&log, name).map(drop))
    })?;
    let metric = sli(node)?.since(metric);
    let logged = self::logged(&logs(node)?).since(logged);
    cluster::wait(node, &["--for=delete", "pod", &selector], Duration::from_mins(1))?;
    let lines = pods.iter().map(|(name, _)| line(name, &traces[name], &log));
    Ok(Starts {
        lines: lines.collect::<anyhow::Result<_>>()?,
        metric,
        logged,
    })
}

/// What all kubelets log.
fn logs(node: &Node) -> anyhow::Result<String> {
    let nodes = Node::all(&node.space.ground).into_iter();
    nodes
        .map(|node| fs::read_to_string(node.log("kubelet")).context("cannot read the kubelet's log"))
        .collect()
}

/// What all kubelets count.
fn sli(node: &Node) -> anyhow::Result<Sli> {
    let metrics = Node::all(&node.space.ground).into_iter().map(|of| {
        let path = format!("/api/v1/nodes/{}/proxy/metrics", of.name());
        node.space.run(&["kubectl", "get", "--raw", &path])
    });
    let metrics: String = metrics.collect::<anyhow::Result<_>>()?;
    let value = |of| {
        scrape::sum(
            &metrics,
            &format!("kubelet_pod_start_sli_duration_seconds_{of}"),
            &[],
        )
    };
    Ok(Sli {
        count: value("count"),
        sum: value("sum"),
    })
}

/// For a program to read.
pub(crate) fn as_json(starts: &Starts) -> Value {
    let of = |line: &Line| {
        let pair = |pair: Pair| json!({ "kubelet": pair.kubelet, "trace": pair.trace, "verdict": format!("{:?}", line.verdict(pair)) });
        json!({
            "pod": line.pod, "faults": line.faults, "rounding": line.rounding, "lag": line.lag,
            "end_to_end": pair(line.end_to_end), "sli": pair(line.sli),
        })
    };
    let lines: Vec<Value> = starts.lines.iter().map(of).collect();
    let sli = |sli: Sli| json!({ "count": sli.count, "sum": sli.sum });
    json!({ "starts": lines, "metric": sli(starts.metric), "logged": sli(starts.logged) })
}

/// What all lines of the log say of starts: the metric leaves out pods with a state.
fn logged(log: &str) -> Sli {
    let lines = log.lines().filter(|line| line.contains(OBSERVED));
    let lines = lines.filter(|line| line.contains("isStatefulPod=false"));
    let seconds: Vec<f64> = lines
        .filter_map(|line| field(line, "podStartSLOduration"))
        .collect();
    Sli {
        count: seconds.iter().map(|_| 1.0).sum(),
        sum: seconds.iter().sum(),
    }
}

/// The kubelet's line of a pod.
fn observed<'a>(log: &'a str, pod: &str) -> anyhow::Result<&'a str> {
    let subject = format!("pod=\"default/{pod}\"");
    let mut lines = log.lines();
    lines
        .find(|line| line.contains(OBSERVED) && line.contains(&subject))
        .with_context(|| format!("the kubelet says nothing of {pod}"))
}

fn line(name: &str, trace: &Value, log: &str) -> anyhow::Result<Line> {
    let observed = observed(log, name)?;
    let logged = |key| field(observed, key).with_context(|| format!("no {key} in `{observed}`"));
    let instant = |key| instant(observed, key).with_context(|| format!("no {key} in `{observed}`"));
    let root = root(trace).context("no root")?;
    let number = |key: &str| tag(root, key).and_then(Value::as_f64);
    let said =
        |key: &str| number(key).with_context(|| format!("the root of {name}'s trace has no {key}: {root}"));
    // Where the API server was not seen, the trace counts from the time stamp too.
    let rounding = number(ROUNDING).unwrap_or_default();
    Ok(Line {
        pod: name.to_owned(),
        faults: faults(trace),
        end_to_end: Pair {
            kubelet: logged("podStartE2EDuration")?,
            trace: said("innerspan.pod_start.end_to_end")? + rounding,
        },
        sli: Pair {
            kubelet: logged("podStartSLOduration")?,
            trace: said("innerspan.pod_start.sli")? + rounding,
        },
        rounding,
        lag: instant("watchObservedRunningTime")? - instant("observedRunningTime")?,
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

/// Seconds on the monotonic clock, which Go writes after the time of day: `2026-11-28 20:05:04 +0000 UTC m=+51.335`.
fn instant(line: &str, key: &str) -> Option<f64> {
    let (_, rest) = line.split_once(&format!(" {key}=\""))?;
    let (time, _) = rest.split_once('"')?;
    time.split_once("m=+")?.1.parse().ok()
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
    let bound_elsewhere = root(trace).is_some_and(|root| tag(root, ROUNDING).is_none());
    for phase in phases(bound_elsewhere) {
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
                    podStartE2EDuration=\"1m1.25s\" totalImagesPullingTime=\"400ms\" \
                    observedRunningTime=\"2026-11-28 20:05:04.8 +0000 UTC m=+51.5\" \
                    watchObservedRunningTime=\"2026-11-28 20:05:05.1 +0000 UTC m=+51.75\"";
        assert_eq!(field(line, "podStartSLOduration"), Some(0.85));
        assert_eq!(field(line, "podStartE2EDuration"), Some(61.25));
        assert_eq!(field(line, "totalImagesPullingTime"), Some(0.4));
        assert_eq!(field(line, "nothing"), None);
        assert_eq!(instant(line, "observedRunningTime"), Some(51.5));
        assert_eq!(instant(line, "watchObservedRunningTime"), Some(51.75));
    }

    #[test]
    fn a_difference_is_held_against_the_lag_of_the_kubelets_watch() {
        let verdict = |kubelet, trace| {
            let pair = Pair { kubelet, trace };
            let line = Line {
                pod: String::new(),
                faults: Vec::new(),
                end_to_end: pair,
                sli: pair,
                rounding: 0.0,
                lag: 0.5,
            };
            line.verdict(pair)
        };
        assert_eq!(verdict(10.0, 10.19), Verdict::Agrees);
        assert_eq!(verdict(10.0, 9.5), Verdict::Lags);
        assert_eq!(verdict(10.0, 9.2), Verdict::Differs);
        assert_eq!(verdict(10.0, 10.5), Verdict::Differs);
        assert_eq!(verdict(0.5, 0.515), Verdict::Agrees);
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
        whole[0]["tags"] = json!([
            { "key": "innerspan.critical_path.sync", "value": 100e-6 },
            { "key": ROUNDING, "value": 0.1 },
        ]);
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
