//! The project's own commands: `cargo xtask lab | test | check | bench | image | gen`.

fn main() {}
