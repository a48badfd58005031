//! Access tokens: fetched once, kept in memory, renewed early. A refresh token rotates at every use: the store keeps
//! the newest one sealed, and one process at a time uses it
//! (`docs/graph-behaviour.md`, Tokens and clouds).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use crate::catalogue::TokenKind;
use crate::config::Tenant;
use crate::crypto::hmac::Encoding;
use crate::crypto::seal::{Sealed, Sealer};
use crate::crypto::secret::Secret;
use crate::graph::unavailable::NotReady;
use crate::operation::Reason;
use crate::outbound::retry_after;
use crate::outbound::{Call, Read, Route, Transport};
use crate::ports::{Document, Store};
use crate::time::Clock;
use crate::time::later;

/// Time before its expiry at which a token is renewed.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(300);
/// Time for which a refusal is remembered, so that a thousand waiting operations cause one request.
const REFUSAL_RETENTION: Duration = Duration::from_secs(60);
/// Time that a process has for one refresh before another process may try.
const REFRESH_LEASE: Duration = Duration::from_secs(30);

/// The access tokens for Graph of all tenants.
pub(crate) struct Tokens {
    transport: Arc<dyn Transport>,
    login: Url,
    scope: String,
    timeout: Duration,
    store: Arc<dyn Store>,
    clock: Clock,
    slots: std::sync::Mutex<Slots>,
    refused: AtomicBool,
}

/// The tokens in memory, each with its own lock, so that a token is fetched once however many tasks wait for it.
type Slots = HashMap<(String, TokenKind), Arc<Mutex<Slot>>>;

