//! Nanoseconds of a named clock, so that no signature says `u64` and means a time.

use std::{fmt, marker::PhantomData, time::Duration};

/// The kernel's clock since boot, suspend included (`CLOCK_BOOTTIME`): what eBPF programs read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot;

/// Unix time (`CLOCK_REALTIME`): what leaves the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall;

/// An instant of one clock, in nanoseconds since that clock's zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos<Clock> {
    count: u64,
    clock: PhantomData<Clock>,
}

impl<Clock> Nanos<Clock> {
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self {
            count,
            clock: PhantomData,
        }
    }

    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// From `earlier` to this, or zero if this is the earlier one.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Duration {
        Duration::from_nanos(self.count.saturating_sub(earlier.count))
    }
}

/// How long at least one of several things was under way, each from its first instant to its second; what ends before it
/// begins was none.
#[must_use]
pub fn covered<Clock: Copy + Ord + Default>(mut times: Vec<(Nanos<Clock>, Nanos<Clock>)>) -> Duration {
    times.sort_unstable();
    let (mut sum, mut until) = (Duration::ZERO, Nanos::default());
    for (start, end) in times {
        sum += end.since(&start.max(until));
        until = until.max(end);
    }
    sum
}

impl<Clock> fmt::Debug for Nanos<Clock> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.count)
    }
}
