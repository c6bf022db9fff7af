//! Says a thing once, then now and then with how often it went unsaid: never a log line per event.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Between two lines about the same thing.
const INTERVAL: Duration = Duration::from_mins(1);

/// One thing that may be said.
#[derive(Debug, Default)]
pub(super) struct Notice {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Notice {
    /// Calls `say` with how often it was passed over before, unless it was said within the interval.
    pub(super) fn say(&self, say: impl FnOnce(u64)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, unsaid) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < INTERVAL) {
            *unsaid += 1;
            return;
        }
        *last = Some(Instant::now());
        let unsaid = std::mem::take(unsaid);
        drop(state);
        say(unsaid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thing_is_said_once_a_minute() {
        let notice = Notice::default();
        let mut said = Vec::new();
        for _ in 0..5 {
            notice.say(|unsaid| said.push(unsaid));
        }
        tokio::time::advance(INTERVAL).await;
        notice.say(|unsaid| said.push(unsaid));
        assert_eq!(said, [0, 4]);
    }
}
