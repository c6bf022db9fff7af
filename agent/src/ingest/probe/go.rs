//! Go functions in the components' executables: which, where, and what a call of one says.

pub mod attach;
pub mod binary;
pub mod catalogue;
pub mod clock;
pub mod code;
pub mod record;
pub mod resolve;
pub mod signature;
mod tables;
pub mod tracer;
