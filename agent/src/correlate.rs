//! What it means: values in, values out, one question per file.
//!
//! Pure: no I/O, no task, no clock. Time is an argument, and what leaves is for others to send.

pub mod api_durations;
pub mod api_request;
pub mod calls;
pub mod coverage;
pub mod critical_path;
pub mod durations;
pub mod function_durations;
pub mod pod_durations;
pub mod pod_trace;
pub mod span_metrics;
