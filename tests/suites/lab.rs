//! The lab as a whole: a real cluster whose every span is accounted for, and nothing left of it.
//!
//! One boot serves all questions, so there is one test, and its parts run in an order. A second
//! boot, after the first cluster was killed, shows that leftovers do no harm.

#![expect(clippy::unwrap_used, reason = "a suite that cannot do its part fails at once")]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tempfile::NamedTempFile;

/// What the agent saw itself, in the account.
const OWN: &str = "innerspan";

const COMPONENTS: [&str; 4] = ["containerd", "etcd", "kube-apiserver", "kubelet"];

#[test]
fn every_span_of_a_real_cluster_is_accounted_for_and_nothing_is_left_behind() {
    let before = Machine::look();
    let lab = Lab {
        checkout: concat!(env!("CARGO_MANIFEST_DIR"), "/.."),
    };
    lab.ended();
    assert_success(&lab.run(&["up", "--capture"]));

    a_second_lab_says_that_one_is_up(&lab);
    the_golden_renderings_are_those_of_the_chart(&lab);
    spans_of_all_components_arrive_and_name_their_node(&lab);
    what_was_sent_was_received_and_exported(&lab);
    what_the_agent_saw_itself_arrives(&lab);
    a_collector_that_was_away_gets_everything(&lab);
    a_full_queue_refuses_and_loses_nothing(&lab);

    first_process_killed(&lab);
    an_interrupt_ends_the_demonstration(&lab);
    components_that_do_not_trace_are_seen_into(&lab);
    before.is_as_it_was();
}

fn a_second_lab_says_that_one_is_up(lab: &Lab) {
    let second = lab.run(&["up"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("the lab is up already"), "{said}");
}

fn the_golden_renderings_are_those_of_the_chart(lab: &Lab) {
    let below = |folder: &str| Path::new(lab.checkout).join("tests/data").join(folder);
    let golden = fs::read_dir(below("golden/chart")).unwrap();
    let mut names: Vec<_> = golden.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        let values = format!("--values={}", below("chart").join(&name).display());
        let words = [
            "helm",
            "template",
            "innerspan",
            "deploy/chart",
            "--namespace=innerspan",
        ];
        let rendered = lab.exec(&[&words[..], &[values.as_str()]].concat());
        assert_success(&rendered);
        let kept = fs::read_to_string(below("golden/chart").join(&name)).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&rendered.stdout),
            kept,
            "{}",
            name.display()
        );
    }
}

fn spans_of_all_components_arrive_and_name_their_node(lab: &Lab) {
    let account = lab.settled();
    for component in COMPONENTS {
        let line = &account.components[component];
        assert!(line.arrived > 0, "{component}: {line:?}");
        assert_eq!(line.nameless, 0, "{component}: {line:?}");
    }
}

fn what_was_sent_was_received_and_exported(lab: &Lab) {
    for (component, line) in lab.settled().components {
        assert_eq!(line.sent, Some(line.received), "{component}: {line:?}");
        assert_eq!(line.received, line.exported, "{component}: {line:?}");
        assert_eq!(line.exported, line.arrived, "{component}: {line:?}");
        assert_eq!(line.dropped, 0, "{component}: {line:?}");
    }
}

/// The agent makes spans all the time, so there is no instant at which nothing is under way; but often one at which
/// all of them have arrived.
fn what_the_agent_saw_itself_arrives(lab: &Lab) {
    until(
        "all of the agent's own spans at the collector",
        Duration::from_mins(2),
        || {
            let own = lab.account().components.remove(OWN).unwrap();
            assert_eq!((own.dropped, own.nameless), (0, 0), "{own:?}");
            (own.received > 0 && own.received == own.exported && own.exported == own.arrived).then_some(())
        },
    );
}

fn a_collector_that_was_away_gets_everything(lab: &Lab) {
    lab.away(Duration::from_secs(20));
    for (component, line) in lab.settled().components {
        assert_eq!(line.sent, Some(line.arrived), "{component}: {line:?}");
        assert_eq!(line.received, line.exported, "{component}: {line:?}");
        assert_eq!(line.dropped, 0, "{component}: {line:?}");
    }
}

/// Past its bound the agent asks the components to wait. What it took over arrives all the same; a component
/// that is refused for longer than its own ten seconds gives up, so what was sent says nothing here.
fn a_full_queue_refuses_and_loses_nothing(lab: &Lab) {
    let endpoint = "config.export.endpoints[0]";
    assert_success(&lab.exec(&[
        "helm",
        "upgrade",
        "innerspan",
        "deploy/chart",
        "--namespace=innerspan",
        "--reuse-values",
        "--set=endpoint=",
        &format!("--set={endpoint}.name=default"),
        &format!("--set={endpoint}.endpoint=http://collector.observability:4317"),
        &format!("--set={endpoint}.queue.max_size=512KiB"),
        &format!("--set={endpoint}.batch.max_size=128KiB"),
        "--set=config.ingest.otlp.max_message_size=512KiB",
    ]));
    lab.rolled_out("innerspan", "daemonset/innerspan");
    let begin = lab.settled();
    lab.away(Duration::from_secs(40));
    let end = lab.settled();
    assert!(end.refused > 0, "the queue was never full: {end:?}");
    for (component, line) in end.components {
        let taken = line.received - begin.components[&component].received;
        let arrived = line.arrived - begin.components[&component].arrived;
        assert_eq!(taken, arrived, "{component}: {line:?}");
        assert_eq!(line.dropped, 0, "{component}: {line:?}");
    }
}

