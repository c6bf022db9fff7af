//! Waiting for what has to become true, and not longer than it may take.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Far above what anything here takes on an idle machine, for machines that are not idle.
const DEADLINE: Duration = Duration::from_mins(1);

const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again, until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "waited in vain for {what}");
        thread::sleep(PAUSE);
    }
}

/// Asks again and again, until it is so.
pub fn until_true(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}
