//! The probe `process_exec` against programs that really start.

use std::{
    env,
    process::{Command, Output},
};

use innerspan::ingest::probe::{CAPABILITIES, Probe, State};

const STARTED: u64 = 100;

#[test]
fn every_started_program_is_counted() {
    let probe = Probe::load();
    let [(_, state), _] = probe.states();
    if let State::Disabled { reason } = state {
        panic!("the probe is disabled: {reason}");
    }
    let before = probe.process_execs().unwrap();
    for _ in 0..STARTED {
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
    let counted = probe.process_execs().unwrap() - before;
    // The rest of the machine starts programs too.
    assert!(
        counted >= STARTED,
        "{STARTED} programs started, {counted} counted"
    );
}

#[test]
fn the_named_capabilities_are_enough() {
    let named: Vec<String> = CAPABILITIES
        .iter()
        .map(|name| format!("+{}", name.to_lowercase()))
        .collect();
    let counting = count_with(&format!("-all,{}", named.join(",")));
    assert!(counting.status.success(), "{}", said(&counting));
}

#[test]
fn without_capabilities_the_probe_says_what_it_lacks() {
    let said = said(&count_with("-all"));
    assert!(
        said.contains("the probe is disabled: cannot create the maps; the agent needs the capabilities"),
        "{said}"
    );
}

/// The first test once more, in a process that has these capabilities only.
fn count_with(capabilities: &str) -> Output {
    Command::new("setpriv")
        .args([
            "--no-new-privs",
            "--bounding-set",
            capabilities,
            "--inh-caps",
            capabilities,
        ])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "process_exec::every_started_program_is_counted"])
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
