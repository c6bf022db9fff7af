//! A collector that answers as it is told and remembers all that it got.
//!
//! In: OTLP/gRPC and OTLP/HTTP on one port of the loopback. Out: [`Arrival`]s, each with the answer it got.
//! It runs in a runtime of its own, so that ending it ends every connection at once, as a crash would.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use innerspan::model::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::Runtime,
};
use tonic::{
    service::Routes,
    transport::{Certificate as Pem, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::{
    authority::{Authority, Certificate},
    patience::until,
    request::Request,
};

mod grpc;
mod http1;

/// What the collector says to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Accept,
    /// Accepts the request but for so many of its items.
    Partial(u64),
    /// `UNAVAILABLE` or 503, and after which time to come again.
    Unavailable(Option<Duration>),
    /// `RESOURCE_EXHAUSTED` in the words of grpc-go, or 413.
    TooLarge,
    /// `RESOURCE_EXHAUSTED` that does not say of what, or 429.
    Exhausted,
    /// `INVALID_ARGUMENT` or 400.
    Malformed,
    /// Says nothing as long as the collector lives.
    Hang,
}

/// A request, and what became of it.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub request: Request,
    /// The request as it came, decompressed.
    pub message: Bytes,
    pub headers: HeaderMap,
    /// Whether the client showed a certificate.
    pub certified: bool,
    pub at: Instant,
    pub answer: Answer,
}

type Script = Box<dyn FnMut(&Request) -> Answer + Send>;

/// What outlives the server.
struct Record {
    script: Mutex<Script>,
    arrivals: Mutex<Vec<Arrival>>,
}

/// The credentials of a server that asks its clients for theirs.
#[derive(Debug)]
struct Credentials {
    authority: String,
    certificate: Certificate,
}

/// A collector on a port of its own.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    /// Bound and never listening: it keeps the port from other tests while the collector is away.
    _port: TcpSocket,
    credentials: Option<Credentials>,
    record: Arc<Record>,
    server: Option<Runtime>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(lock(&self.arrivals).iter()).finish()
    }
}

/// A test that panicked in between has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a response says that takes all items, or all but some: the same fields for every signal.
fn response(rejected: Option<u64>) -> Bytes {
    let partial_success = rejected.map(|rejected| ExportTracePartialSuccess {
        rejected_spans: rejected.try_into().unwrap(),
        error_message: "as the script says".to_owned(),
    });
    ExportTraceServiceResponse { partial_success }
        .encode_to_vec()
        .into()
}

// === impl Record ===

impl Record {
    fn take(&self, signal: Signal, message: Bytes, headers: HeaderMap, certified: bool) -> Answer {
        let request = Request::decode(signal, &message);
        let mut arrivals = lock(&self.arrivals);
        let answer = lock(&self.script)(&request);
        let at = Instant::now();
        arrivals.push(Arrival {
            request,
            message,
            headers,
            certified,
            at,
            answer: answer.clone(),
        });
        answer
    }
}

// === impl Collector ===

impl Collector {
    /// One that accepts everything.
    #[must_use]
    pub fn start() -> Self {
        Self::with(None)
    }

    /// One with TLS, that accepts everything from clients whose certificate the authority signed.
    #[must_use]
    pub fn start_with_tls(authority: &Authority) -> Self {
        Self::with(Some(Credentials {
            authority: authority.certificate(),
            certificate: authority.sign(),
        }))
    }

    fn with(credentials: Option<Credentials>) -> Self {
        let record = Record {
            script: Mutex::new(Box::new(|_| Answer::Accept)),
            arrivals: Mutex::default(),
        };
        let port = TcpSocket::new_v4().unwrap();
        port.set_reuseaddr(true).unwrap();
        port.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let mut collector = Self {
            address: port.local_addr().unwrap(),
            _port: port,
            credentials,
            record: Arc::new(record),
            server: None,
        };
        collector.resume();
        collector
    }

    /// Listens again, where it did before.
    pub fn resume(&mut self) {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind(self.address)).unwrap();
        let mut server = Server::builder().accept_http1(true);
        if let Some(Credentials {
            authority,
            certificate: Certificate { certificate, key },
        }) = &self.credentials
        {
            let tls = ServerTlsConfig::new()
                .identity(Identity::from_pem(certificate, key))
                .client_ca_root(Pem::from_pem(authority));
            server = server.tls_config(tls).unwrap();
        }
        let routes = grpc::routes(&self.record).merge(http1::routes(&self.record));
        let serving = server
            .add_routes(Routes::from(routes))
            .serve_with_incoming(TcpIncoming::from(listener));
        runtime.spawn(serving);
        self.server = Some(runtime);
    }

    /// Goes away: connections break, and new ones are refused.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.server.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }

    /// For the configuration of the agent.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.credentials.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// From now on answers as the script says.
    pub fn answer(&self, script: impl FnMut(&Request) -> Answer + Send + 'static) {
        *lock(&self.record.script) = Box::new(script);
    }

    /// Requests so far, in their order.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        lock(&self.record.arrivals).clone()
    }

    /// Numbers of all items of a signal that it accepted, in rising order, with those that came twice.
    #[must_use]
    pub fn accepted(&self, signal: Signal) -> Vec<u64> {
        let arrivals = lock(&self.record.arrivals);
        let accepted = arrivals
            .iter()
            .filter(|arrival| matches!(arrival.answer, Answer::Accept | Answer::Partial(_)))
            .filter(|arrival| arrival.request.signal() == signal);
        let mut numbers: Vec<_> = accepted.flat_map(|arrival| arrival.request.numbers()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Waits for so many accepted items of a signal, and returns their numbers.
    pub fn until_accepted(&self, signal: Signal, items: u64) -> Vec<u64> {
        until(
            &format!("{items} items of {} at the collector", signal.as_str()),
            || {
                let numbers = self.accepted(signal);
                (numbers.len() as u64 >= items).then_some(numbers)
            },
        )
    }

    /// Waits for so many requests, whatever became of them.
    pub fn until_arrived(&self, requests: usize) -> Vec<Arrival> {
        until(&format!("{requests} requests at the collector"), || {
            let arrivals = self.arrivals();
            (arrivals.len() >= requests).then_some(arrivals)
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop();
    }
}
