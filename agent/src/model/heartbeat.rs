//! Progress of the data path, observed from outside it.
//!
//! A worker says when it takes work up, when it gets on with it, and when it is done. Whoever asks brings
//! the time: a worker that has work and shows no progress between two looks far enough apart is stuck.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// What one worker shows of itself.
#[derive(Debug, Default)]
pub struct Heartbeat {
    beats: AtomicU64,
    under_way: AtomicU64,
}

impl Heartbeat {
    /// Progress was made.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Relaxed);
    }

    /// Work is under way until the guard goes out of scope.
    #[must_use = "work ends when the guard goes out of scope"]
    pub fn working(&self) -> Working<'_> {
        self.under_way.fetch_add(1, Relaxed);
        Working(self)
    }
}

/// Work under way.
#[derive(Debug)]
pub struct Working<'a>(&'a Heartbeat);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.beat();
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

/// Looks at heartbeats and tells which have stopped.
#[derive(Debug)]
pub struct Watchdog {
    limit: Duration,
    watched: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    name: String,
    heartbeat: Arc<Heartbeat>,
    beats: u64,
    /// The time of the look that first saw these beats, or no work.
    since: Duration,
}

impl Watchdog {
    /// `limit`: for how long work may be under way without progress.
    #[must_use]
    pub fn new(limit: Duration, workers: impl IntoIterator<Item = (String, Arc<Heartbeat>)>) -> Self {
        let watched = |(name, heartbeat)| Watched {
            name,
            heartbeat,
            beats: 0,
            since: Duration::ZERO,
        };
        Self {
            limit,
            watched: workers.into_iter().map(watched).collect(),
        }
    }

    /// The names of the workers that are stuck at `now`, on any clock that only goes forward.
    pub fn stuck(&mut self, now: Duration) -> Vec<&str> {
        for watched in &mut self.watched {
            let beats = watched.heartbeat.beats.load(Relaxed);
            if beats != watched.beats || watched.heartbeat.under_way.load(Relaxed) == 0 {
                (watched.beats, watched.since) = (beats, now);
            }
        }
        let stuck = |watched: &&Watched| now.saturating_sub(watched.since) > self.limit;
        self.watched
            .iter()
            .filter(stuck)
            .map(|watched| watched.name.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_a_worker_with_work_and_no_progress_is_stuck() {
        let heartbeat = Arc::new(Heartbeat::default());
        let mut watchdog = Watchdog::new(at(10), [("traces".to_owned(), Arc::clone(&heartbeat))]);
        assert!(watchdog.stuck(at(100)).is_empty(), "idle");
        let working = heartbeat.working();
        assert!(watchdog.stuck(at(110)).is_empty());
        assert_eq!(watchdog.stuck(at(111)), ["traces"]);
        heartbeat.beat();
        assert!(watchdog.stuck(at(112)).is_empty(), "progress");
        assert_eq!(watchdog.stuck(at(123)), ["traces"]);
        drop(working);
        assert!(watchdog.stuck(at(200)).is_empty(), "done");
    }
}
