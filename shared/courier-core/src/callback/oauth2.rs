//! Authenticates us to a receiver: by a header from the configuration, or by an access token that is fetched with
//! client credentials (RFC 6749 §4.4).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use url::form_urlencoded::{self, byte_serialize};

use super::Callbacks;
use crate::cached::{Cached, Failure, Lease};
use crate::config::{CallbackProfile, Client, ClientAuthentication, OAuth2, Proof};
use crate::crypto::secret::Secret;
use crate::outbound::answer_body::media_type;
use crate::outbound::holds::Holds;
use crate::outbound::token_answer::{Grant, Refusal, Unusable};
use crate::outbound::{Answered, Call, Read, Route, retry_after};
use crate::time::later;

/// Time before the expiry from which a token is no longer used.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(60);

/// Access tokens of this process, by client name, token endpoint, client id, scope, audience and resource.
pub(super) struct AccessTokens {
    cached: Mutex<HashMap<Key, Arc<Cached<Secret, String>>>>,
    /// The token endpoints that have asked for a pause.
    holds: Arc<Holds>,
    /// Longest time that a delivery waits for a token that another one fetches.
    patience: Duration,
}

type Key = [String; 6];

/// The header that authenticates us cannot be had now.
pub(super) enum NoCredentials {
    /// The configuration makes it impossible.
    Unusable(&'static str),
    /// The token endpoint gives no token, for this reason; nobody asks it before this time.
    NotBefore(Timestamp, Option<String>),
}

impl Proof {
    /// Returns the secrets that are sent to the receiver or to its token endpoint.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let keys = match self {
            Self::Sigv4(sigv4) => Some(sigv4.keys.secrets()),
            Self::None | Self::Token(_) | Self::Basic { .. } | Self::OAuth2(_) => None,
        };
        let secret = match self {
            Self::None | Self::Sigv4(_) => None,
            Self::Token(secret) => Some(secret),
            Self::Basic { password, .. } => Some(password),
            Self::OAuth2(oauth2) => Some(&oauth2.client_secret),
        };
        secret.into_iter().chain(keys.into_iter().flatten())
    }
}

impl AccessTokens {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            cached: Mutex::default(),
            holds: Arc::default(),
            patience,
        }
    }

    /// Returns these with the pauses that token endpoints have asked `former` for.
    pub(super) fn succeeding(mut self, former: &Self) -> Self {
        self.holds = Arc::clone(&former.holds);
        self
    }

    fn cached(&self, client: &Client, oauth2: &OAuth2) -> Arc<Cached<Secret, String>> {
        let key = [
            client.name.clone(),
            oauth2.token_url.to_string(),
            oauth2.client_id.clone(),
            oauth2.scope.clone().unwrap_or_default(),
            oauth2.audience.clone().unwrap_or_default(),
            oauth2.resource.clone().unwrap_or_default(),
        ];
        let mut all = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Cached::new(self.patience));
        Arc::clone(all.entry(key).or_insert_with(new))
    }

    /// Drops the cached token, which the receiver has refused; the next attempt fetches another.
    pub(super) fn forget(&self, client: &Client, profile: &CallbackProfile, header: &Secret) {
        if let Proof::OAuth2(oauth2) = &profile.proof {
            let is_refused = |token: &Secret| bearer(token) == *header;
            self.cached(client, oauth2).forget(is_refused);
        }
    }
}

fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.expose()))
}

impl Callbacks {
    /// Returns the header that authenticates us, if the profile has one. The error says why it cannot be had now.
    pub(super) async fn credentials(
        &self,
        client: &Client,
        profile: &CallbackProfile,
    ) -> Result<Option<(HeaderName, Secret)>, NoCredentials> {
        let token = match &profile.proof {
            // A signature is made when the request is complete.
            Proof::None | Proof::Sigv4(_) => return Ok(None),
            Proof::Basic { username, password } => {
                let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
                let value = Secret::new(format!("Basic {pair}"));
                return Ok(Some((header::AUTHORIZATION, value)));
            }
            Proof::Token(token) => {
                let name = profile.format.token_header.as_bytes();
                let name = HeaderName::from_bytes(name)
                    .map_err(|_| NoCredentials::Unusable("a header cannot be sent"))?;
                let value = match profile.format.scheme() {
                    "" => token.clone(),
                    scheme => Secret::new(format!("{scheme} {}", token.expose())),
                };
                return Ok(Some((name, value)));
            }
            Proof::OAuth2(oauth2) => self.access_token(client, oauth2).await?,
        };
        Ok(Some((header::AUTHORIZATION, bearer(&token))))
    }

