//! Go functions in the components' executables: which, where, and what a call of one says.

pub mod binary;
pub mod catalogue;
pub mod code;
pub mod resolve;
pub mod signature;
