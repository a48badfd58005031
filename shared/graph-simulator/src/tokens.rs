//! The Entra token endpoint: the tokens it has issued, their holders, and its refusals.

use std::collections::HashMap;

use http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::answer::{Answer, Call, Failure, Payload};
use crate::entra::{Refusal, is_default_scope, is_scope};
use crate::instant;
use crate::options::Durations;

/// The kind of a token: on whose behalf it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Application,
    Delegated,
}

/// The token in the `Authorization` header of a request.
pub(crate) enum Bearer {
    Missing,
    Unknown,
    Expired { label: String },
    Valid { label: String, kind: Kind },
}

pub(crate) struct Tokens {
    pub(crate) client_secret: Option<String>,
    pub(crate) tenants: Vec<String>,
    any_refresh_token: bool,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    issued: u64,
}

struct Access {
    label: String,
    kind: Kind,
    expires_at: Timestamp,
}

struct Refresh {
    expires_at: Timestamp,
    revoked: bool,
}

type Form = HashMap<String, String>;

impl Tokens {
    pub(crate) fn new(
        client_secret: Option<String>,
        refresh_token: Option<String>,
        tenants: Vec<String>,
    ) -> Self {
        let mut tokens = Self {
            client_secret,
            tenants,
            any_refresh_token: refresh_token.is_none(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            issued: 0,
        };
        if let Some(token) = refresh_token {
            tokens.accept_refresh(token, Timestamp::MAX);
        }
        tokens
    }

    /// Finds the issued token that came with a request.
    pub(crate) fn bearer(&self, headers: &HeaderMap, now: Timestamp) -> Bearer {
        let header = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = header.and_then(|text| text.split_once(' ')) else {
            return Bearer::Missing;
        };
        match self.access.get(token.trim()) {
            Some(access) if scheme.eq_ignore_ascii_case("bearer") => {
                let label = access.label.clone();
                if now < access.expires_at {
                    Bearer::Valid {
                        label,
                        kind: access.kind,
                    }
                } else {
                    Bearer::Expired { label }
                }
            }
            Some(_) | None => Bearer::Unknown,
        }
    }

    /// Answers one request to `/{tenant}/oauth2/v2.0/token`.
    pub(crate) fn grant(
        &mut self,
        call: &Call<'_>,
        tenant: &str,
        durations: &Durations,
        revoke_old_refresh: bool,
    ) -> Result<Answer, Refusal> {
        let form = form(call.payload);
        self.check_tenant(tenant, "invalid_request")?;
        let grant_type = required(&form, "grant_type")?;
        required(&form, "client_id")?;
        match grant_type {
            "client_credentials" => {
                self.authenticate(&form)?;
                let scope = required(&form, "scope")?;
                if !is_default_scope(scope) {
                    return Err(Refusal::scope(scope));
                }
                Ok(self.issue(Kind::Application, None, scope, call.now, durations))
            }
            "refresh_token" => {
                self.authenticate(&form)?;
                let scope = form.get("scope").map_or("", String::as_str);
                if let Some(bad) = scope.split_whitespace().find(|scope| !is_scope(scope)) {
                    return Err(Refusal::scope(bad));
                }
                let old = required(&form, "refresh_token")?;
                self.redeem(old, call.now, revoke_old_refresh)?;
                let next = self.issue_refresh(call.now, durations);
                Ok(self.issue(Kind::Delegated, Some(next), scope, call.now, durations))
            }
            other => Err(Refusal::new(
                400,
                "unsupported_grant_type",
                70003,
                format!("The app requested an unsupported grant type '{other}'."),
            )),
        }
    }

    /// Refuses a tenant that is unknown, with the error code `error`.
    pub(crate) fn check_tenant(&self, tenant: &str, error: &str) -> Result<(), Refusal> {
        let is_named = |known: &String| known.eq_ignore_ascii_case(tenant);
        if self.tenants.is_empty() || self.tenants.iter().any(is_named) {
            return Ok(());
        }
        Err(Refusal::new(
            400,
            error,
            90002,
            format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
            ),
        ))
    }

    /// Makes every access token invalid, as an administrator can.
    pub(crate) fn revoke_access(&mut self) {
        for access in self.access.values_mut() {
            access.expires_at = Timestamp::MIN;
        }
    }

    /// Makes every refresh token invalid, known or not; only new ones are accepted.
    pub(crate) fn revoke_refresh(&mut self) {
        self.any_refresh_token = false;
        for refresh in self.refresh.values_mut() {
            refresh.revoked = true;
        }
    }

