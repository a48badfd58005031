//! Access tokens: fetched once, kept in memory, renewed early. A refresh token rotates at every use: the store keeps
//! the newest one sealed, and one process at a time uses it
//! (`docs/graph-behaviour.md`, Tokens and clouds).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use url::Url;

use crate::cached::{Cached, Failure, Lease, Unavailable};
use crate::catalogue::TokenKind;
use crate::config::Tenant;
use crate::crypto::hmac::Encoding;
use crate::crypto::seal::{Sealed, Sealer};
use crate::crypto::secret::Secret;
use crate::graph::token_endpoint::{TokenEndpoint, refused, temporary};
use crate::graph::unavailable::{Cause, NotReady};
use crate::operation::Reason;
use crate::outbound::Transport;
use crate::outbound::token_answer::Grant;
use crate::ports::{Document, Store};
use crate::time::{Clock, elapsed, later};

/// Time before its expiry at which a token is renewed.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(300);
/// Time before its expiry at which a token is no longer used, so that it is still valid when Graph reads it.
const UNUSED_BEFORE_EXPIRY: Duration = Duration::from_secs(60);
/// Time for which a token counts as fresh: it has every permission that could be had.
const FRESH: Duration = Duration::from_secs(60);
/// Time that a process has for one refresh before another process may try.
const REFRESH_LEASE: Duration = Duration::from_secs(30);
/// Time that the reads and writes around the request of a delegated token may take.
const STORE_TIME: Duration = Duration::from_secs(5);

/// The access tokens for Graph of all tenants.
pub(crate) struct Tokens {
    endpoint: TokenEndpoint,
    scope: String,
    store: Arc<dyn Store>,
    clock: Clock,
    cached: Mutex<CachedTokens>,
    refused: AtomicBool,
    requests: Arc<Mutex<TokenRequests>>,
}

