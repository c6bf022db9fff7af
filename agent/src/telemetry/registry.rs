//! The registry of our own metrics, with what any process shows of itself, and its `OpenMetrics` text.

use std::fmt;

use prometheus_client::{encoding::text, metrics::info::Info};

use super::process::Process;

pub use prometheus_client::registry::Registry;

/// What [`encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The last line of a page.
pub const END: &str = "# EOF\n";

/// Which build of innerspan this is.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    pub version: &'static str,
    /// The commit it was built from.
    pub revision: &'static str,
}

/// A registry that holds `innerspan_build_info` and the standard `process_*` metrics.
#[must_use]
pub fn registry(build: Build) -> Registry {
    let mut registry = Registry::default();
    let labels = vec![("version", build.version), ("revision", build.revision)];
    registry.register("innerspan_build", "The build that runs", Info::new(labels));
    registry.register_collector(Box::new(Process));
    registry
}

/// All metrics as `OpenMetrics` text, to which [`END`] is still to be added.
pub fn encode(registry: &Registry) -> Result<String, fmt::Error> {
    let mut page = String::new();
    text::encode_registry(&mut page, registry)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(page: &str, name: &str) -> f64 {
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in:\n{page}"))
            .parse()
            .unwrap()
    }

    #[test]
    fn a_process_shows_its_build_and_what_it_takes() {
        let registry = registry(Build {
            version: "1.2.3",
            revision: "abc",
        });
        let page = encode(&registry).unwrap();
        assert!(
            page.contains("innerspan_build_info{version=\"1.2.3\",revision=\"abc\"} 1\n"),
            "{page}"
        );
        assert!(value(&page, "process_resident_memory_bytes") > 1e6);
        assert!(value(&page, "process_virtual_memory_bytes") > value(&page, "process_resident_memory_bytes"));
        assert!(value(&page, "process_open_fds") >= 3.0);
        assert!(value(&page, "process_max_fds") >= value(&page, "process_open_fds"));
        assert!(value(&page, "process_start_time_seconds") > 1.7e9);
        assert!(value(&page, "process_cpu_seconds_total") >= 0.0);
    }
}
