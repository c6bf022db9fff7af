//! The catalogue of Go functions: the embedded files, and what the user adds to them.

use super::{
    super::{
        document::{self, Path, Step},
        fault::Fault,
        raw, read,
    },
    Check,
};
use crate::ingest::probe::{
    self,
    go::catalogue::{self, Service},
};

impl Check<'_> {
    /// The user's services, joined with the embedded ones of the same name.
    pub(super) fn probe(&mut self, raw: &raw::Probe) -> probe::Config {
        let mut services = embedded(self.faults);
        let path = Path::of("ingest.probe.services");
        for (index, written) in raw.services.iter().enumerate() {
            let path = path.index(index);
            let mut faults = Vec::new();
            let service = Service::check(written, &mut faults);
            for fault in faults {
                self.fault(&below(&path, &fault.setting), fault.reason);
            }
            match services.iter_mut().find(|known| known.name == service.name) {
                Some(known) => {
                    known.holds.extend(service.holds);
                    known.functions.extend(service.functions);
                }
                None if service.holds.is_empty() => self.fault(
                    &path.key("holds"),
                    "is missing: name a Go function that only this component holds",
                ),
                None => services.push(service),
            }
        }
        probe::Config {
            enabled: raw.enabled,
            services,
        }
    }
}

/// What every agent knows. It has no faults: a test reads it as it is read here.
pub(in super::super) fn embedded(faults: &mut Vec<Fault>) -> Vec<Service> {
    let mut services = Vec::new();
    for text in catalogue::EMBEDDED {
        let Some(mut document) = document::parse(text, faults) else {
            continue;
        };
        let written: catalogue::raw::Service = read::read(&mut document, faults);
        let mut below = Vec::new();
        services.push(Service::check(&written, &mut below));
        faults.extend(below.into_iter().map(|fault| Fault {
            origin: document.origin.clone(),
            path: fault.setting.join("."),
            reason: fault.reason,
        }));
    }
    services
}

/// The place of a setting below a service.
fn below(path: &Path, setting: &[String]) -> Path {
    let steps = setting.iter().map(|step| match step.parse() {
        Ok(index) => Step::Index(index),
        Err(_) => Step::Key(step.clone()),
    });
    Path(path.0.iter().cloned().chain(steps).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration with one service, read and checked; the faults as `path: reason`.
    fn check(service: &str, expected: &[&str]) -> probe::Config {
        let text = format!("ingest: {{probe: {{services: [{service}]}}}}");
        let mut faults = Vec::new();
        let mut document = document::parse(&text, &mut faults).unwrap();
        let raw: raw::Config = read::read(&mut document, &mut faults);
        let config = Check {
            document: &document,
            faults: &mut faults,
        }
        .probe(&raw.ingest.probe);
        let found: Vec<String> = faults
            .iter()
            .map(|fault| format!("{}: {}", fault.path, fault.reason))
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found} has not {expected}");
        }
        config
    }

    #[test]
    fn the_embedded_catalogue_has_no_faults_and_every_component() {
        let mut faults = Vec::new();
        let services = embedded(&mut faults);
        assert_eq!(faults, []);
        let names: Vec<&str> = services.iter().map(|service| &*service.name).collect();
        let expected = [
            "kubelet",
            "containerd",
            "crio",
            "apiserver",
            "etcd",
            "kube-scheduler",
            "kube-controller-manager",
        ];
        assert_eq!(names, expected);
        for service in services {
            assert!(!service.holds.is_empty(), "{}", service.name);
        }
    }

    #[test]
    fn a_client_of_the_catalogue_has_the_procedure_of_a_server() {
        let services = embedded(&mut Vec::new());
        let rpcs = |name: &str| -> Vec<String> {
            let service = services.iter().find(|service| &*service.name == name).unwrap();
            let rpcs = service
                .functions
                .iter()
                .filter_map(|function| function.operation.rpc.as_ref());
            rpcs.map(ToString::to_string).collect()
        };
        for (client, server) in [
            ("kubelet", "containerd"),
            ("kubelet", "crio"),
            ("apiserver", "etcd"),
        ] {
            let served = rpcs(server);
            for rpc in rpcs(client) {
                assert!(served.contains(&rpc), "{server} serves {rpc}");
            }
        }
    }

    #[test]
    fn an_entry_of_a_known_component_adds_to_it() {
        let before = check("", &[]).services;
        let after = check(
            "{service: kubelet, functions: [{function: a/b.f, span: f, params: 'key string', capture: {x.key: key}}]}",
            &[],
        );
        assert_eq!(after.services.len(), before.len());
        assert_eq!(after.services[0].functions.len(), before[0].functions.len() + 1);
    }

    #[test]
    fn a_word_stands_for_its_place_in_every_setting() {
        let config = check(
            "{service: mine, holds: [a.b], functions: [{function: 'a/b.(*T).{}', for: [Run, Stop], span: 'mine.{}', \
             kind: client, rpc: 'm.M/{}', params: 'in *a/b.{}Request', capture: {x.id: in.Id}}]}",
            &[],
        );
        let mine = config.services.last().unwrap();
        let shown: Vec<(&str, &str, &str)> = mine
            .functions
            .iter()
            .map(|function| {
                let operation = &function.operation;
                let rpc = operation.rpc.as_deref().unwrap_or_default();
                (&*function.variants[0].symbol, &*operation.span, rpc)
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("a/b.(*T).Run", "mine.Run", "m.M/Run"),
                ("a/b.(*T).Stop", "mine.Stop", "m.M/Stop")
            ]
        );
    }

    #[test]
    fn every_fault_of_an_entry_is_said_with_its_place() {
        check(
            "{service: mine, functions: [{function: 'no symbol', span: '', kind: internal, rpc: x, hot: {slow_ms: 0}, \
             params: 'pod v1.Pod', results: 'err', capture: {k: pod..x, l: other.Name, a/b/c: pod.Name}}]}",
            &[
                "functions[0].span: is missing",
                "functions[0].hot.slow_ms: must be more than 0",
                "functions[0].rpc: is `service/method`",
                "functions[0].function: is not a Go symbol",
                "functions[0].params: `v1.Pod` is not a type",
                "functions[0].results: `err` is not `name type`",
                "functions[0].capture.a/b/c: `pod` is neither a parameter nor a result",
                "functions[0].capture.k: `` is no field",
                "functions[0].capture.l: `other` is neither a parameter nor a result",
                "holds: is missing",
            ],
        );
    }

    #[test]
    fn what_the_programs_have_no_room_for_is_a_fault() {
        check(
            "{service: kubelet, functions: [{function: a/b.f, span: f, params: 'p *T', \
             capture: {a: p.A, b: p.B, c: p.C, d: p.D, e: p.E}}]}",
            &["functions[0].capture: holds more than 4 values of parameters"],
        );
        check(
            "{service: kubelet, functions: [{function: a/b.f, span: f, hot: {slow_ms: 1, prefix: \
             /a/very/long/prefix/of/keys}}]}",
            &["functions[0].hot.prefix: is longer than 24 bytes"],
        );
    }
}
