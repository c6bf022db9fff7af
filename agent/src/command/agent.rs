//! A running agent, asked over its admin address.
//!
//! In: a path. Out: its answer. Whoever has the agent's configuration shows its bearer token, and knows its certificate.

use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use innerspan::admin;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

/// Where an agent answers that is told nothing else.
const ADDRESS: &str = "http://127.0.0.1:9464";

/// Longer than an agent takes that answers at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of an answer; a trace of a thousand spans has a megabyte.
const MAX_ANSWER: usize = 64 << 20;

/// Where an agent answers, and how to speak to it.
#[derive(Debug)]
pub(super) struct Agent {
    address: Uri,
    authorization: Option<HeaderValue>,
    tls: ClientConfig,
}

/// What it said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    text: String,
}

impl Answer {
    /// The text of an answer that is one.
    pub(super) fn good(&self) -> anyhow::Result<&str> {
        let said = self.text.trim_end();
        match self.status {
            StatusCode::OK => Ok(&self.text),
            StatusCode::UNAUTHORIZED => bail!("{said}: name the agent's configuration with --config"),
            status => bail!("the agent answered {status}: {said}"),
        }
    }
}

// === impl Agent ===

impl Agent {
    /// The agent of a configuration, at its own address if no other is given.
    pub(super) fn new(address: Option<&Uri>, admin: Option<&admin::Config>) -> anyhow::Result<Self> {
        let address = match (address, admin) {
            (Some(address), _) => address.clone(),
            (None, Some(admin)) => own_address(admin)?,
            (None, None) => Uri::from_static(ADDRESS),
        };
        ensure!(
            address.scheme().is_some() && address.authority().is_some(),
            "{address} is no address of an agent: expected a URL, for example {ADDRESS}"
        );
        Ok(Self {
            address,
            authorization: admin.map(authorization).transpose()?.flatten(),
            tls: tls(admin.and_then(|admin| admin.tls.as_ref()))?,
        })
    }

    /// Asks with a runtime of its own: there is nothing else to do meanwhile.
    pub(super) fn ask(&self, path: &str) -> anyhow::Result<Answer> {
        let runtime = super::control_runtime()?;
        let asked = async { tokio::time::timeout(PATIENCE, self.exchange(path)).await };
        runtime
            .block_on(asked)
            .with_context(|| format!("no answer of the agent at {self} within {PATIENCE:?}"))?
            .with_context(|| format!("ask the agent at {self}"))
    }

    async fn exchange(&self, path: &str) -> anyhow::Result<Answer> {
        let mut uri = self.address.clone().into_parts();
        uri.path_and_query = Some(PathAndQuery::try_from(path)?);
        let mut request = Request::get(Uri::from_parts(uri)?);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http();
        let client = Client::builder(TokioExecutor::new()).build(https.enable_http1().wrap_connector(tcp));
        let response = client.request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body
            .map_err(anyhow::Error::from_boxed)
            .context("read the answer")?;
        Ok(Answer {
            status,
            text: String::from_utf8(body.to_bytes().into()).context("read the answer")?,
        })
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address.to_string().trim_end_matches('/'))
    }
}

/// The address that is listened on, where "any" is this machine's own.
fn own_address(admin: &admin::Config) -> anyhow::Result<Uri> {
    let ip = match admin.address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    ensure!(
        admin.address.port() != 0,
        "the configuration leaves the port of admin.address to the system: name the address with --address"
    );
    let scheme = if admin.tls.is_some() { "https" } else { "http" };
    let address = SocketAddr::new(ip, admin.address.port());
    Ok(format!("{scheme}://{address}").parse()?)
}

fn authorization(admin: &admin::Config) -> anyhow::Result<Option<HeaderValue>> {
    let Some(file) = &admin.bearer_token_file else {
        return Ok(None);
    };
    let token = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .with_context(|| format!("use the token in {}", file.display()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Whoever can read the agent's certificate takes that one and no other; who cannot asks the system's authorities.
fn tls(files: Option<&admin::Tls>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let Some(files) = files else {
        // A scratch container without authorities is asked in plain text, and needs none.
        return Ok(match builder.clone().with_native_roots() {
            Ok(builder) => builder.with_no_client_auth(),
            Err(_none) => builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        });
    };
    let certificate = CertificateDer::from_pem_file(&files.cert_file)
        .with_context(|| format!("read {}", files.cert_file.display()))?;
    let known = Known {
        certificate,
        algorithms,
    };
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(known))
        .with_no_client_auth())
}

/// The one certificate that is taken. Its names say nothing: the agent may be asked on its loopback.
#[derive(Debug)]
struct Known {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        let text = "the certificate is not that of the configuration".to_owned();
        Err(rustls::Error::General(text))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use innerspan::{
        admin::{Server, Tls, View},
        model::Watchdog,
    };
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// An agent with a certificate of its own, which names nothing that it is asked by.
    struct Served {
        admin: admin::Config,
        _runtime: tokio::runtime::Runtime,
        _dir: tempfile::TempDir,
    }

    fn served() -> Served {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["somewhere.else".to_owned()]).unwrap();
        let tls = Tls {
            cert_file: dir.path().join("cert.pem"),
            key_file: dir.path().join("key.pem"),
        };
        fs::write(&tls.cert_file, made.cert.pem()).unwrap();
        fs::write(&tls.key_file, made.signing_key.serialize_pem()).unwrap();
        let mut admin = admin::Config {
            address: SocketAddr::from(([0; 4], 0)),
            bearer_token_file: None,
            tls: Some(tls),
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = Server::bind(&admin).unwrap();
        admin.address.set_port(server.local_addr().unwrap().port());
        let (_, phase) = watch::channel(admin::Phase::Running);
        let view = View {
            metrics: Box::new(|| Ok(String::new())),
            families: watch::channel(Arc::default()).1,
            traces: Box::new(|_| Box::pin(async { Ok("{}".to_owned()) })),
            watchdog: Mutex::new(Watchdog::new(PATIENCE, [])),
            phase,
        };
        runtime.spawn(server.run(view, CancellationToken::new()));
        Served {
            admin,
            _runtime: runtime,
            _dir: dir,
        }
    }

    #[test]
    fn the_certificate_of_the_configuration_is_taken_and_no_other() {
        let (one, other) = (served(), served());
        let agent = Agent::new(None, Some(&one.admin)).unwrap();
        assert_eq!(agent.ask("/traces").unwrap().good().unwrap(), "{}");
        assert_eq!(
            agent.to_string(),
            format!("https://127.0.0.1:{}", one.admin.address.port())
        );
        let address = format!("https://127.0.0.1:{}", other.admin.address.port());
        let address = address.parse().unwrap();
        for admin in [Some(&one.admin), None] {
            let agent = Agent::new(Some(&address), admin).unwrap();
            let fault = format!("{:#}", agent.ask("/traces").unwrap_err());
            assert!(fault.contains("certificate"), "{fault}");
        }
    }
}
