//! `cargo xtask lab case`: a pod that does not simply start, for real.
//!
//! In: the name of a manifest in `tests/lab/cases`, whose comment says what the pod's trace must name. Out:
//! the pod's UID, once the pod has got as far as it does, or the outline of its trace.

use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{cluster, jaeger, node::Node, outline, patience, world};

/// How a pod gets where it is awaited.
#[derive(Debug)]
struct Case {
    /// Of the manifest, and of the pod.
    name: &'static str,
    steps: &'static [Step],
}

#[derive(Debug)]
enum Step {
    /// What the pod comes to be, in the words of `kubectl wait --for`.
    Await(&'static str),
    /// An event about the pod, by its reason.
    Event(&'static str),
    /// What somebody does then.
    Kubectl(&'static [&'static str]),
}

use Step::{Await, Event, Kubectl};

const READY: Step = Await("condition=Ready");

static CASES: [Case; 11] = [
    Case {
        name: "image-back-off",
        steps: &[Await(
            "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff",
        )],
    },
    Case {
        name: "unschedulable",
        steps: &[
            Await("jsonpath={.status.conditions[?(@.type==\"PodScheduled\")].reason}=Unschedulable"),
            Kubectl(&["label", "node", "--all", "lab/case=unschedulable"]),
            READY,
            Kubectl(&["label", "node", "--all", "lab/case-"]),
        ],
    },
    Case {
        name: "crash-loop",
        // The first restart follows at once, the second after a wait.
        steps: &[Await("jsonpath={.status.containerStatuses[0].restartCount}=2")],
    },
    Case {
        name: "sandbox-failure",
        steps: &[Event("FailedCreatePodSandBox")],
    },
    Case {
        name: "volume-wait",
        steps: &[
            Event("FailedMount"),
            Kubectl(&[
                "create",
                "secret",
                "generic",
                "volume-wait",
                "--from-literal=key=value",
            ]),
            READY,
        ],
    },
    Case {
        name: "init-containers",
        steps: &[READY],
    },
    Case {
        name: "sidecar",
        steps: &[READY],
    },
    Case {
        name: "hooks",
        steps: &[READY],
    },
    Case {
        name: "several-containers",
        steps: &[READY],
    },
    Case {
        name: "slow-readiness",
        steps: &[READY],
    },
    Case {
        name: "deleted",
        steps: &[
            Await("jsonpath={.status.initContainerStatuses[0].started}=true"),
            Kubectl(&["delete", "pod", "deleted", "--wait=false"]),
            Await("delete"),
        ],
    },
];

/// The names of all cases.
pub(crate) fn names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).collect()
}

fn find(name: &str) -> anyhow::Result<&'static Case> {
    let mut cases = CASES.iter();
    cases
        .find(|case| case.name == name)
        .with_context(|| format!("no case is called {name}"))
}

/// Starts the pod of a case, and returns its UID once it is what the case makes of it.
pub(crate) fn run(node: &Node, name: &str) -> anyhow::Result<String> {
    let case = find(name)?;
    let values = [
        ("REGISTRY", world::REGISTRY.to_owned()),
        ("IMAGE", format!("{}/demo:1", world::REGISTRY)),
    ];
    // An earlier one of this name would be taken for it.
    for kind in ["pod", "secret"] {
        let words = ["kubectl", "delete", kind, name, "--ignore-not-found"];
        node.space.run(&words)?;
    }
    cluster::apply(node, &format!("cases/{name}.yaml"), &values)?;
    let words = ["kubectl", "get", "pod", name, "--output=jsonpath={.metadata.uid}"];
    let uid = node.space.run(&words)?;
    case.steps
        .iter()
        .try_for_each(|step| take(node, name, &uid, step))
        .with_context(|| format!("case {name}"))?;
    Ok(uid)
}

/// The outline of the trace of the pod's start, which is written once the start is over: one that fails goes on.
pub(crate) fn outline(node: &Node, name: &str, uid: &str) -> anyhow::Result<String> {
    // The agent waits twelve seconds for what components report late.
    const PATIENCE: Duration = Duration::from_mins(1);
    let starts = find(name)?
        .steps
        .iter()
        .any(|step| matches!(step, Await("condition=Ready")));
    if !starts {
        let words = [
            "kubectl",
            "delete",
            "pod",
            name,
            "--wait=false",
            "--ignore-not-found",
        ];
        node.space.run(&words)?;
    }
    patience::until(&format!("the trace of {name}"), PATIENCE, || {
        let trace = jaeger::trace(node, &uid.replace('-', ""))?;
        outline::of(&trace).context("it has no root yet")
    })
}

fn take(node: &Node, pod: &str, uid: &str, step: &Step) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_mins(1);
    match step {
        Await(state) => {
            let state = format!("--for={state}");
            let words = ["kubectl", "wait", &state, "pod", pod, "--timeout=60s"];
            node.space.run_within(&words, PATIENCE + Duration::from_secs(5))?;
        }
        Event(reason) => {
            let selector = format!("--field-selector=involvedObject.uid={uid},reason={reason}");
            let words = ["kubectl", "get", "events", &selector, "--output=name"];
            patience::until(&format!("an event {reason}"), PATIENCE, || {
                match node.space.run(&words)?.trim() {
                    "" => bail!("there is none"),
                    _ => Ok(()),
                }
            })?;
        }
        Kubectl(words) => {
            let words: Vec<_> = std::iter::once("kubectl").chain(words.iter().copied()).collect();
            node.space.run(&words)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::names;
    use crate::place;

    #[test]
    fn every_manifest_is_a_case_and_every_case_has_one() {
        let manifests = fs::read_dir(place::root().join("tests/lab/cases")).unwrap();
        let mut manifests: Vec<_> = manifests
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_owned())
            .collect();
        let mut names = names();
        manifests.sort();
        names.sort_unstable();
        assert_eq!(manifests, names);
    }
}