    /// Issues a refresh token, as a fresh sign-in would.
    pub(crate) fn issue_refresh(&mut self, now: Timestamp, durations: &Durations) -> String {
        self.issued += 1;
        let token = format!(
            "simulated-refresh-{}-{}",
            self.issued,
            Uuid::new_v4().simple()
        );
        let expires_at = instant::after(now, durations.refresh_token_seconds);
        self.accept_refresh(token.clone(), expires_at);
        token
    }

    fn accept_refresh(&mut self, token: String, expires_at: Timestamp) {
        let revoked = false;
        self.refresh.insert(
            token,
            Refresh {
                expires_at,
                revoked,
            },
        );
    }

    fn authenticate(&self, form: &Form) -> Result<(), Refusal> {
        let secret = form.get("client_secret");
        let assertion = form.contains_key("client_assertion");
        match (&self.client_secret, secret) {
            (None, None) | (Some(_), None) if !assertion => Err(Refusal::new(
                401,
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )),
            (Some(wanted), Some(given)) if wanted != given => Err(Refusal::new(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app.",
            )),
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    fn redeem(&mut self, token: &str, now: Timestamp, revoke: bool) -> Result<(), Refusal> {
        let gone = || {
            Refusal::new(
                400,
                "invalid_grant",
                70008,
                "The provided authorization code or refresh token has expired or has been revoked. Send a new interactive authorization request for this user and resource.",
            )
        };
        match self.refresh.get_mut(token) {
            None if !self.any_refresh_token => return Err(gone()),
            None => self.accept_refresh(token.to_owned(), Timestamp::MAX),
            Some(refresh) if refresh.revoked => return Err(gone()),
            Some(refresh) if refresh.expires_at <= now => {
                return Err(Refusal::new(
                    400,
                    "invalid_grant",
                    700082,
                    "The refresh token has expired due to inactivity.",
                ));
            }
            Some(_) => {}
        }
        if revoke && let Some(refresh) = self.refresh.get_mut(token) {
            refresh.revoked = true;
        }
        Ok(())
    }

    fn issue(
        &mut self,
        kind: Kind,
        refresh_token: Option<String>,
        scope: &str,
        now: Timestamp,
        durations: &Durations,
    ) -> Answer {
        self.issued += 1;
        let number = self.issued;
        let label = match kind {
            Kind::Application => format!("app:tok_{number}"),
            Kind::Delegated => format!("delegated:tok_{number}"),
        };
        let token = format!("simulated-access-{number}-{}", Uuid::new_v4().simple());
        let seconds = durations.access_token_seconds;
        let mut body = json!({
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": token,
        });
        if let Some(refresh_token) = refresh_token {
            body["scope"] = scope.into();
            body["refresh_token"] = refresh_token.into();
        }
        let expires_at = instant::after(now, f64::from(seconds));
        self.access.insert(
            token,
            Access {
                label: label.clone(),
                kind,
                expires_at,
            },
        );
        let mut answer = Answer::json(StatusCode::OK, body);
        answer.issued = Some(label);
        answer.headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("no-store, no-cache"),
        );
        answer
    }
}

impl Bearer {
    /// Returns the label of the token in the journal.
    pub(crate) fn label(&self) -> Option<String> {
        match self {
            Self::Missing => None,
            Self::Unknown => Some("unknown".to_owned()),
            Self::Expired { label } | Self::Valid { label, .. } => Some(label.clone()),
        }
    }

    pub(crate) fn kind(&self) -> Result<Kind, Failure> {
        let message = match self {
            Self::Valid { kind, .. } => return Ok(*kind),
            Self::Missing => "Access token is empty.",
            Self::Unknown => "Access token validation failure. Invalid audience.",
            Self::Expired { .. } => "Lifetime validation failed, the token is expired.",
        };
        let failure = Failure::new(
            StatusCode::UNAUTHORIZED,
            "InvalidAuthenticationToken",
            message,
        );
        Err(failure.header(WWW_AUTHENTICATE,
            "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", client_id=\"00000003-0000-0000-c000-000000000000\""))
    }
}

fn form(payload: &Payload) -> Form {
    match payload {
        Payload::Text(text) => url::form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect(),
        Payload::Empty | Payload::Json(_) => Form::new(),
    }
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, Refusal> {
    form.get(name).map(String::as_str).ok_or_else(|| {
        let text = format!("The request body must contain the following parameter: '{name}'.");
        Refusal::new(400, "invalid_request", 900_144, text)
    })
}
