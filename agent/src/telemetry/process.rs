//! The standard `process_*` metrics, read from procfs at each scrape.

use std::fmt;

use procfs::{ProcResult, process};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// This process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Without a readable procfs the rest of the page is still worth having.
        let Ok(usage) = Usage::read() else { return Ok(()) };
        let mut show = |name, help, metric: &dyn Shown| metric.show(&mut encoder, name, help);
        show(
            "process_cpu_seconds",
            "CPU time in user and system mode",
            &ConstCounter::new(usage.cpu_seconds),
        )?;
        show(
            "process_resident_memory_bytes",
            "Memory that is resident",
            &ConstGauge::new(usage.resident_bytes),
        )?;
        show(
            "process_virtual_memory_bytes",
            "Address space",
            &ConstGauge::new(usage.virtual_bytes),
        )?;
        show(
            "process_start_time_seconds",
            "Start of the process since the epoch",
            &ConstGauge::new(usage.start_seconds),
        )?;
        show(
            "process_open_fds",
            "Open file descriptors",
            &ConstGauge::new(usage.open_fds),
        )?;
        show(
            "process_max_fds",
            "File descriptors that may be open",
            &ConstGauge::new(usage.max_fds),
        )
    }
}

/// A metric of either kind.
trait Shown {
    fn show(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result;
}

impl<M: EncodeMetric> Shown for M {
    fn show(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> fmt::Result {
        self.encode(encoder.encode_descriptor(name, help, None, self.metric_type())?)
    }
}

struct Usage {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    start_seconds: f64,
    open_fds: f64,
    max_fds: f64,
}

impl Usage {
    fn read() -> ProcResult<Self> {
        let process = process::Process::myself()?;
        let stat = process.stat()?;
        let seconds = |ticks: u64| number(ticks) / number(procfs::ticks_per_second());
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            process::LimitValue::Value(limit) => number(limit),
            process::LimitValue::Unlimited => f64::INFINITY,
        };
        Ok(Self {
            cpu_seconds: seconds(stat.utime + stat.stime),
            resident_bytes: number(stat.rss * procfs::page_size()),
            virtual_bytes: number(stat.vsize),
            start_seconds: number(procfs::boot_time_secs()?) + seconds(stat.starttime),
            open_fds: number(process.fd_count()? as u64),
            max_fds,
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the text format has floating-point numbers, exact up to 2^53"
)]
fn number(amount: u64) -> f64 {
    amount as f64
}
