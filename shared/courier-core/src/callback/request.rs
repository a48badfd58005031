//! What one delivery attempt sends: its URL, its body, and a signature for AWS.

use std::collections::BTreeMap;

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use super::DeliveryAttempt;
use crate::config::Proof;
use crate::crypto::seal::{SealError, Sealed, Sealer};
use crate::crypto::secret::Secret;
use crate::operation::{Record, SealedField};
use crate::outbound::sigv4::{Unsigned, sign};
use crate::profile::Need;

impl DeliveryAttempt<'_> {
    /// Returns the URL to call. Where the profile has a path, only the origin is the request's.
    pub(super) fn url(&self) -> Url {
        let mut url = self.url.as_url().clone();
        let token = self.token.as_ref().map(Secret::expose);
        if let Some(path) = self.profile.format.path(self.event.is_otherwise, token) {
            url.set_path(&path);
            url.set_query(None);
        }
        url
    }

    /// Returns the body to send: the frozen bytes, with the task's token filled in where the profile has one.
    ///
    /// The token is filled in only here, so that it is stored nowhere unsealed. `None` means that it cannot be filled in.
    pub(super) fn body(&self) -> Option<Vec<u8>> {
        let frozen = self.event.body.as_bytes();
        let profile = &self.profile.format;
        if self.token.is_none() && profile.needs.contains(&Need::Token) {
            return None;
        }
        let token = profile.token_at.as_ref().zip(self.token.as_ref());
        if token.is_none() && self.secrets.is_empty() {
            return Some(frozen.to_vec());
        }
        let mut body: Value = serde_json::from_slice(frozen).ok()?;
        if let Some((pointer, token)) = token {
            *body.pointer_mut(pointer)? = token.expose().into();
        }
        if let (Value::Object(fields), false) = (&mut body, self.secrets.is_empty()) {
            let secrets = self.secrets.iter();
            let secrets = secrets.map(|(name, secret)| (name.clone(), secret.expose().into()));
            fields.insert("secrets".to_owned(), Value::Object(secrets.collect()));
        }
        Some(body.to_string().into_bytes())
    }

    /// Signs these bytes for AWS where the profile says so; returns the signature, which no answer may repeat into the
    /// history.
    pub(super) fn sign(
        &self,
        url: &Url,
        body: &[u8],
        headers: &mut HeaderMap,
        now: Timestamp,
    ) -> Result<Option<Secret>, &'static str> {
        let Proof::Sigv4(sigv4) = &self.profile.proof else {
            return Ok(None);
        };
        let method = &self.profile.format.method;
        let request = Unsigned { method, url, body };
        let signature = sign(&request, &sigv4.keys, &sigv4.scope, headers, now);
        signature.map(Some).map_err(|_| "a header cannot be sent")
    }
}

/// Opens the secrets of the result, if the request asked for them.
pub(super) fn secrets(
    record: &Record,
    sealer: &Sealer,
) -> Result<BTreeMap<String, Secret>, SealError> {
    let wanted = record
        .callback
        .as_ref()
        .is_some_and(|callback| callback.include_secrets);
    let sealed = record.sealed_result.iter().flatten().filter(|_| wanted);
    let place = SealedField::Result.seal_context(&record.id);
    sealed
        .filter_map(|(name, sealed)| Some((name, sealed.as_str()?)))
        .map(|(name, sealed)| {
            let secret = sealer.open(&place, &Sealed::from_stored(sealed))?;
            Ok((name.clone(), secret))
        })
        .collect()
}