/// Requests for a token by name of the tenant and result: `granted`, `refused` (somebody has to mend something) or `failed`.
pub(crate) type TokenRequests = BTreeMap<(String, &'static str), u64>;

/// The tokens in memory, by name of the tenant.
type CachedTokens = HashMap<(String, TokenKind), Arc<Cached<Secret, NotReady>>>;

/// The stored form of a tenant's rotated refresh token.
#[derive(Serialize, Deserialize)]
struct Rotation {
    /// Hash of the configured token that the chain of rotations began with; another configured token begins a new one.
    seed: String,
    token: Option<Sealed>,
    leased_until: Option<Timestamp>,
}

impl Tokens {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        login: Url,
        graph: &Url,
        timeout: Duration,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Self {
        Self {
            endpoint: TokenEndpoint {
                transport,
                login,
                timeout,
                clock: Arc::clone(&clock),
                holds: Arc::default(),
            },
            scope: format!("{}/.default", graph.origin().ascii_serialization()),
            store,
            clock,
            cached: Mutex::default(),
            refused: AtomicBool::new(false),
            requests: Arc::default(),
        }
    }

    /// Returns these with the pauses that login hosts have asked `former` for, and with its counts.
    pub(crate) fn succeeding(mut self, former: &Self) -> Self {
        self.endpoint.holds = Arc::clone(&former.endpoint.holds);
        self.requests = Arc::clone(&former.requests);
        self
    }

    /// Returns a token of the tenant, from memory if it is still valid.
    ///
    /// The error names the time to wait: until then nobody asks for this token.
    pub(crate) async fn get(
        &self,
        tenant: &Tenant,
        kind: TokenKind,
        sealer: &Sealer,
    ) -> Result<Secret, NotReady> {
        let cached = self.cached(&tenant.name, kind);
        let token = cached.get(&self.clock, |_| true, || self.fetch(tenant, kind, sealer));
        token.await.map_err(|Unavailable { error, not_before }| {
            let waiting = "another request for the token is still under way";
            let error = error.unwrap_or_else(|| temporary(waiting, None).error);
            NotReady {
                retry_after: Some(elapsed((self.clock)(), not_before)),
                ..error
            }
        })
    }

    /// Returns a token of the tenant if there is one in memory that need not be renewed.
    pub(crate) fn current(&self, tenant: &Tenant, kind: TokenKind) -> Option<Secret> {
        self.cached(&tenant.name, kind).current((self.clock)())
    }

    /// Returns how long nobody asks for a token of the tenant, because the last request for one failed.
    pub(crate) fn pause_left(&self, tenant: &str, kind: TokenKind) -> Option<Duration> {
        self.cached(tenant, kind).pause_left((self.clock)())
    }

    /// Drops a token that Graph refused, so that the next call of `get` fetches another.
    ///
    /// Keeps the token in memory if it has been replaced since.
    pub(crate) fn forget(&self, tenant: &Tenant, kind: TokenKind, refused: &Secret) {
        self.cached(&tenant.name, kind)
            .forget(|token| token == refused);
    }

    /// Drops a token that lacks a permission, unless it is fresh: a permission granted since is only in a new token.
    pub(crate) fn forget_old(&self, tenant: &Tenant, kind: TokenKind, refused: &Secret) {
        self.cached(&tenant.name, kind)
            .forget_old(|token| token == refused, (self.clock)());
    }

    /// Reports whether a token request was refused since the last call of this function.
    pub(crate) fn refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }

    /// Returns the requests for tokens since the start of the process.
    pub(crate) fn requests(&self) -> TokenRequests {
        let requests = self.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, tenant: &Tenant, result: &'static str) {
        let requests = self.requests.lock();
        let mut requests = requests.unwrap_or_else(PoisonError::into_inner);
        *requests.entry((tenant.name.clone(), result)).or_default() += 1;
    }

    fn cached(&self, tenant: &str, kind: TokenKind) -> Arc<Cached<Secret, NotReady>> {
        let mut all = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = self.endpoint.timeout + STORE_TIME;
        let new = || Arc::new(Cached::new(patience));
        Arc::clone(all.entry((tenant.to_owned(), kind)).or_insert_with(new))
    }

    async fn fetch(
        &self,
        tenant: &Tenant,
        kind: TokenKind,
        sealer: &Sealer,
    ) -> Result<Lease<Secret>, Failure<NotReady>> {
        let granted = match kind {
            TokenKind::Application => self.application(tenant).await,
            TokenKind::Delegated => {
                let limit = self.endpoint.timeout + STORE_TIME;
                let granted = timeout(limit, self.delegated(tenant, sealer)).await;
                granted.unwrap_or_else(|_| Err(temporary("no token in time", None)))
            }
        };
        let result = match &granted {
            Ok(_) => "granted",
            Err(failure) if failure.error.reason.is_some() => "refused",
            Err(_) => "failed",
        };
        self.count(tenant, result);
        if result == "refused" {
            self.refused.store(true, Ordering::Relaxed);
        }
        let grant = granted?;
        let now = (self.clock)();
        let after = |before_expiry| {
            let lifetime = grant.lifetime;
            later(
                now,
                lifetime.saturating_sub(before_expiry).max(lifetime / 2),
            )
        };
        Ok(Lease {
            renew_at: after(RENEW_BEFORE_EXPIRY),
            expires_at: after(UNUSED_BEFORE_EXPIRY),
            refetch_at: later(now, FRESH),
            value: grant.access_token,
        })
    }

    async fn application(&self, tenant: &Tenant) -> Result<Grant, Failure<NotReady>> {
        let grant = [
            ("grant_type", "client_credentials"),
            ("scope", self.scope.as_str()),
        ];
        self.endpoint.request(tenant, &grant).await
    }

    async fn delegated(
        &self,
        tenant: &Tenant,
        sealer: &Sealer,
    ) -> Result<Grant, Failure<NotReady>> {
        let configured = tenant
            .refresh_token
            .as_ref()
            .ok_or_else(|| refused("the tenant has no refresh token"))?;
        let key = format!("refresh-token/{}", tenant.name);
        let stored = self
            .store
            .load_document(&key)
            .await
            .map_err(|_| store_failed())?;
        let (revision, mut rotation) = read_rotation(stored, configured);
        let now = (self.clock)();
        if rotation.leased_until.is_some_and(|until| now < until) {
            return Err(refreshed_elsewhere());
        }
        let current = match &rotation.token {
            None => configured.clone(),
            Some(sealed) => sealer.open(&key, sealed).map_err(|_| Failure {
                error: NotReady {
                    reason: Some(Reason::SealedDataUnreadable),
                    ..refused("the stored refresh token cannot be opened").error
                },
                retry_after: Some(REFRESH_LEASE * 2),
            })?,
        };
        rotation.leased_until = Some(later(now, REFRESH_LEASE));
        if !self.save(&key, revision, &rotation).await? {
            return Err(refreshed_elsewhere());
        }
        let scope = format!("{} offline_access", self.scope);
        let form = [
            ("grant_type", "refresh_token"),
            ("scope", scope.as_str()),
            ("refresh_token", current.expose()),
        ];
        let granted = self.endpoint.request(tenant, &form).await;
        if let Ok(Grant {
            refresh_token: Some(newest),
            ..
        }) = &granted
        {
            rotation.token = Some(sealer.seal(&key, newest));
        }
        rotation.leased_until = None;
        // If this write is lost, the old refresh token is still valid: Entra does not revoke it.
        self.save(&key, revision + 1, &rotation).await?;
        granted
    }

    async fn save(
        &self,
        key: &str,
        revision: u64,
        rotation: &Rotation,
    ) -> Result<bool, Failure<NotReady>> {
        let body = serde_json::to_string(rotation).map_err(|_| store_failed())?;
        self.store
            .swap_document(key, revision, &body)
            .await
            .map_err(|_| store_failed())
    }
}

fn store_failed() -> Failure<NotReady> {
    temporary("the store of the refresh token failed", None)
}

/// Another process has its turn with the refresh token.
fn refreshed_elsewhere() -> Failure<NotReady> {
    Failure {
        error: NotReady {
            reason: None,
            detail: None,
            retry_after: None,
            cause: Cause::Turn,
        },
        retry_after: None,
    }
}

fn read_rotation(stored: Option<Document>, configured: &Secret) -> (u64, Rotation) {
    let seed = Encoding::Hex.encode(&Sha256::digest(configured.expose()));
    let revision = stored.as_ref().map_or(0, |document| document.revision);
    let known = stored.and_then(|document| serde_json::from_str::<Rotation>(&document.body).ok());
    let same = known.filter(|rotation| rotation.seed == seed);
    (
        revision,
        same.unwrap_or(Rotation {
            seed,
            token: None,
            leased_until: None,
        }),
    )
}
