//! Where every span is: sent, received, exported, arrived; and that none of them is lost.

use std::time::Duration;

use super::cluster::{Account, Lab, OWN, until};

const COMPONENTS: [&str; 4] = ["containerd", "etcd", "kube-apiserver", "kubelet"];

pub(super) fn spans_of_all_components_arrive_and_name_their_node(lab: &Lab) {
    let account = lab.settled();
    for component in COMPONENTS {
        let line = &account.components[component];
        assert!(line.arrived > 0, "{component}: {line:?}");
        assert_eq!(line.nameless, 0, "{component}: {line:?}");
    }
}

/// The account once the collector has all that was sent.
fn all_arrived(lab: &Lab) -> Account {
    lab.settled_with("all that was sent, at the collector", |account| {
        let mut lines = account.components.values();
        lines.all(|line| line.sent == Some(line.arrived))
    })
}

pub(super) fn what_was_sent_was_received_and_exported(lab: &Lab) {
    for (component, line) in all_arrived(lab).components {
        assert_eq!(line.sent, Some(line.received), "{component}: {line:?}");
        assert_eq!(line.received, line.exported, "{component}: {line:?}");
        assert_eq!(line.dropped, 0, "{component}: {line:?}");
    }
}

/// The agent makes spans all the time, so there is no instant at which nothing is under way; but often one at which
/// all of them have arrived.
pub(super) fn what_the_agent_saw_itself_arrives(lab: &Lab) {
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

pub(super) fn a_collector_that_was_away_gets_everything(lab: &Lab) {
    lab.away(Duration::from_secs(20));
    for (component, line) in all_arrived(lab).components {
        assert_eq!(line.received, line.exported, "{component}: {line:?}");
        assert_eq!(line.dropped, 0, "{component}: {line:?}");
    }
}

/// Past its bound the agent asks the components to wait. What it took over arrives all the same; a component
/// that is refused for longer than its own ten seconds gives up, so what was sent says nothing here.
pub(super) fn a_full_queue_refuses_and_loses_nothing(lab: &Lab) {
    let endpoint = "config.export.endpoints[0]";
    lab.told(&[
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
    ]);
    lab.rolled_out("innerspan", "daemonset/innerspan");
    let begin = lab.settled();
    lab.away(Duration::from_secs(40));
    let end = lab.settled_with("all that was taken, at the collector", |end| {
        end.components.iter().all(|(component, line)| {
            let begin = &begin.components[component];
            line.received - begin.received == line.arrived - begin.arrived
        })
    });
    assert!(end.refused > 0, "the queue was never full: {end:?}");
    for (component, line) in end.components {
        assert_eq!(line.dropped, 0, "{component}: {line:?}");
    }
    lab.told(&["helm", "rollback", "innerspan", "--namespace=innerspan"]);
    lab.rolled_out("innerspan", "daemonset/innerspan");
}
