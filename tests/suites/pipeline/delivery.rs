//! What is sent arrives once, by every way in and every way out.

use std::fs;

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use innerspan::model::Signal;
use serde_json::json;
use tempfile::TempDir;
use tests::{
    authority::{Authority, Certificate, write},
    client::{Grpc, post},
    collector::Collector,
    metrics::Account,
    patience::until_true,
    request::Request,
};
use tonic::codec::CompressionEncoding;

use crate::{agent, endpoint};

const PROTOBUF: &str = "application/x-protobuf";

#[test]
fn every_way_in_leads_to_the_collector() {
    let collector = Collector::start();
    let sockets = TempDir::new().unwrap();
    let socket = |name: &str| format!("unix://{}", sockets.path().join(name).display());
    let ways = json!({
        "grpc": ["127.0.0.1:0", socket("grpc")],
        "http": ["127.0.0.1:0", socket("http")],
    });
    let agent = agent(
        &[endpoint(&collector, json!({}))],
        json!({"ingest": {"otlp": ways}}),
    );
    for signal in Signal::ALL {
        let mut requests = (0..).map(|request: u64| Request::new(signal, request * 10..request * 10 + 10));
        let mut next = || requests.next().unwrap();

        Grpc::connect(&agent.grpc()).send(&next()).unwrap();
        let compressed = Grpc::connect(&agent.grpc()).compressed(CompressionEncoding::Gzip);
        compressed.send(&next()).unwrap();
        let compressed = Grpc::connect(&agent.grpc()).compressed(CompressionEncoding::Zstd);
        compressed.send(&next()).unwrap();
        Grpc::connect(&socket("grpc")).send(&next()).unwrap();

        let accepted = |address: &str, content: &str, encoding: &str, body: Vec<u8>| {
            let headers = [(CONTENT_TYPE, content), (CONTENT_ENCODING, encoding)];
            assert_eq!(post(address, signal, &headers, body).status, 200);
        };
        accepted(&agent.http(), PROTOBUF, "identity", next().encode());
        accepted(
            &agent.http(),
            PROTOBUF,
            "zstd",
            zstd::encode_all(&*next().encode(), 0).unwrap(),
        );
        accepted(&agent.http(), "application/json", "identity", next().json());
        accepted(&socket("http"), PROTOBUF, "identity", next().encode());

        assert_eq!(collector.until_accepted(signal, 80), (0..80).collect::<Vec<_>>());
        agent.until_account("default", signal, &Account::exported(80));
    }
}

#[test]
fn every_way_out_is_understood_by_the_collector() {
    for protocol in ["grpc", "http"] {
        for compression in ["gzip", "zstd", "none"] {
            let collector = Collector::start();
            let way = json!({"protocol": protocol, "compression": compression});
            let agent = agent(&[endpoint(&collector, way)], json!({}));
            let client = Grpc::connect(&agent.grpc());
            for signal in Signal::ALL {
                client.send(&Request::new(signal, 0..100)).unwrap();
                assert_eq!(
                    collector.until_accepted(signal, 100),
                    (0..100).collect::<Vec<_>>()
                );
                agent.until_account("default", signal, &Account::exported(100));
            }
            let header = if protocol == "grpc" {
                "grpc-encoding"
            } else {
                "content-encoding"
            };
            for arrival in collector.arrivals() {
                let found = arrival
                    .headers
                    .get(header)
                    .map_or("none", |found| found.to_str().unwrap());
                assert_eq!(found.replace("identity", "none"), compression, "{protocol}");
            }
        }
    }
}

#[test]
fn a_resource_gets_the_attributes_that_it_lacks_and_keeps_its_own() {
    let collector = Collector::start();
    let cluster =
        json!({"cluster_name": "lab", "resource_attributes": {"team": "platform", "service.name": "x"}});
    let agent = agent(
        &[endpoint(&collector, json!({}))],
        json!({"identify": {"cluster": cluster}}),
    );
    let client = Grpc::connect(&agent.grpc());
    for signal in Signal::ALL {
        client.send(&Request::new(signal, 0..1)).unwrap();
        collector.until_accepted(signal, 1);
    }
    for arrival in collector.arrivals() {
        let resource = arrival.request.resources().pop().unwrap();
        assert_eq!(resource["k8s.node.name"], "node1");
        assert_eq!(resource["k8s.cluster.name"], "lab");
        assert_eq!(resource["team"], "platform");
        assert_eq!(resource["service.name"], "kubelet");
    }
}

#[test]
fn headers_come_from_the_configuration_and_from_a_file() {
    let collector = Collector::start();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("headers");
    fs::write(&file, "authorization: Bearer secret\n").unwrap();
    let headers = json!({"headers": {"x-tenant": "one"}, "headers_file": file});
    let agent = agent(&[endpoint(&collector, headers)], json!({}));
    Grpc::connect(&agent.grpc())
        .send(&Request::new(Signal::Traces, 0..1))
        .unwrap();
    let arrivals = collector.until_arrived(1);
    assert_eq!(arrivals[0].headers[AUTHORIZATION], "Bearer secret");
    assert_eq!(arrivals[0].headers["x-tenant"], "one");
}

