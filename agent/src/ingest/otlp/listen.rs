//! Takes the addresses, all of them before the first is served.
//!
//! In: a [`Config`]. Out: a [`Server`] ready to run, or every address that could not be taken, each with
//! what to do about it.

use std::{
    fmt, fs,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use tracing::info;

use super::{Config, Listen, metrics::Protocol, server::Server};

/// Who may write to a socket file: its owner and group, so that a component that does not run as root is let
/// in by making it a member of the group that owns the directory.
const SOCKET_MODE: u32 = 0o660;

/// Every address that could not be taken.
#[derive(Debug, thiserror::Error)]
pub struct BindErrors(Vec<BindError>);

impl BindErrors {
    pub fn iter(&self) -> impl Iterator<Item = &BindError> {
        self.0.iter()
    }
}

impl fmt::Display for BindErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

/// Why an address could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {address}: {} ({source})", advice(*address, source))]
    Tcp { address: SocketAddr, source: io::Error },
    #[error("cannot listen on {}: {source}; its directory must exist and be writable", path.display())]
    Unix { path: PathBuf, source: io::Error },
    #[error("cannot listen on {}: another process serves this socket; give each its own path", path.display())]
    SocketInUse { path: PathBuf },
    #[error("cannot listen on {}: it exists and is no socket; remove it or use another path", path.display())]
    NoSocket { path: PathBuf },
}

fn advice(address: SocketAddr, source: &io::Error) -> String {
    match source.kind() {
        ErrorKind::AddrInUse => format!(
            "another process has port {port}, perhaps a collector on this node: stop it or use another port; \
             `ss -lptn 'sport = :{port}'` names it",
            port = address.port()
        ),
        ErrorKind::AddrNotAvailable => "this host has no such address".to_owned(),
        ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: use a higher one".to_owned()
        }
        _ => "the system refused it".to_owned(),
    }
}

/// One address that is taken.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) protocol: Protocol,
    pub(super) socket: Socket,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl fmt::Display for Socket {
    /// With the port that the system chose.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(error) => error.fmt(f),
            },
            Self::Unix(_, file) => write!(f, "unix://{}", file.0.display()),
        }
    }
}

/// A socket in the file system, removed when it is no longer served.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "could not remove the socket file");
        }
    }
}

impl Server {
    /// Takes all addresses, or none: each one that fails is reported.
    pub fn bind(config: &Config) -> Result<Self, BindErrors> {
        let grpc = config.grpc.iter().map(|listen| (Protocol::Grpc, listen));
        let http = config.http.iter().map(|listen| (Protocol::Http, listen));
        let (mut listeners, mut errors) = (Vec::new(), Vec::new());
        for (protocol, listen) in grpc.chain(http) {
            match bind(listen) {
                Ok(socket) => {
                    info!(service = protocol.as_str(), address = %socket, "listening");
                    listeners.push(Listener { protocol, socket });
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(Self::new(config.clone(), listeners))
        } else {
            Err(BindErrors(errors))
        }
    }
}

fn bind(listen: &Listen) -> Result<Socket, BindError> {
    match listen {
        Listen::Tcp(address) => bind_tcp(*address)
            .map(Socket::Tcp)
            .map_err(|source| BindError::Tcp {
                address: *address,
                source,
            }),
        Listen::Unix(path) => {
            clear(path)?;
            bind_unix(path)
                .map(|socket| Socket::Unix(socket, SocketFile(path.clone())))
                .map_err(|source| BindError::Unix {
                    path: path.clone(),
                    source,
                })
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// Removes the socket that a process left behind when it died; nothing else is ever removed.
fn clear(path: &Path) -> Result<(), BindError> {
    let fault = |source| BindError::Unix {
        path: path.to_owned(),
        source,
    };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(error)),
    };
    if !found.file_type().is_socket() {
        return Err(BindError::NoSocket {
            path: path.to_owned(),
        });
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(fault),
        Err(error) => Err(fault(error)),
        Ok(_) => Err(BindError::SocketInUse {
            path: path.to_owned(),
        }),
    }
}
