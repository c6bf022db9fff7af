//! Families as `OpenMetrics` text, beside what the registry of our own metrics writes.
//!
//! In: families as they stand. Out: their lines, named by the rules that OpenTelemetry has for Prometheus: a dot
//! becomes an underscore, and the unit a suffix. A histogram is shown with bounds at powers of two, which are bounds of
//! its own, so that its counts are exact; the registry's library has no way to show counts that it has not made.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use crate::model::{
    attr::Said,
    histogram::{Exemplar, Histogram},
    metric::{Family, Labels, Series},
};

/// The bounds: from 0.12 ms to 256 s.
const EXPONENTS: std::ops::RangeInclusive<i16> = -13..=8;

/// Writes all families that have series.
pub(super) fn write(families: &[Family], page: &mut String) -> fmt::Result {
    for family in families.iter().filter(|family| !family.series.is_empty()) {
        let mut name = name(family.name);
        match &family.series {
            Series::Counts(counts) => {
                describe(&name, "counter", family, page)?;
                for (labels, count) in counts {
                    let labels = Braced(labels, None);
                    writeln!(page, "{name}_total{labels} {count}")?;
                }
            }
            Series::Durations(durations) => {
                name += "_seconds";
                describe(&name, "histogram", family, page)?;
                writeln!(page, "# UNIT {name} seconds")?;
                for (labels, histogram) in durations {
                    write_histogram(&name, labels, histogram, page)?;
                }
            }
        }
    }
    Ok(())
}

/// A name or a key of OpenTelemetry's as Prometheus has it.
#[must_use]
pub fn name(name: &str) -> String {
    let letter = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '_'
        }
    };
    let digit = name.starts_with(|first: char| first.is_ascii_digit());
    let prefix = if digit { "key_" } else { "" };
    prefix.chars().chain(name.chars().map(letter)).collect()
}

fn describe(name: &str, kind: &str, family: &Family, page: &mut String) -> fmt::Result {
    writeln!(page, "# HELP {name} {}.", family.description)?;
    writeln!(page, "# TYPE {name} {kind}")
}

fn write_histogram(name: &str, labels: &Labels, histogram: &Histogram, page: &mut String) -> fmt::Result {
    let bounds = EXPONENTS.map(Some).chain(std::iter::once(None));
    let mut shown = i16::MIN;
    for exponent in bounds {
        let count = exponent.map_or(histogram.count(), |exponent| histogram.up_to(exponent));
        write!(
            page,
            "{name}_bucket{} {count}",
            Braced(labels, Some(Bound(exponent)))
        )?;
        let up_to = exponent.unwrap_or(i16::MAX);
        let within = histogram
            .exemplars()
            .iter()
            .filter(|exemplar| exemplar.exponent > shown && exemplar.exponent <= up_to);
        if let Some(latest) = within.max_by_key(|exemplar| exemplar.source.at) {
            write_exemplar(latest, page)?;
        }
        page.push('\n');
        shown = up_to;
    }
    let (labels, count) = (Braced(labels, None), histogram.count());
    writeln!(page, "{name}_count{labels} {count}")?;
    writeln!(page, "{name}_sum{labels} {:?}", histogram.sum().as_secs_f64())
}

fn write_exemplar(exemplar: &Exemplar, page: &mut String) -> fmt::Result {
    let Exemplar { duration, source, .. } = exemplar;
    let (trace_id, span_id) = (source.trace_id, source.span_id);
    let at = Duration::from_nanos(source.at.count());
    write!(
        page,
        " # {{trace_id=\"{trace_id:?}\",span_id=\"{span_id:?}\"}} {:?} {}.{:09}",
        duration.as_secs_f64(),
        at.as_secs(),
        at.subsec_nanos()
    )
}

/// The upper end of a bucket: a power of two, or none.
#[derive(Clone, Copy)]
struct Bound(Option<i16>);

/// The labels of a series, and for a bucket its bound.
struct Braced<'a>(&'a Labels, Option<Bound>);

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(exponent) => write!(f, "{:?}", f64::from(exponent).exp2()),
            None => f.write_str("+Inf"),
        }
    }
}

