//! Says a thing once, then now and then with how often it went unsaid: never a log line per event.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines about the same thing.
const INTERVAL: Duration = Duration::from_mins(1);

/// One thing that may be said.
#[derive(Debug, Default)]
pub struct Notice {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Notice {
    /// Calls `say` with how often it was passed over before, unless it was said within the interval.
    pub fn say(&self, now: Instant, say: impl FnOnce(u64)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, unsaid) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            *unsaid += 1;
            return;
        }
        *last = Some(now);
        let unsaid = std::mem::take(unsaid);
        drop(state);
        say(unsaid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_said_once_a_minute() {
        let (notice, begun) = (Notice::default(), Instant::now());
        let mut said = Vec::new();
        for _ in 0..5 {
            notice.say(begun, |unsaid| said.push(unsaid));
        }
        notice.say(begun + INTERVAL, |unsaid| said.push(unsaid));
        assert_eq!(said, [0, 4]);
    }
}
