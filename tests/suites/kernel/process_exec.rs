//! The probe `process_exec` against programs that really start.

use std::process::Command;

use innerspan::ingest::probe::{Probe, State};

const STARTED: u64 = 100;

#[test]
fn every_started_program_is_counted() {
    let probe = Probe::load();
    if let State::Disabled { reason } = probe.state() {
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
