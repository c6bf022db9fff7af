//! The `innerspan` process.

fn main() {}