impl fmt::Display for Braced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = '{';
        for (key, value) in self.0.iter() {
            write!(f, "{before}{}=\"", name(key))?;
            match value.said() {
                Said::Text(text) => escape(text, f)?,
                Said::Integer(integer) => write!(f, "{integer}")?,
                Said::Number(number) => write!(f, "{number}")?,
                Said::Flag(flag) => write!(f, "{flag}")?,
            }
            f.write_char('"')?;
            before = ',';
        }
        if let Some(bound) = self.1 {
            write!(f, "{before}le=\"{bound}\"")?;
            before = ',';
        }
        if before == ',' { f.write_char('}') } else { Ok(()) }
    }
}

fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for letter in text.chars() {
        match letter {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        }?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{
        attr::Value,
        histogram::Source,
        time::Nanos,
        trace::{SpanId, TraceId},
    };

    fn page(series: Series) -> Vec<String> {
        let family = Family {
            name: "rpc.client.duration",
            description: "What is said of it",
            start: Nanos::new(1),
            series,
        };
        let mut page = String::new();
        write(&[family], &mut page).unwrap();
        page.lines().map(str::to_owned).collect()
    }

    fn labels(pairs: &[(&str, Value)]) -> Labels {
        pairs
            .iter()
            .map(|(key, value)| (Arc::from(*key), value.clone()))
            .collect()
    }

    #[test]
    fn a_count_is_a_counter() {
        let odd = labels(&[
            ("span.name", "a \"b\"\\\n{c}, d".into()),
            ("9-lives", Value::Integer(9)),
            ("otel.metric.overflow", Value::Flag(true)),
        ]);
        assert_eq!(
            page(Series::Counts(vec![(odd, 3), (labels(&[]), 4)])),
            [
                "# HELP rpc_client_duration What is said of it.",
                "# TYPE rpc_client_duration counter",
                r#"rpc_client_duration_total{span_name="a \"b\"\\\n{c}, d",key_9_lives="9",otel_metric_overflow="true"} 3"#,
                "rpc_client_duration_total 4",
            ]
        );
    }

    #[test]
    fn a_histogram_has_bounds_at_powers_of_two() {
        let mut histogram = Histogram::default();
        let mut record = |milliseconds, id| {
            let source = Source {
                trace_id: TraceId([id; 16]),
                span_id: SpanId([id; 8]),
                at: Nanos::new(1_700_000_000_250_000_000 + u64::from(id)),
            };
            histogram.record(Duration::from_millis(milliseconds), Some(source));
        };
        // Below the first bound, on one, above it, and past the last.
        record(0, 1);
        record(250, 2);
        record(251, 3);
        record(300_000, 4);
        let shown = page(Series::Durations(vec![(
            labels(&[("a", "b".into())]),
            Arc::new(histogram),
        )]));
        let name = "rpc_client_duration_seconds";
        assert_eq!(
            shown[..3],
            [
                format!("# HELP {name} What is said of it."),
                format!("# TYPE {name} histogram"),
                format!("# UNIT {name} seconds"),
            ]
        );
        let buckets = &shown[3..26];
        let exemplar = |id: u8, value: &str| {
            let hex = format!("0{id}");
            let (trace_id, span_id) = (hex.repeat(16), hex.repeat(8));
            format!(" # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} {value} 1700000000.25000000{id}")
        };
        let bucket = |bound: &str, count: u64| format!("{name}_bucket{{a=\"b\",le=\"{bound}\"}} {count}");
        assert_eq!(
            [0, 10, 11, 12, 13, 21, 22].map(|at: usize| buckets[at].clone()),
            [
                bucket("0.0001220703125", 1) + &exemplar(1, "0.0"),
                bucket("0.125", 1),
                bucket("0.25", 2) + &exemplar(2, "0.25"),
                bucket("0.5", 3) + &exemplar(3, "0.251"),
                bucket("1.0", 3),
                bucket("256.0", 3),
                bucket("+Inf", 4) + &exemplar(4, "300.0"),
            ]
        );
        assert_eq!(
            shown[26..],
            [
                format!("{name}_count{{a=\"b\"}} 4"),
                format!("{name}_sum{{a=\"b\"}} 300.501"),
            ]
        );
    }

    #[test]
    fn a_family_without_series_is_not_shown() {
        assert!(page(Series::Counts(Vec::new())).is_empty());
        assert!(page(Series::Durations(Vec::new())).is_empty());
    }
}
