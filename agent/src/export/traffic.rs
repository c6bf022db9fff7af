//! What is known of one endpoint's requests: counts, and the few lines of log about it.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use tracing::{info, warn};

use super::answer::{Answer, Outcome};
use crate::model::{DropReason, Notice, Signal};

/// Counts of one endpoint.
#[derive(Debug)]
pub(super) struct Traffic {
    endpoint: String,
    requests: [[AtomicU64; Outcome::ALL.len()]; Signal::ALL.len()],
    sent_bytes: [AtomicU64; Signal::ALL.len()],
    failing: AtomicBool,
    remark: Notice,
    loss: Notice,
}

impl Traffic {
    pub(super) fn new(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            requests: Default::default(),
            sent_bytes: Default::default(),
            failing: AtomicBool::new(false),
            remark: Notice::default(),
            loss: Notice::default(),
        }
    }

    /// One request was answered. Says when the endpoint stops taking requests and when it takes them again.
    pub(super) fn record(&self, signal: Signal, answer: &Answer, bytes: usize) {
        self.requests[signal.index()][answer.outcome() as usize].fetch_add(1, Relaxed);
        self.sent_bytes[signal.index()].fetch_add(bytes as u64, Relaxed);
        let (endpoint, signal) = (&self.endpoint, signal.as_str());
        match answer {
            Answer::Retry { why, .. } | Answer::Exhausted { why } if !self.failing.swap(true, Relaxed) => {
                warn!(
                    endpoint,
                    signal, why, "endpoint does not take requests; trying on"
                );
            }
            Answer::Accepted { .. } if self.failing.swap(false, Relaxed) => {
                info!(endpoint, signal, "endpoint takes requests again");
            }
            Answer::Accepted { rejected, message } if *rejected > 0 || !message.is_empty() => {
                self.remark.say(Instant::now(), |unsaid| {
                    warn!(
                        endpoint,
                        signal, rejected, message, unsaid, "endpoint took a request with a remark"
                    );
                });
            }
            _ => {}
        }
    }

    /// Items are given up.
    pub(super) fn lost(&self, signal: Signal, items: u64, reason: DropReason, why: &str) {
        let (endpoint, signal, reason) = (&self.endpoint, signal.as_str(), reason.as_str());
        self.loss.say(Instant::now(), |unsaid| {
            warn!(endpoint, signal, items, reason, why, unsaid, "items are lost");
        });
    }

    pub(super) fn requests(&self, signal: Signal, outcome: Outcome) -> u64 {
        self.requests[signal.index()][outcome as usize].load(Relaxed)
    }

    /// Bodies as sent, compressed, every try counted.
    pub(super) fn sent_bytes(&self, signal: Signal) -> u64 {
        self.sent_bytes[signal.index()].load(Relaxed)
    }
}
