//! Addresses: taken together or not at all, and socket files that outlive nobody.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
};

use tokio::net::UnixStream;

use super::{
    harness::{H2, config, framed, start, whole},
    samples::small,
};
use crate::{
    ingest::otlp::{Config, Listen, Server},
    model::Signal,
};

fn on(path: &Path) -> Config {
    Config {
        grpc: vec![Listen::Unix(path.to_owned())],
        http: Vec::new(),
        ..config()
    }
}

async fn assert_serves(path: &Path) {
    let client = H2::over(UnixStream::connect(path).await.unwrap()).await;
    let answer = client
        .call(Signal::Traces, &[], whole(framed(0, &small(Signal::Traces))))
        .await;
    assert_eq!(answer.header("grpc-status"), "0");
}

#[tokio::test]
async fn a_unix_socket_is_served_and_removed_at_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("otlp.sock");
    let server = start(&on(&path));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert_serves(&path).await;
    server.stop.cancel();
    server.ended.await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn the_socket_of_a_dead_process_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("otlp.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a listener leaves its file behind");
    let _server = start(&on(&path));
    assert_serves(&path).await;
}

#[test]
fn every_address_that_is_taken_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (live, file) = (folder.path().join("live.sock"), folder.path().join("file"));
    let _listener = UnixListener::bind(&live).unwrap();
    fs::write(&file, "precious").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    let absent = folder.path().join("absent/otlp.sock");
    let config = Config {
        grpc: vec![Listen::Tcp(address), Listen::Unix(live)],
        http: vec![Listen::Unix(file.clone()), Listen::Unix(absent)],
        ..config()
    };
    let errors = Server::bind(&config).unwrap_err();
    let says: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let expected = [
        format!("another process has port {}", address.port()),
        "live.sock: another process serves this socket".to_owned(),
        "file: it exists and is no socket".to_owned(),
        "its directory must exist".to_owned(),
    ];
    assert_eq!(says.len(), expected.len(), "{says:?}");
    for (says, expected) in says.iter().zip(expected) {
        assert!(says.contains(&expected), "{says}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
}

#[test]
fn addresses_are_free_again_when_one_of_them_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("otlp.sock");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = Listen::Tcp(port.local_addr().unwrap());
    let config = Config {
        http: vec![taken],
        ..on(&path)
    };
    Server::bind(&config).unwrap_err();
    assert!(!path.exists());
}
