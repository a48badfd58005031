//! Makes outgoing calls: without redirects, proxies of the environment, automatic retries or decompression, and with bounds on everything.
//!
//! Every call goes through the trait [`Transport`]: [`HttpTransport`] in every program, a network without sockets in
//! the simulation (`docs/adr/0013`).

pub mod address;
pub mod answer_body;
pub mod certificates;
pub(crate) mod holds;
pub mod proxy;
pub mod resolver;
pub mod retry_after;
pub mod sigv4;
pub(crate) mod spelling;
pub mod target_url;
pub mod token_answer;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{Client, ClientBuilder, Response, redirect, retry};
use url::Url;

use crate::outbound::address::Allowed;
use crate::outbound::answer_body::Unreadable;
use crate::outbound::proxy::Proxy;
use crate::outbound::resolver::{GuardedResolver, PlainResolver};
pub use crate::outbound::trouble::Trouble;

/// Maximum number of bytes that are read of an answer's body.
pub const ANSWER_BYTES: usize = 256 * 1024;
/// Most headers that an answer may have. hyper takes 100 by default, and an answer with more would count as lost.
const MAX_HEADERS: usize = 1000;
/// Longest wait for the first bytes of a body, which are wanted for the history only.
const EXCERPT_TIMEOUT: Duration = Duration::from_secs(2);

/// The TLS configuration with the certificates to trust; `None` for those of the machine.
pub type Tls = Option<rustls::ClientConfig>;

/// Timeouts of one outgoing call.
#[derive(Debug, Clone)]
pub struct Timeouts {
    pub connect: Duration,
    /// Time for sending a request to Graph and reading its answer.
    pub graph: Duration,
    pub token: Duration,
    /// Time for making a container.
    pub storage: Duration,
    pub callback: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            graph: Duration::from_secs(15),
            token: Duration::from_secs(10),
            storage: Duration::from_secs(5),
            callback: Duration::from_secs(15),
        }
    }
}

/// The connection that a call uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// A pooled connection to a configured host, which stays open for a while.
    Kept,
    /// A new connection to a configured host, because a dead pooled one looks like a lost answer.
    Fresh,
    /// A new connection to a host that a client or its configuration has chosen, at a permitted address only.
    Guarded,
}

/// The part of an answer's body that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// The whole body, unless it is cut off, too slow or longer than [`ANSWER_BYTES`].
    Whole,
    /// At most this number of first bytes, as far as they arrive within two seconds.
    First(usize),
}

/// One HTTP request, ready to be sent. It has no `Debug`, because URL, headers and body may be secrets.
pub struct Call {
    pub route: Route,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub read: Read,
    /// Time for sending the request and reading the answer.
    pub timeout: Duration,
}

/// The answer to a call. It has no `Debug`, because the body may be a token.
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The part of the body that [`Read`] requested.
    pub body: Result<Vec<u8>, Unreadable>,
}

/// The reason why a call has no answer. It contains no part of the URL, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// No connection was made, so certainly no byte of the request was sent.
    #[error("no connection: {0}")]
    NotSent(Trouble),
    #[error("no answer in time")]
    TimedOut,
    #[error("the connection ended before the answer")]
    CutOff,
    /// The answer came from an address that the outbound guard refuses.
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
    proxied: Option<Proxied>,
}

/// The clients whose calls go through a proxy.
struct Proxied {
    proxy: Proxy,
    kept: Client,
    fresh: Client,
}

impl HttpTransport {
    /// Creates the transport; fails only if no HTTP client can be built (no usable TLS roots).
    pub fn new(timeouts: &Timeouts, tls: &Tls, allowed: &Arc<Allowed>) -> reqwest::Result<Self> {
        Ok(Self {
            kept: pooled(timeouts, tls)?,
            fresh: fresh(timeouts, tls).build()?,
            guarded: guarded(timeouts, tls, allowed)?,
            allowed: Arc::clone(allowed),
            proxied: None,
        })
    }