#[derive(Default)]
struct Slot {
    token: Option<(Secret, Timestamp)>,
    refused: Option<(NotReady, Timestamp)>,
}

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
        let scope = format!("{}/.default", graph.origin().ascii_serialization());
        Self {
            transport,
            login,
            scope,
            timeout,
            store,
            clock,
            slots: std::sync::Mutex::default(),
            refused: AtomicBool::new(false),
        }
    }

    /// Returns a token of the tenant, from memory if it is still valid.
    pub(crate) async fn get(
        &self,
        tenant: &Tenant,
        kind: TokenKind,
        sealer: &Sealer,
    ) -> Result<Secret, NotReady> {
        let slot = self.slot(&tenant.name, kind);
        let mut slot = slot.lock().await;
        let now = (self.clock)();
        if let Some((token, until)) = &slot.token
            && now < *until
        {
            return Ok(token.clone());
        }
        if let Some((not_ready, until)) = &slot.refused
            && now < *until
        {
            return Err(not_ready.clone());
        }
        let fetched = match kind {
            TokenKind::Application => self.application(tenant).await,
            TokenKind::Delegated => self.delegated(tenant, sealer).await,
        };
        match fetched {
            Ok(grant) => {
                let lifetime = Duration::from_secs(grant.expires_in);
                let kept = lifetime
                    .saturating_sub(RENEW_BEFORE_EXPIRY)
                    .max(lifetime / 2);
                slot.token = Some((grant.access_token.clone(), later(now, kept)));
                slot.refused = None;
                Ok(grant.access_token)
            }
            Err(not_ready) => {
                if not_ready.reason.is_some() {
                    tracing::warn!(
                        tenant = tenant.name,
                        kind = kind.as_str(),
                        "could not get a token; the operations of this tenant that need it wait"
                    );
                    self.refused.store(true, Ordering::Relaxed);
                    slot.refused = Some((not_ready.clone(), later(now, REFUSAL_RETENTION)));
                }
                Err(not_ready)
            }
        }
    }

    /// Drops a token that Graph refused, so that the next call of `get` fetches another.
    ///
    /// Keeps the token in memory if it has been replaced since.
    pub(crate) async fn forget(&self, tenant: &Tenant, kind: TokenKind, refused: &Secret) {
        let slot = self.slot(&tenant.name, kind);
        let mut slot = slot.lock().await;
        if slot
            .token
            .as_ref()
            .is_some_and(|(token, _)| token == refused)
        {
            slot.token = None;
        }
    }

    /// Reports whether a token request was refused since the last call of this function.
    pub(crate) fn refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }

    fn slot(&self, tenant: &str, kind: TokenKind) -> Arc<Mutex<Slot>> {
        let mut slots = self
            .slots
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(slots.entry((tenant.to_owned(), kind)).or_default())
    }

    async fn application(&self, tenant: &Tenant) -> Result<Grant, NotReady> {
        self.request(
            tenant,
            &[("grant_type", "client_credentials"), ("scope", &self.scope)],
        )
        .await
    }

    async fn delegated(&self, tenant: &Tenant, sealer: &Sealer) -> Result<Grant, NotReady> {
        let configured = tenant
            .refresh_token
            .as_ref()
            .ok_or_else(authorization_lost)?;
        let key = format!("refresh-token/{}", tenant.name);
        let stored = self
            .store
            .load_document(&key)
            .await
            .map_err(|_| try_later())?;
        let (revision, mut rotation) = read_rotation(stored, configured);
        let now = (self.clock)();
        if rotation.leased_until.is_some_and(|until| now < until) {
            return Err(try_later());
        }
        let current = match &rotation.token {
            None => configured.clone(),
            Some(sealed) => sealer.open(&key, sealed).map_err(|_| NotReady {
                reason: Some(Reason::SealedDataUnreadable),
                retry_after: None,
            })?,
        };
        rotation.leased_until = Some(later(now, REFRESH_LEASE));
        if !self.save(&key, revision, &rotation).await? {
            return Err(try_later());
        }
        let scope = format!("{} offline_access", self.scope);
        let form = [
            ("grant_type", "refresh_token"),
            ("scope", scope.as_str()),
            ("refresh_token", current.expose()),
        ];
        let granted = self.request(tenant, &form).await;
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

    async fn save(&self, key: &str, revision: u64, rotation: &Rotation) -> Result<bool, NotReady> {
        let body = serde_json::to_string(rotation).map_err(|_| try_later())?;
        self.store
            .swap_document(key, revision, &body)
            .await
            .map_err(|_| try_later())
    }

    async fn request(&self, tenant: &Tenant, grant: &[(&str, &str)]) -> Result<Grant, NotReady> {
        let mut url = self.login.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend([tenant.tenant_id.as_str(), "oauth2", "v2.0", "token"]);
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &tenant.client_id)
            .append_pair("client_secret", tenant.client_secret.expose())
            .extend_pairs(grant)
            .finish();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let sent = self.transport.send(Call {
            route: Route::Kept,
            method: Method::POST,
            url,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, form_type)]),
            body: form.into_bytes(),
            read: Read::Whole,
            timeout: self.timeout,
        });
        let answered = sent.await.map_err(|error| {
            tracing::warn!(%error, "the token endpoint did not answer; trying again later");
            try_later()
        })?;
        let status = answered.status;
        let headers = &answered.headers;
        let retry_after = retry_after::parse(
            headers.get("retry-after"),
            headers.get("date"),
            (self.clock)(),
        );
        let body = answered.body.ok_or_else(try_later)?;
        if status == StatusCode::OK {
            return Grant::parse(&body).ok_or_else(try_later);
        }
        Err(refusal(status, &body, retry_after))
    }
}

struct Grant {
    access_token: Secret,
    refresh_token: Option<Secret>,
    expires_in: u64,
}

impl Grant {
    fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: String,
            refresh_token: Option<String>,
            expires_in: u64,
        }
        let wire: Wire = serde_json::from_slice(body).ok()?;
        Some(Self {
            access_token: Secret::new(wire.access_token),
            refresh_token: wire.refresh_token.map(Secret::new),
            expires_in: wire.expires_in,
        })
    }
}

/// A client must not branch on AADSTS numbers, only on `error`
/// (`docs/graph-behaviour.md`, Tokens and clouds).
fn refusal(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> NotReady {
    #[derive(Deserialize)]
    struct Wire {
        error: String,
    }
    let temporary = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    let error = serde_json::from_slice::<Wire>(body)
        .ok()
        .map(|wire| wire.error);
    match error.as_deref() {
        Some("temporarily_unavailable") => NotReady {
            reason: None,
            retry_after,
        },
        _ if temporary => NotReady {
            reason: None,
            retry_after,
        },
        _ => NotReady {
            retry_after,
            ..authorization_lost()
        },
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

fn authorization_lost() -> NotReady {
    NotReady {
        reason: Some(Reason::AuthorizationLost),
        retry_after: None,
    }
}

fn try_later() -> NotReady {
    NotReady {
        reason: None,
        retry_after: None,
    }
}
