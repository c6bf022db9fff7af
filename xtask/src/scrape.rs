//! What an agent shows of itself: its `/metrics`, fetched and summed up.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail};

/// Gets a page of a server in this thread's network.
pub(crate) fn get(server: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))
        .with_context(|| format!("cannot reach {server}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => bail!(
            "{server}{path} answered: {}",
            answer.lines().next().unwrap_or_default()
        ),
    }
}

/// The sum of a metric's values over all series that have these labels.
pub(crate) fn total(metrics: &str, metric: &str, labels: &[&str]) -> u64 {
    values(metrics, metric, labels)
        .filter_map(|value| value.parse::<u64>().ok())
        .sum()
}

/// As [`total`], of values that are no whole numbers.
pub(crate) fn sum(metrics: &str, metric: &str, labels: &[&str]) -> f64 {
    values(metrics, metric, labels)
        .filter_map(|value| value.parse::<f64>().ok())
        .sum()
}

fn values<'a>(metrics: &'a str, metric: &str, labels: &[&str]) -> impl Iterator<Item = &'a str> {
    metrics
        .lines()
        .filter_map(move |line| {
            let rest = line.strip_prefix(metric)?;
            // Without labels there are no braces either.
            match rest.strip_prefix('{') {
                Some(rest) => rest.split_once("} "),
                None => rest.strip_prefix(' ').map(|value| ("", value)),
            }
        })
        .filter(move |(found, _)| labels.iter().all(|label| found.contains(label)))
        .filter_map(|(_, value)| value.split_ascii_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::{sum, total};

    #[test]
    fn a_metric_is_summed_over_the_labels_that_are_not_named() {
        let metrics = "\
# TYPE innerspan_export_items_dropped counter
innerspan_export_items_dropped_total{endpoint=\"main\",signal=\"traces\",component=\"etcd\",reason=\"refused\"} 2
innerspan_export_items_dropped_total{endpoint=\"main\",signal=\"traces\",component=\"etcd\",reason=\"expired\"} 3
innerspan_export_items_dropped_total{endpoint=\"main\",signal=\"logs\",component=\"etcd\",reason=\"expired\"} 5
innerspan_export_items_dropped_total{endpoint=\"main\",signal=\"traces\",component=\"kubelet\",reason=\"expired\"} 7
";
        let labels = [r#"signal="traces""#, r#"component="etcd""#];
        assert_eq!(total(metrics, "innerspan_export_items_dropped_total", &labels), 5);
    }

    #[test]
    fn a_metric_without_labels_is_told_from_one_whose_name_goes_on() {
        let metrics = "start_seconds_sum 1.5\nstart_seconds_sum_of_others 4\n";
        assert!((sum(metrics, "start_seconds_sum", &[]) - 1.5).abs() < f64::EPSILON);
    }
}
