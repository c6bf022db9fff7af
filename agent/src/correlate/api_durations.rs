//! One question: how much of the time that API requests take is etcd's?
//!
//! In: what each request waited for. Out: `innerspan.api_request.duration` and, of the same requests,
//! `innerspan.api_request.etcd.duration`, by method and route, with exemplars that lead to the request's native trace.
//! The share is the ratio of their sums.

use super::{api_request::Anatomy, durations::Durations};
use crate::model::{
    attr::{self, Said},
    histogram::Source,
    metric::Family,
    time::{Nanos, Wall},
};

/// A cluster has some two hundred routes, each with a few methods.
const MAX_SERIES: usize = 1024;

/// The durations since the agent started.
#[derive(Debug)]
pub struct ApiDurations {
    whole: Durations,
    etcd: Durations,
    start: Nanos<Wall>,
}

impl ApiDurations {
    #[must_use]
    pub fn new(start: Nanos<Wall>) -> Self {
        Self {
            whole: Durations::new(MAX_SERIES),
            etcd: Durations::new(MAX_SERIES),
            start,
        }
    }

    /// Counts a request, whose span is the source.
    pub fn record(&mut self, anatomy: &Anatomy<'_>, source: Source) {
        let labels = [
            (attr::HTTP_REQUEST_METHOD, Said::Text(anatomy.method)),
            (attr::HTTP_ROUTE, Said::Text(anatomy.route)),
        ];
        self.whole.record(&labels, anatomy.total, Some(source));
        self.etcd.record(&labels, anatomy.etcd, Some(source));
    }

    #[must_use]
    pub fn families(&self) -> [Family; 2] {
        [
            self.whole.family(
                "innerspan.api_request.duration",
                "How long API requests took, watches left out",
                self.start,
            ),
            self.etcd.family(
                "innerspan.api_request.etcd.duration",
                "How long the same requests waited for etcd",
                self.start,
            ),
        ]
    }
}
