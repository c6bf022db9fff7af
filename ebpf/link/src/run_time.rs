//! How often a program has run, and for how long.
//!
//! The kernel counts while `kernel.bpf_stats_enabled` is 1, which costs each run some twenty nanoseconds, and tells
//! whoever has the program's descriptor. Asking needs no capability.

use std::{
    fs,
    os::fd::{AsRawFd as _, BorrowedFd},
    time::Duration,
};

/// What the kernel has counted of a program since it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTime {
    pub runs: u64,
    pub time: Duration,
}

impl RunTime {
    /// None if nothing was counted.
    pub(crate) fn of(program: BorrowedFd<'_>) -> Option<Self> {
        let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd())).ok()?;
        Self::parse(&told)
    }

    fn parse(told: &str) -> Option<Self> {
        let value = |key| {
            let mut lines = told.lines().filter_map(|line| line.split_once(':'));
            let (_, value) = lines.find(|(name, _)| *name == key)?;
            value.trim().parse().ok()
        };
        let runs = value("run_cnt")?;
        (runs > 0).then_some(Self {
            runs,
            time: Duration::from_nanos(value("run_time_ns")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_of_a_descriptor_is_read() {
        let told = "pos:\t0\nflags:\t02000002\nprog_type:\t2\nrun_time_ns:\t13881439\nrun_cnt:\t18148\n";
        let expected = RunTime {
            runs: 18_148,
            time: Duration::from_nanos(13_881_439),
        };
        assert_eq!(RunTime::parse(told), Some(expected));
    }

    #[test]
    fn a_kernel_that_does_not_count_tells_nothing() {
        for told in ["", "run_time_ns:\t0\nrun_cnt:\t0\n", "pos:\t0\n"] {
            assert_eq!(RunTime::parse(told), None, "{told:?}");
        }
    }
}
