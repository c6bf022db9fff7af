//! How long to wait between tries of one batch.

use std::time::Duration;

use super::Retry;

/// An endpoint that asks for more is asked again all the same: its hint may be a mistake.
const MAX_HINT: Duration = Duration::from_mins(5);

/// Exponential backoff with jitter: each wait is the last one doubled, give or take half.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(retry: &Retry) -> Self {
        Self {
            next: retry.initial_delay,
            max: retry.max_delay,
        }
    }

    /// The next wait. A hint of the endpoint is a lower bound, as it knows when it will have room.
    pub(super) fn next(&mut self, hint: Option<Duration>) -> Duration {
        let jittered = self.next.mul_f64(0.5 + fastrand::f64());
        self.next = (self.next * 2).min(self.max);
        jittered.min(self.max).max(hint.unwrap_or_default().min(MAX_HINT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry {
        initial_delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(30),
        give_up_after: None,
    };

    #[test]
    fn waits_double_up_to_the_limit_with_jitter() {
        let mut backoff = Backoff::new(&RETRY);
        for expected in [1, 2, 4, 8, 16, 30, 30, 30] {
            let expected = Duration::from_secs(expected);
            let wait = backoff.next(None);
            assert!(
                wait >= expected / 2 && wait <= (expected * 3 / 2).min(RETRY.max_delay),
                "{wait:?}"
            );
        }
    }

    #[test]
    fn an_endpoint_that_says_when_is_not_asked_sooner() {
        assert!(Backoff::new(&RETRY).next(Some(Duration::from_secs(90))) >= Duration::from_secs(90));
    }
}
