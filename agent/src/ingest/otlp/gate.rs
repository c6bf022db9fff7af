//! What both transports do with a request once they have its bytes: check, stamp, hand over, count.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::{
    Config, Intake, Refused,
    budget::{Budget, Reservation},
    fault::Fault,
    metrics::Metrics,
    request,
    scan::scan,
    stamp::{Stamp, enrich},
};
use crate::model::{ByteSize, Payload, Signal};

/// The way from a body to the intake.
#[derive(Debug)]
pub(super) struct Gate<I> {
    intake: I,
    stamp: watch::Receiver<Arc<Stamp>>,
    pub(super) metrics: Metrics,
    pub(super) max_message_size: ByteSize,
    read_timeout: Duration,
    budget: Budget,
}

impl<I: Intake> Gate<I> {
    pub(super) fn new(
        config: &Config,
        intake: I,
        stamp: watch::Receiver<Arc<Stamp>>,
        metrics: Metrics,
    ) -> Self {
        Self {
            intake,
            stamp,
            metrics,
            max_message_size: config.max_message_size,
            read_timeout: config.read_timeout,
            budget: Budget::new(config.max_in_flight),
        }
    }

    /// Accepts one request; `open` turns the bytes of its body, which may have `overhead` more than the
    /// largest message, into the message.
    pub(super) async fn accept(
        &self,
        signal: Signal,
        body: Incoming,
        overhead: usize,
        open: impl FnOnce(Bytes, &mut Reservation) -> Result<Bytes, Fault>,
    ) -> Result<(), Fault> {
        let mut reservation = self.budget.reserve();
        let limit = ByteSize(self.max_message_size.0.saturating_add(overhead));
        let body = request::read(body, limit, self.read_timeout, &mut reservation).await?;
        let message = open(body, &mut reservation)?;
        let found = scan(signal, &message)?;
        // Stamping grows an honest request by a fraction; this bound is for the others.
        let limit = ByteSize(self.max_message_size.0.saturating_mul(2));
        let body = enrich(&message, &found, &self.stamp.borrow(), limit)?;
        if found.tally.total() > 0 {
            let payload = Payload {
                signal,
                body,
                tally: found.tally,
            };
            self.intake
                .admit(payload)
                .await
                .map_err(|refused| match refused {
                    Refused::Full { retry_after } => Fault::Full { retry_after },
                    Refused::NoEndpoint => Fault::NoEndpoint(signal),
                })?;
        }
        self.metrics.accepted(signal, message.len(), &found.irregular);
        Ok(())
    }
}
