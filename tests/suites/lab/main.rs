//! The lab as a whole: a real cluster whose every span is accounted for, and nothing left of it.
//!
//! One boot serves all questions, so there is one test, and its parts run in an order. A second
//! boot, after the first cluster was killed, shows that leftovers do no harm; in a third the
//! components do not trace themselves.

#![expect(clippy::unwrap_used, reason = "a suite that cannot do its part fails at once")]

mod account;
mod calls;
mod cluster;
mod killed;
mod machine;

use std::{env, fs, path::Path, process::Command, thread, time::Duration};

use serde_json::{Value, json};

use self::{
    cluster::{Lab, Session, assert_success, until},
    machine::Machine,
};

#[test]
fn every_span_of_a_real_cluster_is_accounted_for_and_nothing_is_left_behind() {
    let before = Machine::look();
    let lab = Lab {
        checkout: concat!(env!("CARGO_MANIFEST_DIR"), "/.."),
    };
    lab.ended();
    lab.said(&["up", "--capture"]);

    a_second_lab_says_that_one_is_up(&lab);
    the_golden_renderings_are_those_of_the_chart(&lab);
    account::spans_of_all_components_arrive_and_name_their_node(&lab);
    account::what_was_sent_was_received_and_exported(&lab);
    account::what_the_agent_saw_itself_arrives(&lab);
    account::a_collector_that_was_away_gets_everything(&lab);
    calls::none_is_exported_twice(&lab);
    account::a_full_queue_refuses_and_loses_nothing(&lab);
    calls::each_is_seen_as_the_component_sees_it(&lab);
    every_case_is_told_by_its_trace(&lab);
    a_stop_tells_of_its_hook(&lab);
    fifty_starts_are_told_as_the_kubelet_has_them(&lab);

    first_process_killed(&lab);
    traces_of_a_pod_that_starts_are_shown(&lab);

    let session = components_that_do_not_trace_are_seen_into(&lab);
    calls::all_name_their_pods_and_owners(&lab);
    fifty_starts_are_told_as_the_kubelet_has_them(&lab);
    killed::an_agent_leaves_nothing_and_the_next_one_goes_on(&lab);
    session.interrupt();
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

/// All at once: none waits for another. `INNERSPAN_GOLDEN=write` writes the outlines anew.
fn every_case_is_told_by_its_trace(lab: &Lab) {
    let below = |folder: &str| Path::new(lab.checkout).join("tests").join(folder);
    let cases: Vec<String> = fs::read_dir(below("lab/cases"))
        .unwrap()
        .map(|case| case.unwrap().path())
        .map(|case| case.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let outlines: Vec<String> = thread::scope(|scope| {
        let told: Vec<_> = cases
            .iter()
            .map(|case| scope.spawn(|| lab.said(&["case", case, "--outline"])))
            .collect();
        told.into_iter().map(|outline| outline.join().unwrap()).collect()
    });
    for (case, outline) in cases.iter().zip(outlines) {
        let golden = below("data/golden/cases").join(case).with_extension("txt");
        if env::var_os("INNERSPAN_GOLDEN").is_some_and(|verb| verb == "write") {
            fs::write(&golden, &outline).unwrap();
        }
        let kept = fs::read_to_string(&golden).unwrap();
        assert_eq!(outline, kept, "{case}:\n{}", lab.drawn(case, &["--calls"]));
    }
}

/// The pod is that of the case `hooks`.
fn a_stop_tells_of_its_hook(lab: &Lab) {
    lab.told(&["kubectl", "delete", "pod", "hooks"]);
    until("the trace of the stop of hooks", Duration::from_secs(30), || {
        let drawn = lab.drawn("hooks", &["--story=stop"]);
        (drawn.contains("preStop") && drawn.contains("removed after")).then_some(())
    });
}

/// Fifty pods of a Deployment at once: every trace is whole, and its totals are the kubelet's.
fn fifty_starts_are_told_as_the_kubelet_has_them(lab: &Lab) {
    let told: Value = serde_json::from_str(&lab.said(&["starts", "--json"])).unwrap();
    let starts = told["starts"].as_array().unwrap();
    assert_eq!(starts.len(), 50);
    let number = |value: &Value| value.as_f64().unwrap();
    // Both hear of the pod's last state by a watch of their own, on a busy machine not at the same time.
    for total in ["end_to_end", "sli"] {
        let differs = |start: &&Value| start[total]["verdict"] == "Differs";
        let differing: Vec<_> = starts.iter().filter(differs).collect();
        assert!(differing.len() <= 5, "{total}: {differing:?}");
    }
    let sum = |of: fn(&Value) -> &Value| -> f64 { starts.iter().map(|start| number(of(start))).sum() };
    let kubelet = sum(|start| &start["sli"]["kubelet"]);
    let traced = sum(|start| &start["sli"]["trace"]);
    let lag = sum(|start| &start["lag"]);
    let tolerated = 0.02 * (kubelet - lag);
    assert!(
        (kubelet - lag - tolerated..kubelet + tolerated).contains(&traced),
        "{kubelet} {lag} {traced}"
    );
    let faulty: Vec<_> = starts
        .iter()
        .filter(|start| start["faults"] != json!([]))
        .collect();
    assert!(faulty.is_empty(), "{faulty:?}");
    let waited = |start: &&Value| number(&start["sli"]["trace"]) < number(&start["end_to_end"]["trace"]);
    assert!(
        starts.iter().any(|start| waited(&start)),
        "no pod waited for its image"
    );
    // What was compared is what the kubelet's metric says.
    let (metric, logged) = (&told["metric"], &told["logged"]);
    assert_eq!(metric["count"], logged["count"]);
    assert!(
        (number(&metric["sum"]) - number(&logged["sum"])).abs() < 0.001,
        "{metric} {logged}"
    );
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

/// `lab --once` succeeds only if the traces are whole, also in Jaeger, and no span was dropped. With a worker the pod
/// starts there, and two agents tell its start, each what happened on its node.
fn traces_of_a_pod_that_starts_are_shown(lab: &Lab) {
    let said = lab.said(&["--once", "--workers=1"]);
    assert!(said.contains("apiserver > etcd: trace"), "{said}");
    assert!(said.contains("kubelet > containerd: trace"), "{said}");
    assert!(said.contains("pod start of default/demo"), "{said}");
}

/// All six components with their own tracing off: the demonstration succeeds only if each client's call of the pod's
/// start has the call that served it as its child.
fn components_that_do_not_trace_are_seen_into(lab: &Lab) -> Session {
    let session = Session::start(lab, &["--native", "off"]);
    let said = session.said();
    for (span, service) in [
        ("reconcile", "kube-controller-manager"),
        ("create", "apiserver"),
        ("etcd txn", "etcd"),
        ("scheduling cycle", "kube-scheduler"),
        ("sync", "kubelet"),
        ("sandbox", "kubelet"),
        ("RunPodSandbox", "containerd"),
    ] {
        let is_shown = said
            .lines()
            .any(|line| line.contains(span) && line.contains(service));
        assert!(is_shown, "{span} of {service}: {said}");
    }
    session
}
