//! Checks Graph and its token endpoint: whether they answer, what a token permits, and how the clocks differ.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::anyhow;
use courier_core::catalogue::TokenKind;
use courier_core::config::Tenant;
use courier_core::crypto::hmac::Encoding;
use courier_core::crypto::seal::Sealed;
use courier_core::crypto::secret::Secret;
use courier_core::outbound::token_answer::{Grant, Refusal};
use courier_core::outbound::{Call, Read, Route, Transport};
use courier_local::DataFile;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use super::permissions::{Needed, granted, missing, needed};
use super::{Doctor, Finding};
use crate::terminal::span;

/// Beyond this a receiver refuses callbacks (Standard Webhooks 1.0), and a token may not be valid yet.
const WRONG_CLOCK: SignedDuration = SignedDuration::from_mins(5);
const DOUBTFUL_CLOCK: SignedDuration = SignedDuration::from_secs(30);

/// What the numbers of AADSTS codes mean here, and what to do.
const CODES: [(u64, &str); 9] = [
    (
        7_000_215,
        "client_secret is not the value of a secret of this app registration: take the value, not the id of the secret",
    ),
    (
        7_000_222,
        "the client secret has expired: make a new one in the app registration",
    ),
    (
        700_016,
        "there is no app registration with this client_id in the tenant",
    ),
    (90_002, "there is no such tenant: look at tenant_id"),
    (
        65_001,
        "an administrator has not consented to the app's permissions",
    ),
    (
        700_082,
        "the refresh token was not used for too long: sign in again",
    ),
    (
        50_173,
        "the refresh token was revoked, as a password was changed: sign in again",
    ),
    (
        50_076,
        "the person must prove themselves with a second factor: sign in again",
    ),
    (
        53_003,
        "a Conditional Access policy of the tenant forbids it: exempt the app",
    ),
];

impl Doctor {
    /// Checks that Graph and the token endpoint answer, and compares their clocks with this machine's.
    pub(super) async fn graph(&mut self) -> anyhow::Result<()> {
        let mut graph = self.config.graph.base_url.clone();
        graph.set_path("/v1.0/organization");
        let mut login = self.config.graph.login_url.clone();
        login.set_path("/common/v2.0/.well-known/openid-configuration");
        for (check, url) in [("Microsoft Graph", graph), ("token endpoint", login)] {
            let origin = url.origin().ascii_serialization();
            let (way, next) = self.way(&url);
            let began = Instant::now();
            let sent = self.transport.send(get(url, self.timeouts.graph)).await;
            let answered = match sent {
                Ok(answered) => answered,
                Err(error) => {
                    self.tell(check, &Finding::failed(format!("{origin}: {error}"), next))?;
                    continue;
                }
            };
            let (took, status) = (began.elapsed(), answered.status);
            let what = format!(
                "{origin} answers ({}) in {} ms{way}",
                status.as_u16(),
                took.as_millis()
            );
            let finding = if status.is_server_error() {
                Finding::warning(
                    what,
                    "it is ill, or something on the way is; try again later",
                )
            } else {
                Finding::ok(what)
            };
            self.tell(check, &finding)?;
            let middle = (self.clock)() - SignedDuration::try_from(took / 2).unwrap_or_default();
            if let Some(finding) = clock(&answered.headers, middle) {
                self.tell(&format!("clock against {check}"), &finding)?;
            }
        }
        Ok(())
    }

    /// Gets a token of each kind that each tenant needs, and compares what it permits with what is needed.
    pub(super) async fn tokens(&mut self) -> anyhow::Result<()> {
        let tenants: Vec<String> = self.config.graph.tenants.keys().cloned().collect();
        for name in tenants {
            let Some(tenant) = self.config.graph.tenants.get(&name) else {
                continue;
            };
            let needed = needed(&self.config, tenant);
            if needed.is_empty() {
                let next = "remove it, or let a client use it";
                let finding = Finding::warning("no client uses this tenant", next);
                self.tell(&format!("tenant {name}"), &finding)?;
            }
            for (kind, needed) in needed {
                let finding = self.token(&name, kind, &needed).await;
                let check = format!("{} token of {name}", kind.as_str());
                self.tell(&check, &finding)?;
            }
        }
        Ok(())
    }

    async fn token(&self, name: &str, kind: TokenKind, needed: &Needed) -> Finding {
        let Some(tenant) = self.config.graph.tenants.get(name) else {
            return Finding::failed("it is not configured", "configure it");
        };
        match self.grant(tenant, kind).await {
            Ok(grant) => judge(grant.access_token.expose(), kind, needed),
            Err((what, next)) => Finding::failed(what, next),
        }
    }

