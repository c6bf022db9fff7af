//! One stem per probe: its program, its record and its test have the same name.
//!
//! The agent's decoder is not asked for: below sixty lines it is an arm of `ingest/probe`.

use std::path::Path;

use super::{Fault, PROBE_PLACES, PROBE_SHARED};

pub(super) fn faults(paths: &[&Path]) -> Vec<Fault> {
    let [programs, others @ ..] = PROBE_PLACES;
    let mut faults = Vec::new();
    for program in paths
        .iter()
        .filter(|path| path.parent() == Some(Path::new(programs)))
    {
        let Some(name) = program.file_name() else { continue };
        if PROBE_SHARED.iter().any(|shared| *shared == name) {
            continue;
        }
        for place in others {
            let expected = Path::new(place).join(name);
            if !paths.contains(&expected.as_path()) {
                let says = format!("the probe has no {}: one stem in every place", expected.display());
                faults.push(Fault::new(program, 1, says));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], expected: &[&str]) {
        let says: Vec<String> = faults(&paths.iter().map(Path::new).collect::<Vec<_>>())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(says, expected);
    }

    #[test]
    fn a_program_has_a_record_and_a_test_of_its_name() {
        check(
            &[
                "ebpf/src/main.rs",
                "ebpf/src/exec.rs",
                "ebpf/abi/src/exec.rs",
                "tests/suites/kernel/exec.rs",
            ],
            &[],
        );
    }

    #[test]
    fn a_program_whose_test_has_another_name_is_a_fault() {
        check(
            &[
                "ebpf/src/exec.rs",
                "ebpf/abi/src/exec.rs",
                "tests/suites/kernel/execute.rs",
            ],
            &["ebpf/src/exec.rs:1: the probe has no tests/suites/kernel/exec.rs: one stem in every place"],
        );
    }
}
