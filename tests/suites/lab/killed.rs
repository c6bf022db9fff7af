//! An agent that is killed at work: its probes go with it, components do not notice, and the next one goes on.

use std::{collections::BTreeSet, thread, time::Duration};

use aya::{
    maps::loaded_maps,
    programs::{loaded_links, loaded_programs},
};

use super::{
    calls::DEPLOYMENTS,
    cluster::{Lab, until},
};

/// The case of a pod that takes its time to be ready.
const SLOW: &str = "slow-readiness";

/// From the start of an agent until there are spans again.
const RESUMED: u64 = 10_000_000_000;

/// Components by the name of their process, as the kernel cuts it, and the service of their spans.
const COMPONENTS: [(&str, &str); 6] = [
    ("containerd", "containerd"),
    ("etcd", "etcd"),
    ("kube-apiserver", "apiserver"),
    ("kube-controller", "kube-controller-manager"),
    ("kube-scheduler", "kube-scheduler"),
    ("kubelet", "kubelet"),
];

/// Something in the kernel: what kind, and its number, which is never given again.
type Object = (&'static str, u32);

pub(super) fn an_agent_leaves_nothing_and_the_next_one_goes_on(lab: &Lab) {
    let agent = process(lab, "innerspan");
    let objects = held(lab, &agent);
    assert!(!objects.is_empty());
    let components = COMPONENTS.map(|(program, _)| process(lab, program));
    load(lab);
    let killed = in_the_middle_of_a_start(lab, || {
        lab.told(&["kill", "-KILL", &agent]);
        now(lab)
    });
    until(
        "the end of its programs and maps",
        Duration::from_secs(10),
        || objects.is_disjoint(&loaded()).then_some(()),
    );
    let started = until("the next agent", Duration::from_secs(30), || started_again(lab));
    let firsts = until("spans of all components", Duration::from_secs(40), || {
        let spans = lab.own_spans();
        let first = |(_, service): (_, &'static str)| {
            let begun = spans
                .iter()
                .filter(|span| span.service == service && span.begin > killed);
            Some((service, begun.map(|span| span.begin).min()?))
        };
        COMPONENTS.into_iter().map(first).collect::<Option<Vec<_>>>()
    });
    for (service, first) in firsts {
        let after = first.saturating_sub(started);
        assert!(after <= RESUMED, "{service}: {after} ns after the start");
    }
    assert_eq!(COMPONENTS.map(|(program, _)| process(lab, program)), components);
    assert_eq!(lab.told(&["kubectl", "get", "--raw=/readyz"]), "ok");
    a_start_whose_beginning_it_missed_says_so(lab);
}

/// It takes ten seconds from its container's start until the pod is ready; ends once it is.
fn in_the_middle_of_a_start<T>(lab: &Lab, work: impl FnOnce() -> T) -> T {
    let is_there = || lab.exec(&["kubectl", "get", "pod", SLOW]).status.success();
    thread::scope(|scope| {
        let start = scope.spawn(|| lab.said(&["case", SLOW]));
        until("the slow pod", Duration::from_secs(30), || {
            is_there().then_some(())
        });
        let outcome = work();
        start.join().unwrap();
        outcome
    })
}

fn a_start_whose_beginning_it_missed_says_so(lab: &Lab) {
    until("the trace of the slow pod", Duration::from_mins(1), || {
        let drawn = lab.drawn(SLOW, &[]);
        let says = |what: &str| drawn.contains(what);
        (says("ready after") && says("incomplete: the agent came in the middle of it")).then_some(())
    });
}

/// New pods in place of a hundred.
fn load(lab: &Lab) {
    for name in DEPLOYMENTS {
        lab.told(&["kubectl", "rollout", "restart", &format!("deployment/{name}")]);
    }
}

/// The only process of this name on the node.
fn process(lab: &Lab, name: &str) -> String {
    lab.told(&["pgrep", "--exact", name]).trim().to_owned()
}

/// What a process has open in the kernel.
fn held(lab: &Lab, pid: &str) -> BTreeSet<Object> {
    let open = lab.told(&["sh", "-c", &format!("cat /proc/{pid}/fdinfo/*")]);
    let object = |line: &str| {
        let (kind, id) = line.split_once(":\t")?;
        let kind = ["link_id", "map_id", "prog_id"]
            .into_iter()
            .find(|known| *known == kind)?;
        Some((kind, id.parse().unwrap()))
    };
    open.lines().filter_map(object).collect()
}

/// All that the kernel has, whoever holds it.
fn loaded() -> BTreeSet<Object> {
    let links = loaded_links().map(|link| ("link_id", link.unwrap().id()));
    let maps = loaded_maps().map(|map| ("map_id", map.unwrap().id()));
    let programs = loaded_programs().map(|program| ("prog_id", program.unwrap().id()));
    links.chain(maps).chain(programs).collect()
}

/// When the agent's container was started for the second time, in nanoseconds; cut to seconds, so rather too early.
fn started_again(lab: &Lab) -> Option<u64> {
    let pods = lab.objects(&["pods", "--namespace=innerspan"]);
    let container = &pods[0]["status"]["containerStatuses"][0];
    let started = container["state"]["running"]["startedAt"].as_str()?;
    (container["restartCount"] == 1)
        .then(|| seconds(&lab.told(&["date", "--date", started, "+%s"])) * 1_000_000_000)
}

/// The node's wall clock in nanoseconds.
fn now(lab: &Lab) -> u64 {
    seconds(&lab.told(&["date", "+%s%N"]))
}

fn seconds(said: &str) -> u64 {
    said.trim().parse().unwrap()
}
