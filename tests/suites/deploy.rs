//! What `deploy/chart` asks of a cluster is what the agent needs, no more and no less.
//!
//! In: the chart as Helm renders it, kept as golden files, because plain `cargo test` has no Helm:
//! `helm template innerspan deploy/chart --namespace innerspan --values tests/data/chart/NAME.yaml` makes
//! `tests/data/golden/chart/NAME.yaml`. Whoever changes the chart makes them again; the lab suite, which has
//! Helm, compares them with the chart.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a manifest that lacks what is asked for is a failed test"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use innerspan::{
    config::{self, Config, Environment},
    identify::cluster,
    ingest::probe,
};
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{ConfigMap, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn every_field_is_one_that_kubernetes_knows() {
    for rendering in renderings() {
        survives::<ServiceAccount>(rendering.only("ServiceAccount"));
        survives::<ClusterRole>(rendering.only("ClusterRole"));
        survives::<ClusterRoleBinding>(rendering.only("ClusterRoleBinding"));
        survives::<ConfigMap>(rendering.only("ConfigMap"));
        survives::<DaemonSet>(rendering.only("DaemonSet"));
    }
}

/// A field that its type does not have is lost on the way there and back.
fn survives<T: Serialize + DeserializeOwned>(object: &Value) {
    let typed: T = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(&serde_json::to_value(typed).unwrap(), object);
}

#[test]
fn the_agent_takes_its_configuration_and_knows_its_node() {
    for rendering in renderings() {
        assert_eq!(
            rendering.config().identify.cluster.node_name.as_deref(),
            Some("node1")
        );
    }
}

#[test]
fn the_role_allows_what_the_agent_asks_for_and_nothing_else() {
    for rendering in renderings() {
        let rules = rendering.only("ClusterRole")["rules"].as_array().unwrap();
        let words_of =
            |rule: &'_ Value| ["apiGroups", "resources", "verbs"].map(|part| words(&rule[part]).join(" "));
        let asked = cluster::RULES.iter().map(|rule| {
            [
                rule.group.to_owned(),
                rule.resource.to_owned(),
                rule.verbs.join(" "),
            ]
        });
        assert_eq!(
            rules.iter().map(words_of).collect::<Vec<_>>(),
            asked.collect::<Vec<_>>()
        );
    }
}

#[test]
fn the_container_has_the_capabilities_that_probes_need_and_no_other_privilege() {
    for rendering in renderings() {
        let security = &rendering.container()["securityContext"];
        assert_eq!(words(&security["capabilities"]["drop"]), ["ALL"]);
        let mut added = words(&security["capabilities"]["add"]);
        let is_for_older_kernels = added.last() == Some(&probe::OLDER_KERNELS_CAPABILITY);
        assert_eq!(is_for_older_kernels, rendering.name == "full");
        if is_for_older_kernels {
            added.pop();
        }
        assert_eq!(added, probe::CAPABILITIES);
        assert_eq!(security["privileged"], Value::Null);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        // Capabilities of any other user are gone when the program starts.
        assert_eq!(security["runAsUser"], 0);
    }
}

#[test]
fn what_the_agent_reads_is_mounted_and_every_mount_is_read() {
    for rendering in renderings() {
        let container = rendering.container();
        let volumes = rendering.pod()["volumes"].as_array().unwrap();
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mut unread: BTreeSet<&str> = mounts
            .iter()
            .map(|mount| mount["mountPath"].as_str().unwrap())
            .collect();
        assert!(
            mounts
                .iter()
                .all(|mount| volumes.iter().any(|volume| volume["name"] == mount["name"]))
        );
        let mounted = unread.clone();
        for path in rendering.paths() {
            let place = mounted.iter().find(|place| path.starts_with(place));
            let place =
                place.unwrap_or_else(|| panic!("{}: {} is not mounted", rendering.name, path.display()));
            unread.remove(place);
        }
        assert_eq!(
            unread,
            BTreeSet::new(),
            "{}: nothing is read there",
            rendering.name
        );
    }
}

#[test]
fn probes_and_prometheus_ask_where_the_agent_answers() {
    for rendering in renderings() {
        let admin = rendering.config().admin;
        assert!(
            admin.address.ip().is_unspecified(),
            "the kubelet does not ask on the loopback"
        );
        let container = rendering.container();
        let ports = container["ports"].as_array().unwrap();
        assert_eq!(ports.len(), 1);
        assert_eq!(ports[0]["name"], "admin");
        assert_eq!(ports[0]["containerPort"], admin.address.port());
        let scheme = if admin.tls.is_some() { "HTTPS" } else { "HTTP" };
        for (probe, path) in [
            ("startupProbe", "/startupz"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ] {
            let get = &container[probe]["httpGet"];
            assert_eq!(
                (&get["path"], &get["port"], &get["scheme"]),
                (&path.into(), &"admin".into(), &scheme.into())
            );
        }
        let annotations = &rendering.only("DaemonSet")["spec"]["template"]["metadata"]["annotations"];
        if let Some(port) = annotations["prometheus.io/port"].as_str() {
            assert_eq!(port, admin.address.port().to_string());
            assert_eq!(annotations["prometheus.io/scheme"], scheme.to_lowercase());
        }
    }
}

#[test]
fn the_kubelet_waits_longer_than_the_agent_drains() {
    for rendering in renderings() {
        let period = rendering.pod()["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(period > rendering.config().pipeline.shutdown_grace.as_secs());
    }
}

#[test]
fn the_environment_names_the_node_and_holds_no_secret_in_the_open() {
    for rendering in renderings() {
        let variables = rendering.container()["env"].as_array().unwrap();
        let node = variables
            .iter()
            .find(|variable| variable["name"] == "NODE_NAME")
            .unwrap();
        assert_eq!(node["valueFrom"]["fieldRef"]["fieldPath"], "spec.nodeName");
        assert!(variables.iter().all(|variable| variable["value"] == Value::Null));
    }
}

#[test]
fn a_default_installation_reaches_every_node_and_its_components() {
    let [default, _] = renderings();
    let pod = default.pod();
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(pod["hostPID"], true);
    assert_eq!(pod["dnsPolicy"], "ClusterFirstWithHostNet");
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    assert_eq!(default.container()["resources"]["limits"]["cpu"], Value::Null);
}

#[test]
fn chart_and_agent_have_one_version() {
    let chart = fs::read_to_string(Path::new(ROOT).join("deploy/chart/Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&chart).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_section_of_the_configuration_may_be_set_through_the_chart() {
    let schema = fs::read_to_string(Path::new(ROOT).join("deploy/chart/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let taken: BTreeSet<&str> = schema["properties"]["config"]["properties"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let reference = config::reference();
    let sections: BTreeSet<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## `")?.split(['.', '`']).next())
        .collect();
    assert_eq!(taken, sections);
}

/// One rendering of the chart.
struct Rendering {
    name: &'static str,
    objects: Vec<Value>,
}

/// The smallest installation, and one with every value away from its default.
fn renderings() -> [Rendering; 2] {
    ["default", "full"].map(Rendering::read)
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect()
}

// === impl Rendering ===

impl Rendering {
    fn read(name: &'static str) -> Self {
        let file = Path::new(ROOT).join(format!("tests/data/golden/chart/{name}.yaml"));
        let text = fs::read_to_string(file).unwrap();
        let objects = serde_saphyr::from_multiple(&text).unwrap();
        Self { name, objects }
    }

    /// The only object of a kind.
    fn only(&self, kind: &str) -> &Value {
        let mut of_kind = self.objects.iter().filter(|object| object["kind"] == kind);
        let object = of_kind.next().unwrap();
        assert_eq!(of_kind.next(), None, "{}: a second {kind}", self.name);
        object
    }

    fn pod(&self) -> &Value {
        &self.only("DaemonSet")["spec"]["template"]["spec"]
    }

    fn container(&self) -> &Value {
        let containers = self.pod()["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1);
        &containers[0]
    }

    fn configuration(&self) -> &str {
        self.only("ConfigMap")["data"]["config.yaml"].as_str().unwrap()
    }

    /// The configuration as the agent takes it on a node, with the mounted secret in a directory here.
    fn config(&self) -> Config {
        const MOUNTED: &str = "/etc/innerspan-secret";
        let here = tempfile::tempdir().unwrap();
        for secret in self
            .paths()
            .iter()
            .filter_map(|path| path.strip_prefix(MOUNTED).ok())
        {
            fs::write(here.path().join(secret), "authorization: Bearer 1\n").unwrap();
        }
        let file = here.path().join("config.yaml");
        let text = self
            .configuration()
            .replace(MOUNTED, here.path().to_str().unwrap());
        fs::write(&file, text).unwrap();
        let environment: Environment = [("NODE_NAME", "node1")].into_iter().collect();
        config::load(Some(&file), &environment).unwrap_or_else(|faults| panic!("{}: {faults}", self.name))
    }

    /// Every file and socket that the agent opens: the argument of `--config`, and what it names.
    fn paths(&self) -> Vec<PathBuf> {
        let arguments = words(&self.container()["args"]);
        let ["run", "--config", config] = arguments[..] else {
            panic!("{arguments:?}")
        };
        let mut paths = vec![config.into()];
        collect_paths(&serde_saphyr::from_str(self.configuration()).unwrap(), &mut paths);
        paths
    }
}

/// Values under keys that end in `_file`, and unix sockets.
fn collect_paths(value: &Value, paths: &mut Vec<PathBuf>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                if key.ends_with("_file") {
                    paths.push(value.as_str().unwrap().into());
                } else {
                    collect_paths(value, paths);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_paths(item, paths)),
        Value::String(text) => paths.extend(text.strip_prefix("unix://").map(PathBuf::from)),
        _ => {}
    }
}
