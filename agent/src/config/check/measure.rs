//! What is measured: how often it leaves, and by which attributes spans are counted.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    super::{document::Path, raw, units::Time},
    Check,
};
use crate::{admin, correlate::span_metrics, model::attr};

/// A series takes about a kilobyte.
const MAX_SERIES: usize = 100_000;

/// By these spans are counted in any case.
const STANDARD: [&str; 5] = [
    attr::SERVICE_NAME,
    attr::SPAN_NAME,
    attr::SPAN_KIND,
    attr::STATUS_CODE,
    attr::OTEL_METRIC_OVERFLOW,
];

impl Check<'_> {
    pub(super) fn metrics_interval(&mut self, interval: Time) -> Duration {
        if interval.0 < Duration::from_secs(1) {
            self.fault(
                &Path::of("correlate.metrics.interval"),
                "must be at least 1s: each time all series leave",
            );
        }
        interval.0
    }

    pub(super) fn span_metrics(&mut self, raw: &raw::SpanMetrics) -> span_metrics::Config {
        let path = Path::of("correlate.span_metrics");
        if !(1..=MAX_SERIES).contains(&raw.max_series) {
            self.fault(&path.key("max_series"), format!("expected 1 to {MAX_SERIES}"));
        }
        let path = path.key("dimensions");
        let mut seen: HashMap<String, &str> = STANDARD
            .iter()
            .map(|standard| (admin::metric_name(standard), *standard))
            .collect();
        for (index, key) in raw.dimensions.iter().enumerate() {
            let here = path.index(index);
            if key.is_empty() {
                self.fault(&here, "is no attribute key: it is empty");
            } else if let Some(other) = seen.insert(admin::metric_name(key), key) {
                self.fault(
                    &here,
                    format!("has the label of `{other}` on /metrics: leave it out"),
                );
            }
        }
        span_metrics::Config {
            enabled: raw.enabled,
            dimensions: raw.dimensions.iter().map(|key| Arc::from(key.as_str())).collect(),
            max_series: raw.max_series,
        }
    }
}
