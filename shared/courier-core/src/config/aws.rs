//! Reads `[aws]`, the identity that calls services of AWS, and `sigv4`, by which a target is signed for.

use super::reader::Reader;
use crate::crypto::secret::Secret;
use crate::outbound::sigv4::{AwsKeys, Scope};

/// The identity and the region with which services of AWS are called.
#[derive(Debug, Clone, Default)]
pub struct Aws {
    pub keys: Option<AwsKeys>,
    /// The region of targets that name none.
    pub region: Option<String>,
}

/// The keys and the scope of the signatures for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sigv4 {
    pub keys: AwsKeys,
    pub scope: Scope,
}

const WRITTEN: &str = "must be lower case letters, digits and hyphens";

/// Reads the table; what it does not say is as the host gives it.
pub(super) fn aws(table: &mut Reader<'_>, host: &Aws) -> Aws {
    let region = table.optional_text("region");
    if region.as_deref().is_some_and(|name| !is_name(name)) {
        table.error("region", WRITTEN);
    }
    let token = table.optional_secret("session_token");
    let names = ["access_key_id", "secret_access_key", "session_token"];
    let keys = if names.iter().any(|name| table.has(name)) {
        let (id, key) = (table.secret(names[0]), table.secret(names[1]));
        id.zip(key)
            .and_then(|(id, key)| keys(id, key, token, table))
    } else {
        table.excuse(&names);
        host.keys.clone()
    };
    Aws {
        keys,
        region: region.or_else(|| host.region.clone()),
    }
}

fn keys(id: Secret, key: Secret, token: Option<Secret>, table: &mut Reader<'_>) -> Option<AwsKeys> {
    let keys = AwsKeys::new(id, key, token);
    keys.map_err(|(name, rule)| table.error(name, rule)).ok()
}

/// Reads the table `sigv4`; `service` is that of the shipped profile, if it has one.
///
/// Without keys in `[aws]` or from the host there can be no signature, which is a mistake.
pub(super) fn sigv4(table: &mut Reader<'_>, service: Option<&str>, aws: &Aws) -> Option<Sigv4> {
    let named = table.optional_text("service");
    let region = table.optional_text("region");
    let region = region.or_else(|| aws.region.clone());
    for (key, value) in [("service", &named), ("region", &region)] {
        if value.as_deref().is_some_and(|name| !is_name(name)) {
            table.error(key, WRITTEN);
        }
    }
    let service = named.or_else(|| service.map(str::to_owned));
    if service.as_deref() == Some("s3") {
        table.error(
            "service",
            "must not be s3, whose requests are signed in another way",
        );
    }
    if service.is_none() {
        table.missing(
            "service",
            &[],
            "is missing: the name of the service in signatures, such as states",
        );
    }
    if region.is_none() {
        table.missing("region", &[], "is missing, and so is aws.region");
    }
    if aws.keys.is_none() {
        table.own_error("needs keys: access_key_id and secret_access_key in [aws]");
    }
    Some(Sigv4 {
        keys: aws.keys.clone()?,
        scope: Scope {
            region: region?,
            service: service?,
        },
    })
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.bytes().all(fits)
}
