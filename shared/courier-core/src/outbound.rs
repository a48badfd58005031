//! How we call others: no redirects, no proxies, no retries behind our back, no decompression, everything bounded.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, redirect, retry};

use crate::address::Allowed;
use crate::resolver::GuardedResolver;

/// The most we read of an answer.
pub const ANSWER_BYTES: usize = 256 * 1024;

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

/// For the configured hosts. Connections are kept for a while.
pub fn pooled(timeouts: &Timeouts, tls: &Tls) -> reqwest::Result<Client> {
    bounded(timeouts, tls)
        .pool_idle_timeout(Duration::from_secs(30))
        .build()
}

/// For starts: a kept connection that has died would look like a lost answer.
pub fn fresh(timeouts: &Timeouts, tls: &Tls) -> reqwest::Result<Client> {
    bounded(timeouts, tls).pool_max_idle_per_host(0).build()
}

/// For hosts that a client chooses: only permitted addresses, and no connection shared between clients.
pub fn guarded(timeouts: &Timeouts, tls: &Tls, allowed: &Arc<Allowed>) -> reqwest::Result<Client> {
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
pub async fn body(mut response: Response) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if bytes.len() + chunk.len() > ANSWER_BYTES {
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes)
}
