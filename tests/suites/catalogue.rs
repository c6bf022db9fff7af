//! The catalogue of Go functions against releases of the components: built as their releases are, and not run.
//!
//! What one catalogue finds in several releases needs no table of versions. A function that a release really does not
//! have is named here.

#![expect(clippy::unwrap_used, reason = "a suite that cannot do its part fails at once")]

use std::{fs::File, path::PathBuf, process::Command};

use abi::go_call::{Capture, Source};
use innerspan::{
    config,
    ingest::probe::go::{
        binary::Binary,
        resolve::{self, Plan},
    },
};

/// Resolves the catalogue in a program and checks what is missing, by the names of the spans, and that every value
/// that is asked for has a place to be read from.
fn check(family: &str, program: &str, service: &str, missing: &[&str]) -> Plan {
    let binary = Binary::open(File::open(built(family, program)).unwrap()).unwrap();
    let services = config::embedded_catalogue().unwrap();
    let plan = resolve::resolve(&binary, &services).unwrap().unwrap();
    let names: Vec<&str> = plan.services.iter().map(|name| &**name).collect();
    assert_eq!(names, [service], "{family}");
    let mut absent: Vec<&str> = plan
        .missing
        .iter()
        .map(|missing| &*missing.operation.span)
        .collect();
    absent.sort_unstable();
    assert_eq!(absent, missing, "{family}: {:?}", plan.missing);
    for probe in &plan.probes {
        let span = &probe.operation.span;
        let has_place = |captures: &[Capture], count: usize| {
            let asked = captures.iter().take(count);
            asked.filter(|capture| capture.from != Source::NONE).count() == count
        };
        assert!(
            has_place(&probe.spec.captures, probe.entry_captures.len()),
            "{program}: {span}"
        );
        for (offset, point) in &probe.returns {
            let returned = probe.return_captures.len();
            assert!(
                has_place(&point.captures, returned),
                "{program}: {span} at {offset:#x}"
            );
        }
    }
    plan
}

fn built(family: &str, program: &str) -> PathBuf {
    let checkout = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new(env!("CARGO"))
        .current_dir(checkout)
        .args([
            "run",
            "--quiet",
            "--package",
            "xtask",
            "--",
            "lab",
            "program",
            family,
            program,
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{family}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// Where the error of a function is read when it returns.
fn error_of(plan: &Plan, span: &str) -> Source {
    let probe = plan
        .probes
        .iter()
        .find(|probe| &*probe.operation.span == span)
        .unwrap();
    probe.returns.last().unwrap().1.error
}

#[test]
fn every_function_is_found_in_the_components_of_the_lab() {
    for (family, program, service) in [
        ("kubernetes", "kubelet", "kubelet"),
        ("kubernetes", "kube-apiserver", "apiserver"),
        ("kubernetes", "kube-scheduler", "kube-scheduler"),
        ("kubernetes", "kube-controller-manager", "kube-controller-manager"),
        ("etcd", "etcd", "etcd"),
        ("containerd", "containerd", "containerd"),
    ] {
        check(family, program, service, &[]);
    }
}

#[test]
fn the_kubelet_of_1_34_differs_in_the_results_of_a_function_and_is_found_out() {
    let earlier = check("kubernetes-1.34", "kubelet", "kubelet", &[]);
    let now = check("kubernetes", "kubelet", "kubelet", &[]);
    // (bool, error) then, (bool, func(), error) now: the error is one register further on.
    assert_ne!(error_of(&earlier, "SyncPod"), error_of(&now, "SyncPod"));
}

#[test]
fn containerd_1_7_has_all_but_what_came_later() {
    check(
        "containerd-1.7",
        "containerd",
        "containerd",
        &[
            "runtime.v1.RuntimeService/RuntimeConfig",
            "runtime.v1.RuntimeService/UpdatePodSandboxResources",
            // Compiled into its caller.
            "unpack",
        ],
    );
}

/// Where a function ends in nothing that the kernel emulates, the end of each call costs a single step.
#[test]
fn what_etcd_does_for_each_call_is_seen_to_end_where_that_is_cheap() {
    let plan = check("etcd", "etcd", "etcd", &[]);
    for span in [
        "etcdserverpb.KV/Txn",
        "etcdserverpb.KV/Range",
        "etcdserverpb.KV/Put",
        "etcdserverpb.KV/DeleteRange",
        "raft.propose",
        "wal.sync",
        "apply",
    ] {
        let probe = plan.probes.iter().find(|probe| &*probe.operation.span == span);
        let cost = probe.unwrap().cost;
        assert!(cost.checked_entry && cost.early > 0, "{span}: {cost:?}");
    }
}