    /// Gets a token; the error says what came instead, and what to do.
    async fn grant(&self, tenant: &Tenant, kind: TokenKind) -> Result<Grant, (String, String)> {
        let origin = self.config.graph.base_url.origin().ascii_serialization();
        let scope = match kind {
            TokenKind::Application => format!("{origin}/.default"),
            TokenKind::Delegated => format!("{origin}/.default offline_access"),
        };
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", &tenant.client_id)
            .append_pair("client_secret", tenant.client_secret.expose())
            .append_pair("scope", &scope);
        match kind {
            TokenKind::Application => {
                form.append_pair("grant_type", "client_credentials");
            }
            TokenKind::Delegated => {
                let token = self.refresh_token(tenant).map_err(|error| {
                    let next = "give --data the directory that the server uses";
                    (error.to_string(), next.to_owned())
                })?;
                form.append_pair("grant_type", "refresh_token")
                    .append_pair("refresh_token", token.expose());
            }
        }
        let mut url = self.config.graph.login_url.clone();
        url.set_path(&format!("/{}/oauth2/v2.0/token", tenant.tenant_id));
        let (_, next) = self.way(&url);
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let sent = self.transport.send(Call {
            route: Route::Kept,
            method: Method::POST,
            url,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, form_type)]),
            body: form.finish().into_bytes(),
            read: Read::Whole,
            timeout: self.timeouts.token,
        });
        let answered = sent
            .await
            .map_err(|error| (format!("none: {error}"), next.to_owned()))?;
        if answered.status == StatusCode::OK {
            return Grant::read(&answered).map_err(|unusable| {
                let next = "something else than a token endpoint answers: look at login_url";
                (format!("none: {unusable}"), next.to_owned())
            });
        }
        let refusal = answered.text();
        let refusal = refusal.map_or_else(|_| Refusal::default(), Refusal::parse);
        Err(refused(answered.status, &refusal))
    }

    /// Returns the newest refresh token that is known: of the data file, where a server has kept one, else the configured.
    ///
    /// Entra does not revoke a token that is used, so the server can go on with it.
    fn refresh_token(&self, tenant: &Tenant) -> anyhow::Result<Secret> {
        let configured = tenant.refresh_token.as_ref();
        let configured = configured.ok_or_else(|| anyhow!("the tenant has no refresh token"))?;
        let file = self.data.as_ref().map(|data| data.join("courier.db"));
        let Some(file) = file.filter(|file| file.exists()) else {
            return Ok(configured.clone());
        };
        let key = format!("refresh-token/{}", tenant.name);
        let seed = Encoding::Hex.encode(&Sha256::digest(configured.expose()));
        let mut stored = None;
        DataFile::open(&file)?.visit_documents(|name, body| {
            if name == key {
                stored = serde_json::from_str::<Value>(&body).ok();
            }
        })?;
        let stored = stored.filter(|stored| stored["seed"] == seed.as_str());
        let sealed = stored
            .and_then(|stored| serde_json::from_value::<Sealed>(stored["token"].clone()).ok());
        match sealed {
            Some(sealed) => {
                let opened = self.config.sealer.open(&key, &sealed);
                opened.map_err(|_| anyhow!("no configured seal key opens the stored refresh token"))
            }
            None => Ok(configured.clone()),
        }
    }
}

fn get(url: Url, timeout: std::time::Duration) -> Call {
    Call {
        route: Route::Fresh,
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Vec::new(),
        read: Read::First(1024),
        timeout,
    }
}

/// Judges what a token permits.
fn judge(token: &str, kind: TokenKind, needed: &Needed) -> Finding {
    let names: Vec<&str> = needed.keys().map(String::as_str).collect();
    let Some(granted) = granted(token, kind) else {
        let what = format!(
            "there is one, but it cannot be read, so nobody knows whether it has {}",
            names.join(", ")
        );
        return Finding::warning(what, "look at the app registration's permissions");
    };
    let missing = missing(needed, &granted);
    if missing.is_empty() {
        return Finding::ok(format!("it has {}", names.join(", ")));
    }
    let lacks: Vec<String> = missing
        .iter()
        .map(|(permission, users)| format!("{permission} (for {})", join(users)))
        .collect();
    let what = format!("it lacks {}", lacks.join(", "));
    let next = match kind {
        TokenKind::Application => {
            "add it to the app registration as an application permission, and let an administrator consent"
        }
        TokenKind::Delegated => {
            "add it to the app registration as a delegated permission, consent, and sign in again"
        }
    };
    Finding::failed(what, next)
}

fn join(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.join(", ")
}

fn refused(status: StatusCode, refusal: &Refusal) -> (String, String) {
    let mut what = format!("refused with {}", status.as_u16());
    if let Some(error) = &refusal.error {
        what.push_str(&format!(" {error}"));
    }
    for code in &refusal.error_codes {
        what.push_str(&format!(" AADSTS{code}"));
    }
    let known = CODES
        .into_iter()
        .find(|(code, _)| refusal.error_codes.contains(code));
    let next = known.map_or(
        "look the code up at https://login.microsoftonline.com/error",
        |(_, next)| next,
    );
    (what, next.to_owned())
}

/// Compares the `Date` of an answer with this machine's clock.
fn clock(headers: &HeaderMap, here: Timestamp) -> Option<Finding> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let there = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    // `Date` has whole seconds: on the average half a second is cut off.
    let there = there + SignedDuration::from_millis(500);
    let ahead = here.duration_since(there);
    let distance = ahead.abs();
    let side = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let what = format!(
        "this machine is {} {side} it",
        span(distance.unsigned_abs())
    );
    Some(if distance >= WRONG_CLOCK {
        let next = "set the clock (NTP): receivers refuse callbacks whose time is five minutes off";
        Finding::failed(what, next)
    } else if distance >= DOUBTFUL_CLOCK {
        Finding::warning(what, "set the clock (NTP)")
    } else {
        Finding::ok("less than half a minute apart")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_clock_is_judged_by_the_date_of_an_answer() {
        let mut headers = HeaderMap::new();
        let here: Timestamp = "2026-11-21T20:00:00Z".parse().unwrap();
        assert!(clock(&headers, here).is_none());
        for (date, level) in [
            ("Sat, 21 Nov 2026 20:00:10 GMT", Level::Ok),
            ("Sat, 21 Nov 2026 19:59:00 GMT", Level::Warning),
            ("Sat, 21 Nov 2026 20:06:00 GMT", Level::Failed),
        ] {
            headers.insert(header::DATE, date.parse().unwrap());
            let finding = clock(&headers, here).unwrap();
            assert_eq!(finding.level, level, "{finding:?}");
        }
    }
}