#[test]
fn a_collector_that_asks_for_a_certificate_gets_one() {
    let authority = Authority::new();
    let collector = Collector::start_with_tls(&authority);
    let dir = TempDir::new().unwrap();
    let client = authority.sign();
    let tls = json!({"tls": {
        "ca_file": write(dir.path(), "ca.crt", &authority.certificate()),
        "cert_file": write(dir.path(), "tls.crt", &client.certificate),
        "key_file": write(dir.path(), "tls.key", &client.key),
    }});
    let agent = agent(&[endpoint(&collector, tls)], json!({}));
    Grpc::connect(&agent.grpc())
        .send(&Request::new(Signal::Traces, 0..10))
        .unwrap();
    agent.until_account("default", Signal::Traces, &Account::exported(10));
    assert!(collector.arrivals().iter().all(|arrival| arrival.certified));
}

/// The counterpart of the last test: it would prove nothing if anything got through here.
#[test]
fn a_collector_of_an_unknown_authority_gets_nothing() {
    let collector = Collector::start_with_tls(&Authority::new());
    let dir = TempDir::new().unwrap();
    let tls = json!({"tls": {"ca_file": write(dir.path(), "ca.crt", &Authority::new().certificate())}});
    let agent = agent(&[endpoint(&collector, tls)], json!({}));
    Grpc::connect(&agent.grpc())
        .send(&Request::new(Signal::Traces, 0..10))
        .unwrap();
    agent.until_requests("default", Signal::Traces, "retryable", 3);
    let held = Account {
        received: 10,
        held: 10,
        ..Account::default()
    };
    assert_eq!(agent.account("default", Signal::Traces), held);
    assert_eq!(collector.arrivals().len(), 0);
}

#[test]
fn a_header_that_changes_in_its_file_is_sent_without_a_new_start() {
    let collector = Collector::start();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("headers");
    fs::write(&file, "authorization: Bearer old").unwrap();
    let agent = agent(&[endpoint(&collector, json!({"headers_file": file}))], json!({}));
    let client = Grpc::connect(&agent.grpc());
    client.send(&Request::new(Signal::Traces, 0..1)).unwrap();
    assert_eq!(collector.until_arrived(1)[0].headers[AUTHORIZATION], "Bearer old");
    fs::write(&file, "authorization: Bearer new").unwrap();
    until_true("a request with the new header", || {
        client.send(&Request::new(Signal::Traces, 0..1)).unwrap();
        collector.arrivals().last().unwrap().headers[AUTHORIZATION] == "Bearer new"
    });
}

#[test]
fn a_certificate_that_is_replaced_is_shown_without_a_new_start() {
    let authority = Authority::new();
    let collector = Collector::start_with_tls(&authority);
    let dir = TempDir::new().unwrap();
    let show = |client: Certificate| {
        let cert_file = write(dir.path(), "tls.crt", &client.certificate);
        (cert_file, write(dir.path(), "tls.key", &client.key))
    };
    let (cert_file, key_file) = show(Authority::new().sign());
    let ca_file = write(dir.path(), "ca.crt", &authority.certificate());
    let tls = json!({"tls": {"ca_file": ca_file, "cert_file": cert_file, "key_file": key_file}});
    let agent = agent(&[endpoint(&collector, tls)], json!({}));
    Grpc::connect(&agent.grpc())
        .send(&Request::new(Signal::Traces, 0..10))
        .unwrap();
    agent.until_requests("default", Signal::Traces, "retryable", 1);
    assert_eq!(
        collector.arrivals().len(),
        0,
        "a stranger's certificate was enough"
    );
    show(authority.sign());
    agent.until_account("default", Signal::Traces, &Account::exported(10));
}

#[test]
fn each_signal_goes_where_it_is_wanted() {
    let (tempo, prometheus) = (Collector::start(), Collector::start());
    let endpoints = [
        endpoint(&tempo, json!({"name": "tempo", "signals": ["traces", "logs"]})),
        endpoint(
            &prometheus,
            json!({"name": "prometheus", "protocol": "http", "signals": ["metrics", "logs"]}),
        ),
    ];
    let agent = agent(&endpoints, json!({}));
    let client = Grpc::connect(&agent.grpc());
    for signal in Signal::ALL {
        client.send(&Request::new(signal, 0..20)).unwrap();
    }
    for (name, collector, signals) in [
        ("tempo", &tempo, [Signal::Traces, Signal::Logs]),
        ("prometheus", &prometheus, [Signal::Metrics, Signal::Logs]),
    ] {
        for signal in Signal::ALL {
            let items = if signals.contains(&signal) { 20 } else { 0 };
            agent.until_account(name, signal, &Account::exported(items));
            assert_eq!(collector.accepted(signal), (0..items).collect::<Vec<_>>());
        }
    }
}
