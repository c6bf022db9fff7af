//! Wall-clock time of what happened in boot time.
//!
//! In: readings of both clocks. Out: for any instant of the one the instant of the other. The clocks run
//! at the same rate, also while the rate is being adjusted, so that one difference serves until the wall
//! clock is set, or the next leap second: it is to be taken again every second.

use std::time::Duration;

use nix::{
    errno::Errno,
    sys::time::TimeValLike as _,
    time::{ClockId, clock_gettime},
};

use crate::model::time::{Boot, Nanos, Wall};

/// Readings that are taken at once; the one that took the shortest time counts.
const READINGS: usize = 8;

/// What the wall clock is ahead of boot time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// In nanoseconds.
    ahead: i64,
    error: Duration,
}

/// The wall clock, read between two readings of boot time.
#[derive(Debug, Clone, Copy)]
struct Reading {
    before: Nanos<Boot>,
    wall: Nanos<Wall>,
    after: Nanos<Boot>,
}

impl Clock {
    /// Compares the clocks of this node.
    pub fn read() -> Result<Self, Errno> {
        let mut best = Self::of(&Reading::take()?);
        for _ in 1..READINGS {
            let next = Self::of(&Reading::take()?);
            if next.error < best.error {
                best = next;
            }
        }
        Ok(best)
    }

    #[must_use]
    pub fn wall(&self, boot: Nanos<Boot>) -> Nanos<Wall> {
        Nanos::new(boot.count().saturating_add_signed(self.ahead))
    }

    /// Now, by the wall clock as it was when the clocks were compared.
    pub fn now(&self) -> Result<Nanos<Wall>, Errno> {
        Ok(self.wall(Nanos::new(read(ClockId::CLOCK_BOOTTIME)?)))
    }

    /// No instant is further off than this, unless the wall clock was set since the clocks were compared.
    #[must_use]
    pub fn error(&self) -> Duration {
        self.error
    }

    /// The wall clock was read at some time between the two readings of boot time: half of what lies
    /// between them is the most that their middle can be off.
    fn of(reading: &Reading) -> Self {
        let bracket = reading.after.count().saturating_sub(reading.before.count());
        let error = bracket.div_ceil(2);
        let middle = reading.before.count() + bracket / 2;
        Self {
            ahead: reading.wall.count().wrapping_sub(middle).cast_signed(),
            error: Duration::from_nanos(error),
        }
    }
}

impl Reading {
    fn take() -> Result<Self, Errno> {
        Ok(Self {
            before: Nanos::new(read(ClockId::CLOCK_BOOTTIME)?),
            wall: Nanos::new(read(ClockId::CLOCK_REALTIME)?),
            after: Nanos::new(read(ClockId::CLOCK_BOOTTIME)?),
        })
    }
}

/// Now, by the wall clock.
pub fn now() -> Result<Nanos<Wall>, Errno> {
    read(ClockId::CLOCK_REALTIME).map(Nanos::new)
}

fn read(clock: ClockId) -> Result<u64, Errno> {
    let nanoseconds = clock_gettime(clock)?.num_nanoseconds();
    Ok(u64::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_instant_is_off_by_no_more_than_the_error(
            boot in 0..1_u64 << 60,
            ahead in 0..1_u64 << 60,
            before in 0..1_000_000_u64,
            after in 0..1_000_000_u64,
        ) {
            let reading = Reading {
                before: Nanos::new(boot.saturating_sub(before)),
                wall: Nanos::new(boot + ahead),
                after: Nanos::new(boot + after),
            };
            let clock = Clock::of(&reading);
            let off = clock.wall(Nanos::new(boot)).count().abs_diff(boot + ahead);
            prop_assert!(off <= u64::try_from(clock.error().as_nanos()).unwrap());
        }
    }

    #[test]
    fn a_wall_clock_that_was_set_is_followed_by_the_next_comparison() {
        let reading = |wall| Reading {
            before: Nanos::new(1_000),
            wall: Nanos::new(wall),
            after: Nanos::new(1_002),
        };
        let now = Nanos::new(1_001);
        assert_eq!(Clock::of(&reading(5_000_000)).wall(now), Nanos::new(5_000_000));
        assert_eq!(Clock::of(&reading(2_000_000)).wall(now), Nanos::new(2_000_000));
        // Set to a time before the boot.
        assert_eq!(Clock::of(&reading(7)).wall(now), Nanos::new(7));
    }

    #[test]
    fn the_clocks_of_this_node_agree_within_the_error() {
        let clock = Clock::read().unwrap();
        let reading = Reading::take().unwrap();
        let error = u64::try_from(clock.error().as_nanos()).unwrap();
        let [earliest, latest] = [reading.before, reading.after].map(|boot| clock.wall(boot).count());
        assert!(
            (earliest.saturating_sub(error)..=latest + error).contains(&reading.wall.count()),
            "{reading:?} {clock:?}"
        );
        assert!(clock.error() < Duration::from_millis(1), "{clock:?}");
    }
}