    async fn access_token(
        &self,
        client: &Client,
        oauth2: &OAuth2,
    ) -> Result<Secret, NoCredentials> {
        let cached = self.tokens.cached(client, oauth2);
        let fetch = async || {
            let fetched = self.fetch(oauth2).await;
            fetched.inspect_err(|failure| {
                let host = oauth2.token_url.host_str();
                tracing::warn!(
                    client = client.name,
                    host,
                    error = failure.error,
                    "could not get an access token for a receiver; its deliveries wait"
                );
            })
        };
        let token = cached.get(&self.clock, |_| true, fetch).await;
        token.map_err(|unavailable| {
            NoCredentials::NotBefore(unavailable.not_before, unavailable.error)
        })
    }

    async fn fetch(&self, oauth2: &OAuth2) -> Result<Lease<Secret>, Failure<String>> {
        let failure = |error: &str, retry_after| Failure {
            error: error.to_owned(),
            retry_after,
        };
        let endpoint = oauth2.token_url.as_str();
        if let Some(left) = self.tokens.holds.left(endpoint, (self.clock)()) {
            return Err(failure(
                "the token endpoint has asked for a pause",
                Some(left),
            ));
        }
        let (headers, body) = token_request(oauth2).map_err(|error| failure(error, None))?;
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
            .map_err(|unanswered| failure(&unanswered.to_string(), None))?;
        let (headers, now) = (&answered.headers, (self.clock)());
        if answered.status != StatusCode::OK {
            let pause = retry_after::parse(headers.get("retry-after"), headers.get("date"), now);
            if let Some(pause) = pause {
                self.tokens.holds.hold(endpoint, pause, now);
            }
            return Err(failure(&describe(&answered), pause));
        }
        parse(&answered, now).map_err(|error| {
            failure(
                &format!("the token endpoint answered 200, but {error}"),
                None,
            )
        })
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
    for (name, value) in [
        ("scope", &oauth2.scope),
        ("audience", &oauth2.audience),
        ("resource", &oauth2.resource),
    ] {
        form.extend_pairs(value.iter().map(|value| (name, value)));
    }
    Ok((headers, form.finish().into_bytes()))
}

/// Says what a token endpoint has answered that gave no token.
fn describe(answered: &Answered) -> String {
    let refusal = answered.text().map(Refusal::parse).unwrap_or_default();
    refusal.describe(answered.status, media_type(&answered.headers))
}

/// Parses an access token response. The error says why it gives no token that can be sent.
fn parse(answered: &Answered, now: Timestamp) -> Result<Lease<Secret>, Unusable> {
    let grant = Grant::read(answered)?;
    let usable = grant
        .lifetime
        .saturating_sub(RENEW_BEFORE_EXPIRY)
        .max(grant.lifetime / 2);
    let until = later(now, usable);
    Ok(Lease {
        value: grant.access_token,
        renew_at: until,
        expires_at: until,
        refetch_at: now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: StatusCode, body: &str) -> Answered {
        Answered {
            status,
            headers: HeaderMap::new(),
            body: Ok(body.as_bytes().to_vec()),
        }
    }

    #[test]
    fn refusal_is_named_by_its_error_if_that_is_a_word() {
        for (body, words) in [
            (
                r#"{"error":"access_denied","error_description":"secret"}"#,
                "the token endpoint answered 401 access_denied",
            ),
            (
                "\u{feff}{\"error\":\"invalid_client\"}",
                "the token endpoint answered 401 invalid_client",
            ),
            (
                r#"{"error":"no secret here, please"}"#,
                "the token endpoint answered 401",
            ),
            ("", "the token endpoint answered 401"),
        ] {
            let refusal = answered(StatusCode::UNAUTHORIZED, body);
            assert_eq!(describe(&refusal), words, "{body}");
        }
    }

    #[test]
    fn token_is_cached_until_shortly_before_its_expiry() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (expires_in, until) in [
            ("3600", 3540),
            ("80", 40),
            ("3600.0", 3540),
            ("0", 0),
            ("null", 540),
            ("\"80\"", 40),
            ("\"soon\"", 540),
            ("-1", 540),
        ] {
            let body = format!(
                r#"{{"access_token":"t","token_type":"Bearer","expires_in":{expires_in}}}"#
            );
            let lease = parse(&answered(StatusCode::OK, &body), at(0)).unwrap();
            assert_eq!(lease.expires_at, at(until), "{expires_in}");
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
            let answered = answered(StatusCode::OK, body);
            assert!(parse(&answered, Timestamp::UNIX_EPOCH).is_err(), "{body}");
        }
    }
}
