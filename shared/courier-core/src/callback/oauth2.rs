//! Authenticates us to a receiver: by a header from the configuration, or by an access token that is fetched with
//! client credentials (RFC 6749 §4.4).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::form_urlencoded::{self, byte_serialize};

use super::Callbacks;
use crate::config::{CallbackProfile, Client, ClientAuthentication, OAuth2, Proof};
use crate::crypto::secret::Secret;
use crate::outbound::{Call, Read, Route};
use crate::time::later;

/// Lifetime of a token whose response has no usable `expires_in` (optional in RFC 6749 §5.1).
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// Time before the expiry from which a token is no longer used.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(60);

/// Cache of this process for access tokens, by client name, token endpoint, client id and scope.
#[derive(Default)]
pub(super) struct AccessTokens(std::sync::Mutex<HashMap<Key, Arc<Mutex<Option<Kept>>>>>);

type Key = [String; 4];

#[derive(Clone)]
struct Kept {
    token: Secret,
    until: Timestamp,
}

impl Proof {
    /// Returns the secrets that are sent to the receiver or to its token endpoint.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        match self {
            Self::None => None,
            Self::Token(secret) => Some(secret),
            Self::Basic { password, .. } => Some(password),
            Self::OAuth2(oauth2) => Some(&oauth2.client_secret),
        }
        .into_iter()
    }
}

impl AccessTokens {
    fn slot(&self, client: &Client, oauth2: &OAuth2) -> Arc<Mutex<Option<Kept>>> {
        let key = [
            client.name.clone(),
            oauth2.token_url.to_string(),
            oauth2.client_id.clone(),
            oauth2.scope.clone().unwrap_or_default(),
        ];
        let mut slots = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(slots.entry(key).or_default())
    }

    /// Drops the cached token, which the receiver has refused; the next attempt fetches another.
    pub(super) fn forget(&self, client: &Client, profile: &CallbackProfile) {
        if let Proof::OAuth2(oauth2) = &profile.proof
            && let Ok(mut slot) = self.slot(client, oauth2).try_lock()
        {
            *slot = None;
        }
    }
}

impl Callbacks {
    /// Returns the header that authenticates us, if the profile has one. The error says why it cannot be had now.
    pub(super) async fn credentials(
        &self,
        client: &Client,
        profile: &CallbackProfile,
    ) -> Result<Option<(HeaderName, Secret)>, String> {
        let token = match &profile.proof {
            Proof::None => return Ok(None),
            Proof::Basic { username, password } => {
                let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
                let value = Secret::new(format!("Basic {pair}"));
                return Ok(Some((header::AUTHORIZATION, value)));
            }
            Proof::Token(token) => {
                let name = profile.format.token_header.as_bytes();
                let name = HeaderName::from_bytes(name).map_err(|_| "a header cannot be sent")?;
                if name != header::AUTHORIZATION {
                    return Ok(Some((name, token.clone())));
                }
                token.clone()
            }
            Proof::OAuth2(oauth2) => self.access_token(client, oauth2).await?,
        };
        let value = Secret::new(format!("Bearer {}", token.expose()));
        Ok(Some((header::AUTHORIZATION, value)))
    }

    async fn access_token(&self, client: &Client, oauth2: &OAuth2) -> Result<Secret, String> {
        let slot = self.tokens.slot(client, oauth2);
        // The lock is held during the fetch, so that many waiting deliveries make one token request.
        let mut slot = slot.lock().await;
        let now = (self.clock)();
        if let Some(kept) = slot.as_ref().filter(|kept| now < kept.until) {
            return Ok(kept.token.clone());
        }
        let fetched = self.fetch(oauth2, now).await?;
        *slot = Some(fetched.clone());
        Ok(fetched.token)
    }

    async fn fetch(&self, oauth2: &OAuth2, now: Timestamp) -> Result<Kept, String> {
        let (headers, body) = token_request(oauth2)?;
        let sent = self.transport.send(Call {
            route: Route::Guarded,
            method: Method::POST,
            url: oauth2.token_url.clone(),
            headers,
            body,
            read: Read::Whole,
            timeout: self.side_call_timeout(),
        });
        let answered = sent
            .await
            .map_err(|unanswered| format!("the receiver's token endpoint: {unanswered}"))?;
        if answered.status != StatusCode::OK {
            let status = answered.status.as_u16();
            return Err(format!("the receiver's token endpoint answered {status}"));
        }
        Kept::parse(answered.body.as_deref().unwrap_or_default(), now)
            .ok_or_else(|| "the receiver's token endpoint gave no bearer token".to_owned())
    }
}

/// Returns headers and body of an access token request (RFC 6749 §4.4.2).
fn token_request(oauth2: &OAuth2) -> Result<(HeaderMap, Vec<u8>), &'static str> {
    let (id, secret) = (&oauth2.client_id, oauth2.client_secret.expose());
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    let json = HeaderValue::from_static("application/json");
    let mut headers =
        HeaderMap::from_iter([(header::CONTENT_TYPE, form_type), (header::ACCEPT, json)]);
    match oauth2.client_authentication {
        ClientAuthentication::Post => {
            form.append_pair("client_id", id)
                .append_pair("client_secret", secret);
        }
        ClientAuthentication::Basic => {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
            let mut value = HeaderValue::from_str(&format!("Basic {pair}"))
                .map_err(|_| "the client's id and secret cannot be sent")?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
    }
    form.extend_pairs(oauth2.scope.iter().map(|scope| ("scope", scope)));
    Ok((headers, form.finish().into_bytes()))
}

impl Kept {
    /// Parses an access token response (RFC 6749 §5.1); `None` unless it has a bearer token that fits into a header.
    ///
    /// `expires_in` may be a string, which some servers send instead of a number.
    fn parse(body: &[u8], now: Timestamp) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: String,
            token_type: Option<String>,
            expires_in: Option<Value>,
        }
        let wire: Wire = serde_json::from_slice(body).ok()?;
        let kind = wire.token_type.as_deref().unwrap_or("bearer");
        if !kind.eq_ignore_ascii_case("bearer")
            || HeaderValue::from_str(&wire.access_token).is_err()
        {
            return None;
        }
        let seconds = wire.expires_in.and_then(|value| {
            value
                .as_str()
                .map_or(value.as_u64(), |text| text.parse().ok())
        });
        let lifetime = seconds.map_or(DEFAULT_TOKEN_LIFETIME, Duration::from_secs);
        let usable = lifetime
            .saturating_sub(RENEW_BEFORE_EXPIRY)
            .max(lifetime / 2);
        Some(Self {
            token: Secret::new(wire.access_token),
            until: later(now, usable),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_cached_until_shortly_before_its_expiry() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (expires_in, until) in [
            ("3600", 3540),
            ("80", 40),
            ("0", 0),
            ("null", 240),
            ("\"80\"", 40),
            ("\"soon\"", 240),
            ("-1", 240),
        ] {
            let body = format!(
                r#"{{"access_token":"t","token_type":"Bearer","expires_in":{expires_in}}}"#
            );
            let kept = Kept::parse(body.as_bytes(), at(0)).unwrap();
            assert_eq!(kept.until, at(until), "{expires_in}");
        }
    }

    #[test]
    fn answer_without_a_usable_bearer_token_gives_none() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"token_type":"Bearer"}"#,
            r#"{"access_token":"t","token_type":"mac"}"#,
            r#"{"access_token":"a\r\nb","token_type":"Bearer"}"#,
        ] {
            assert!(
                Kept::parse(body.as_bytes(), Timestamp::UNIX_EPOCH).is_none(),
                "{body}"
            );
        }
    }
}