    /// Returns this transport with calls that go through a proxy, if there is one.
    pub fn behind(
        self,
        proxy: Option<&Proxy>,
        timeouts: &Timeouts,
        tls: &Tls,
    ) -> reqwest::Result<Self> {
        let proxied = |proxy: &Proxy| {
            Ok(Proxied {
                kept: proxy.client(pooling(timeouts, tls))?,
                fresh: proxy.client(fresh(timeouts, tls))?,
                proxy: proxy.clone(),
            })
        };
        Ok(Self {
            proxied: proxy.map(proxied).transpose()?,
            ..self
        })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, call: Call) -> Result<Answered, Unanswered> {
        let proxied = self.proxied.as_ref();
        let proxied = proxied.filter(|proxied| proxied.proxy.carries(&call.url));
        let client = match (call.route, proxied) {
            (Route::Kept, Some(proxied)) => &proxied.kept,
            (Route::Fresh | Route::Guarded, Some(proxied)) => &proxied.fresh,
            (Route::Kept, None) => &self.kept,
            (Route::Fresh, None) => &self.fresh,
            (Route::Guarded, None) => &self.guarded,
        };
        let (route, read) = (call.route, call.read);
        let mut headers = call.headers;
        // Without it a server may choose any coding (RFC 9110 §12.5.3), and this client reads none.
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        let request = client
            .request(call.method, call.url)
            .headers(headers)
            .body(call.body)
            .timeout(call.timeout);
        let is_proxied = proxied.is_some();
        let response = request.send().await;
        let response = response.map_err(|error| explain(&error, is_proxied))?;
        // Through a proxy the peer is the proxy.
        let is_guarded = route == Route::Guarded && !is_proxied;
        let peer = response.remote_addr().filter(|_| is_guarded);
        if peer.is_some_and(|peer| !self.allowed.permits(peer.ip())) {
            return Err(Unanswered::Forbidden);
        }
        Ok(Answered {
            status: response.status(),
            headers: response.headers().clone(),
            body: match read {
                Read::Whole => whole(response).await,
                Read::First(bytes) => Ok(first(response, bytes).await),
            },
        })
    }
}

fn explain(error: &reqwest::Error, is_proxied: bool) -> Unanswered {
    if error.is_connect() {
        let trouble = Trouble::of(error);
        Unanswered::NotSent(if is_proxied {
            trouble.at_proxy()
        } else {
            trouble
        })
    } else if error.is_timeout() {
        Unanswered::TimedOut
    } else {
        Unanswered::CutOff
    }
}

/// Creates a client for the configured hosts, whose idle connections stay open for 30 seconds.
pub fn pooled(timeouts: &Timeouts, tls: &Tls) -> reqwest::Result<Client> {
    pooling(timeouts, tls).build()
}

fn pooling(timeouts: &Timeouts, tls: &Tls) -> ClientBuilder {
    bounded(timeouts, tls).pool_idle_timeout(Duration::from_secs(30))
}

/// Creates a client that reuses no connection, so a header that cannot be read may be skipped: what follows is no
/// other answer. The answer to a start would count as lost because of it.
fn fresh(timeouts: &Timeouts, tls: &Tls) -> ClientBuilder {
    bounded(timeouts, tls)
        .pool_max_idle_per_host(0)
        .http1_ignore_invalid_headers_in_responses(true)
}

/// Creates a client that resolves names through the outbound guard and reuses no connection.
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
        .http1_max_headers(MAX_HEADERS)
        // A field that goes on in the next line is obsolete, not invalid: the break counts as a space (RFC 9112 §5.2).
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .dns_resolver(PlainResolver)
        .connect_timeout(timeouts.connect)
}

async fn whole(mut response: Response) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Unreadable::CutOff)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES {
            return Err(Unreadable::TooLong);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
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
    // A timeout is no error: the bytes read so far are used, and the status is known in any case.
    drop(tokio::time::timeout(EXCERPT_TIMEOUT, enough).await);
    read
}
