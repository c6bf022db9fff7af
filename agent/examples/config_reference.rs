//! Prints the reference of the configuration; `cargo xtask gen` writes it to `deploy/config.md`.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

fn main() {
    print!("{}", innerspan::config::reference());
}
