//! `innerspan check`: all faults at once, and no word more than is true.

use std::{fs, process::Output};

use tempfile::TempDir;
use tests::agent::run;

const EX_USAGE: i32 = 64;

fn check(config: &str) -> Output {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("config.yaml");
    fs::write(&file, config).unwrap();
    run(&["check", file.to_str().unwrap()])
}

#[test]
fn all_faults_are_named_at_once_with_their_lines() {
    let config = "\
ingest:
  otlp:
    grpc: [localhost]
export:
  endpoints:
    - endpoint: collector:4317
      timeout: soon
piepline: {}
";
    let checked = check(config);
    assert_eq!(checked.status.code(), Some(EX_USAGE));
    let said = String::from_utf8(checked.stderr).unwrap();
    for place in [
        ":3: ingest.otlp.grpc[0]",
        ":6: export.endpoints[0].endpoint",
        ":7: export.endpoints[0].timeout",
    ] {
        assert!(said.contains(place), "{place} is not in\n{said}");
    }
    assert!(said.contains("did you mean `pipeline`?"), "{said}");
}

#[test]
fn a_sound_configuration_is_said_to_be_one() {
    let checked = check(
        "export: {endpoints: [{name: tempo, endpoint: 'http://tempo:4317'}]}\nidentify: {cluster: {enabled: false}}\n",
    );
    assert_eq!(checked.status.code(), Some(0));
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(
        said.contains("export traces to tempo: http://tempo:4317"),
        "{said}"
    );
}
