//! Go functions in the components' executables: which, where, and what a call of one says.

pub mod binary;
pub mod code;
