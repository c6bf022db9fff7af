//! What an operator asks of this process: `/metrics`, `/livez`, `/readyz`, `/startupz`.
//!
//! It reads snapshots and changes nothing.

use std::{net::SocketAddr, path::PathBuf};

/// Where to answer, and to whom.
#[derive(Clone, Debug)]
pub struct Config {
    pub address: SocketAddr,
    /// A file with the bearer token that `/metrics` then asks for; probes stay open, as kubelet has none.
    pub bearer_token_file: Option<PathBuf>,
    pub tls: Option<Tls>,
}

/// PEM files of the server's certificate chain and key.
#[derive(Clone, Debug)]
pub struct Tls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}