/// As the kernel would under memory pressure: no chance to clean up.
fn first_process_killed(lab: &Lab) {
    let told = lab.run(&["status"]);
    let said = String::from_utf8_lossy(&told.stdout);
    let first = said
        .split_once("first process ")
        .unwrap()
        .1
        .split_once(',')
        .unwrap()
        .0;
    assert!(
        Command::new("kill")
            .args(["-KILL", first])
            .status()
            .unwrap()
            .success()
    );
    until(
        "the lab to end with its first process",
        Duration::from_secs(30),
        || {
            let status = lab.run(&["status"]);
            (!status.status.success()).then_some(())
        },
    );
}

fn an_interrupt_ends_the_demonstration(lab: &Lab) {
    let log = NamedTempFile::new().unwrap();
    let output = log.reopen().unwrap();
    let mut session = lab
        .command(&[])
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    until("the demonstration", Duration::from_mins(8), || {
        let said = fs::read_to_string(log.path()).unwrap();
        assert!(session.try_wait().unwrap().is_none(), "ended early: {said}");
        said.contains("runs until Ctrl-C").then_some(())
    });
    let id = session.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(session.wait().unwrap().success());
    let said = fs::read_to_string(log.path()).unwrap();
    assert!(said.contains("apiserver > etcd: trace"), "{said}");
    assert!(said.contains("kubelet > containerd: trace"), "{said}");
}

/// All six components with their own tracing off: `lab --native off --once` succeeds only if each client's call of the
/// pod's start has the call that served it as its child.
fn components_that_do_not_trace_are_seen_into(lab: &Lab) {
    let shown = lab.run(&["--native", "off", "--once"]);
    assert_success(&shown);
    let said = String::from_utf8_lossy(&shown.stdout);
    for (span, service) in [
        ("syncReplicaSet", "kube-controller-manager"),
        ("etcdserverpb.KV/Txn", "apiserver"),
        ("etcdserverpb.KV/Txn", "etcd"),
        ("schedulePod", "kube-scheduler"),
        ("SyncPod", "kubelet"),
        ("runtime.v1.RuntimeService/RunPodSandbox", "kubelet"),
        ("runtime.v1.RuntimeService/RunPodSandbox", "containerd"),
    ] {
        let is_shown = said
            .lines()
            .any(|line| line.contains(span) && line.contains(service));
        assert!(is_shown, "{span} of {service}: {said}");
    }
}

/// What the suite finds on the machine before, and must find after.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    interfaces: Vec<String>,
    mounts: String,
    cgroups: Vec<String>,
    pinned: Vec<String>,
}

impl Machine {
    fn look() -> Self {
        let list = |dir: &str| -> Vec<String> {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            let mut names: Vec<_> = entries
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        let hierarchies = list("/sys/fs/cgroup");
        let labs = hierarchies
            .iter()
            .flat_map(|hierarchy| list(&format!("/sys/fs/cgroup/{hierarchy}")))
            .chain(hierarchies.clone())
            .filter(|name| name.starts_with("innerspan-lab-"));
        Self {
            interfaces: list("/sys/class/net"),
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
            cgroups: labs.collect(),
            pinned: list("/sys/fs/bpf"),
        }
    }

    fn is_as_it_was(&self) {
        // A cgroup cannot be removed as long as a process is in it.
        assert_eq!(self, &Self::look());
    }
}

/// Where the spans are.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Account {
    components: BTreeMap<String, Line>,
    refused: u64,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Line {
    /// Nothing that the agent makes itself was sent to it.
    sent: Option<u64>,
    received: u64,
    exported: u64,
    dropped: u64,
    held: u64,
    arrived: u64,
    nameless: u64,
}

/// The lab of this checkout; it ends with the test, also when the test fails.
#[derive(Debug)]
struct Lab {
    checkout: &'static str,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.ended();
    }
}

impl Lab {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(self.checkout);
        command
            .args(["run", "--quiet", "--package", "xtask", "--", "lab"])
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn exec(&self, words: &[&str]) -> Output {
        self.run(&[&["exec", "--"], words].concat())
    }

    fn ended(&self) {
        assert_success(&self.run(&["down"]));
    }

    fn account(&self) -> Account {
        let taken = self.run(&["spans", "--json"]);
        assert_success(&taken);
        serde_json::from_slice(&taken.stdout).unwrap()
    }

    /// The account of what components sent, at a quiet instant: nothing is under way, and nothing was sent while it
    /// was taken.
    fn settled(&self) -> Account {
        until("a quiet instant", Duration::from_mins(2), || {
            let account = || {
                let mut account = self.account();
                account.components.remove(OWN);
                account
            };
            let first = account();
            // Longer than the collector gathers what it passes on.
            thread::sleep(Duration::from_millis(500));
            let second = account();
            let quiet = first == second && second.components.values().all(|line| line.held == 0);
            quiet.then_some(second)
        })
    }

    /// Takes the collector away for a while.
    fn away(&self, length: Duration) {
        let scale = |replicas: &str| {
            let words = [
                "kubectl",
                "-n",
                "observability",
                "scale",
                "deployment/collector",
                replicas,
            ];
            assert_success(&self.exec(&words));
        };
        scale("--replicas=0");
        let gone = [
            "kubectl",
            "-n",
            "observability",
            "wait",
            "--for=delete",
            "pod",
            "--all",
            "--timeout=60s",
        ];
        assert_success(&self.exec(&gone));
        thread::sleep(length);
        scale("--replicas=1");
        self.rolled_out("observability", "deployment/collector");
    }

    fn rolled_out(&self, namespace: &str, workload: &str) {
        let words = [
            "kubectl",
            "-n",
            namespace,
            "rollout",
            "status",
            workload,
            "--timeout=60s",
        ];
        assert_success(&self.exec(&words));
    }
}

fn assert_success(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn until<T>(what: &str, within: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(begun.elapsed() < within, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(200));
    }
}
