//! How long the calls of hot functions took, which the kernel counts.
//!
//! In: the histograms of all processes that are traced. Out: one for each function, which goes on where a process has
//! ended and another one runs instead: what an ended one had counted stays counted.

use std::{sync::Arc, time::Duration};

use abi::go_call::histogram as counted;

use super::{Targets, lock};
use crate::model::{
    call::Operation,
    histogram::{self, Histogram},
};

const _: () = assert!(
    counted::SCALE == histogram::SCALE && counted::ZERO == histogram::ZERO,
    "the kernel's buckets are those of the model"
);

/// Read from the kernel whenever they are asked for: in between they cost nothing.
#[derive(Clone, Debug)]
pub struct Durations {
    targets: Targets,
}

/// Of each function one histogram; the functions are those of the catalogue, so that there are not many.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals(Vec<(Arc<Operation>, Histogram)>);

impl Durations {
    pub(super) fn new(targets: Targets) -> Self {
        Self { targets }
    }

    /// Of each hot function that was traced, since the agent started.
    #[must_use]
    pub fn read(&self) -> Vec<(Arc<Operation>, Histogram)> {
        let targets = lock(&self.targets);
        let mut totals = targets.ended.clone();
        targets.iter().for_each(|target| target.count(&mut totals));
        totals.0
    }
}

impl Totals {
    pub(super) fn add(&mut self, operation: &Arc<Operation>, counts: &counted::Histogram) {
        let counts = Histogram::of_counts(
            counted::FIRST,
            counts.buckets,
            counts.zero,
            Duration::from_nanos(counts.sum),
        );
        let known = self.0.iter_mut().find(|(known, _)| Arc::ptr_eq(known, operation));
        match known {
            Some((_, total)) => total.merge(&counts),
            None => self.0.push((Arc::clone(operation), counts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trace::SpanKind;

    #[test]
    fn what_the_kernel_counts_has_the_same_buckets_here() {
        let operation = Arc::new(Operation {
            service: "etcd".into(),
            span: "wal.sync".into(),
            kind: SpanKind::Internal,
            attributes: Vec::new(),
            rpc: None,
            native: None,
        });
        let durations = [40, 100, 5_000, 1_000_000, 1_000_001, 77_000_000, 30_000_000_000];
        let mut counts = counted::Histogram {
            zero: 0,
            sum: durations.iter().sum(),
            buckets: [0; counted::BUCKETS as usize],
        };
        let mut expected = Histogram::default();
        for nanoseconds in durations {
            match counted::bucket(nanoseconds) {
                Some(bucket) => counts.buckets[bucket as usize] += 1,
                None => counts.zero += 1,
            }
            expected.record(Duration::from_nanos(nanoseconds), None);
        }
        let mut totals = Totals::default();
        totals.add(&operation, &counts);
        let shown = |histogram: &Histogram| {
            let buckets = histogram.buckets().to_vec();
            let (scale, offset) = (histogram.scale(), histogram.offset());
            (scale, offset, buckets, histogram.zeros(), histogram.sum())
        };
        assert_eq!(shown(&totals.0[0].1), shown(&expected));
        totals.add(&operation, &counts);
        let [(_, total)] = &totals.0[..] else {
            panic!("one function")
        };
        assert_eq!(total.count(), 2 * durations.len() as u64);
    }
}
