//! How we call others: no redirects, no proxies, no retries behind our back, no decompression, everything bounded.
//!
//! Everything that goes out passes one seam, [`Transport`]: [`HttpTransport`] in every program, a network without
//! sockets in the simulation (`docs/adr/0013`).

pub mod address;
pub mod resolver;
pub mod retry_after;
pub mod target_url;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode};
use reqwest::{Client, ClientBuilder, Response, redirect, retry};
use url::Url;

use crate::outbound::address::Allowed;
use crate::outbound::resolver::GuardedResolver;

/// The most we read of an answer.
pub const ANSWER_BYTES: usize = 256 * 1024;
/// The longest we wait for the first bytes of a body that are only for the history.
const EXCERPT_PATIENCE: Duration = Duration::from_secs(2);

/// The certificates we trust: `None` for the machine's own.
pub type Tls = Option<rustls::ClientConfig>;

/// Limits on one outgoing call.
#[derive(Debug, Clone)]
pub struct Timeouts {
    pub connect: Duration,
    /// Request sent and answer read.
    pub graph: Duration,
    pub token: Duration,
    pub callback: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            graph: Duration::from_secs(15),
            token: Duration::from_secs(10),
            callback: Duration::from_secs(15),
        }
    }
}

/// Which connection a call goes out on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To the configured hosts; connections are kept for a while.
    Kept,
    /// A connection of its own: a kept one that has died would look like a lost answer.
    Fresh,
    /// To hosts that a client or its configuration chooses: only permitted addresses, no connection shared.
    Guarded,
}

/// How much of an answer's body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// All of it, or none: `None` when it is cut off, too slow or longer than [`ANSWER_BYTES`].
    Whole,
    /// At most its first bytes, as far as they come within two seconds.
    First(usize),
}

/// One HTTP request, ready to be sent. It does not print: URL, headers and body may be secrets.
pub struct Call {
    pub route: Route,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub read: Read,
    /// Until the answer is read.
    pub timeout: Duration,
}

/// What came back. It does not print: the body may be a token.
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// As [`Read`] says.
    pub body: Option<Vec<u8>>,
}

/// Why there is no answer. Tells nothing of the URL: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Provably no byte of the request was sent.
    #[error("no connection")]
    NotSent,
    #[error("no answer in time")]
    TimedOut,
    #[error("the connection ended before the answer")]
    CutOff,
    /// Answered from an address that the guard forbids.
    #[error("the receiver's address must not be called")]
    Forbidden,
}

/// Sends a request once.
#[async_trait]
pub trait Transport: Send + Sync {
    async fn send(&self, call: Call) -> Result<Answered, Unanswered>;
}

/// The transport of every program: HTTP/1.1 over TCP and TLS.
pub struct HttpTransport {
    kept: Client,
    fresh: Client,
    guarded: Client,
    allowed: Arc<Allowed>,
}

impl HttpTransport {
    /// Fails only when no HTTP client can be built (no usable TLS roots).
    pub fn new(timeouts: &Timeouts, tls: &Tls, allowed: &Arc<Allowed>) -> reqwest::Result<Self> {
        Ok(Self {
            kept: pooled(timeouts, tls)?,
            fresh: bounded(timeouts, tls).pool_max_idle_per_host(0).build()?,
            guarded: guarded(timeouts, tls, allowed)?,
            allowed: Arc::clone(allowed),
        })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, call: Call) -> Result<Answered, Unanswered> {
        let client = match call.route {
            Route::Kept => &self.kept,
            Route::Fresh => &self.fresh,
            Route::Guarded => &self.guarded,
        };
        let (route, read) = (call.route, call.read);
        let request = client
            .request(call.method, call.url)
            .headers(call.headers)
            .body(call.body)
            .timeout(call.timeout);
        let response = request.send().await.map_err(|error| explain(&error))?;
        let peer = response.remote_addr().filter(|_| route == Route::Guarded);
        if peer.is_some_and(|peer| !self.allowed.permits(peer.ip())) {
            return Err(Unanswered::Forbidden);
        }
        Ok(Answered {
            status: response.status(),
            headers: response.headers().clone(),
            body: match read {
                Read::Whole => whole(response).await,
                Read::First(bytes) => Some(first(response, bytes).await),
            },
        })
    }
}

fn explain(error: &reqwest::Error) -> Unanswered {
    if error.is_connect() {
        Unanswered::NotSent
    } else if error.is_timeout() {
        Unanswered::TimedOut
    } else {
        Unanswered::CutOff
    }
}

/// For the configured hosts. Connections are kept for a while.
pub fn pooled(timeouts: &Timeouts, tls: &Tls) -> reqwest::Result<Client> {
    bounded(timeouts, tls)
        .pool_idle_timeout(Duration::from_secs(30))
        .build()
}

/// Resolves names through the guard; shares no connection between clients.
fn guarded(timeouts: &Timeouts, tls: &Tls, allowed: &Arc<Allowed>) -> reqwest::Result<Client> {
    let resolver = GuardedResolver {
        allowed: Arc::clone(allowed),
    };
    bounded(timeouts, tls)
        .pool_max_idle_per_host(0)
        .dns_resolver(resolver)
        .build()
}

fn bounded(timeouts: &Timeouts, tls: &Tls) -> ClientBuilder {
    let builder = match tls {
        Some(tls) => Client::builder().tls_backend_preconfigured(tls.clone()),
        None => Client::builder(),
    };
    builder
        .user_agent(concat!("graph-courier/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .http1_only()
        .connect_timeout(timeouts.connect)
}

/// The body, or `None` when it is cut off, too slow or longer than [`ANSWER_BYTES`].
async fn whole(mut response: Response) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if bytes.len() + chunk.len() > ANSWER_BYTES {
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes)
}

async fn first(mut response: Response, bytes: usize) -> Vec<u8> {
    let mut read = Vec::new();
    let enough = async {
        while read.len() < bytes
            && let Ok(Some(chunk)) = response.chunk().await
        {
            let room = bytes - read.len();
            read.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
    };
    // What has come by then is told; the status stands in any case.
    drop(tokio::time::timeout(EXCERPT_PATIENCE, enough).await);
    read
}
