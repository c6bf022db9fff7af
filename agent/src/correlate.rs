//! What it means: values in, values out, one question per file.
//!
//! Pure: no I/O, no task, no clock. Time is an argument, and what leaves is for others to send.

pub mod calls;
pub mod durations;
pub mod pod_trace;
pub mod span_metrics;
