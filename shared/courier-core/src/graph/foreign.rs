//! Monitors on other hosts than Graph's: who may have one, and how its URL is kept.
//!
//! Such a URL is a bearer secret: whoever has it can read the job. It is sealed where the answer is read, and opened only
//! where it is called, without a token and without a header of ours.

use url::Url;

use crate::crypto::seal::{SealError, Sealed, Sealer};
use crate::crypto::secret::Secret;
use crate::operation::{OperationId, Record, SealedField, State};

/// What a stored monitor begins with if the rest is a sealed URL.
const SEALED: &str = "sealed:";
/// Longest URL that is followed.
const MAX_URL_BYTES: usize = 4096;

/// Reports whether a stored monitor is the sealed URL of another host.
pub(crate) fn is_foreign(monitor: &str) -> bool {
    monitor.starts_with(SEALED)
}

/// Returns the URL if it may be followed: HTTPS at the ordinary port of a permitted host, without user information.
///
/// `hosts` are patterns such as `*.sharepoint.com`, and the origins that a configuration for a test host names.
pub(crate) fn permitted(location: &str, hosts: &[&str]) -> Option<Url> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\\#\"<>".contains(&byte);
    if location.len() > MAX_URL_BYTES || !location.bytes().all(is_plain) {
        return None;
    }
    let url = Url::parse(location).ok()?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let origin = url.origin().ascii_serialization();
    let host = url.host_str()?;
    let fits = |pattern: &str| match pattern.strip_prefix("*.") {
        Some(parent) => host
            .strip_suffix(parent)
            .is_some_and(|label| label.len() > 1 && label.ends_with('.')),
        None if pattern.contains("://") => origin == pattern,
        None => host == pattern,
    };
    let is_ordinary = url.scheme() == "https" && url.port().is_none();
    let allowed = |pattern: &&str| fits(pattern) && (is_ordinary || pattern.contains("://"));
    hosts.iter().any(allowed).then_some(url)
}

/// Returns the form in which the URL is stored.
pub(crate) fn sealed(url: &str, id: &OperationId, sealer: &Sealer) -> String {
    let place = SealedField::Monitor.seal_context(id);
    let sealed = sealer.seal(&place, &Secret::new(url.to_owned()));
    format!("{SEALED}{}", sealed.as_str())
}

/// Returns the URL of a stored monitor of another host.
pub(crate) fn opened(
    monitor: &str,
    id: &OperationId,
    sealer: &Sealer,
) -> Result<Secret, SealError> {
    let text = monitor.strip_prefix(SEALED).ok_or(SealError::Unreadable)?;
    let place = SealedField::Monitor.seal_context(id);
    sealer.open(&place, &Sealed::from_stored(text))
}

/// Returns the sealed URL of a record's monitor, if that is on another host.
pub fn sealed_monitor(record: &Record) -> Option<Sealed> {
    let State::Running { monitor } = &record.state else {
        return None;
    };
    monitor.strip_prefix(SEALED).map(Sealed::from_stored)
}

/// Returns a stored monitor as another operation stores it, as what is sealed is bound to the id of its operation.
pub(crate) fn resealed(
    monitor: &str,
    (old, new): (&OperationId, &OperationId),
    sealer: &Sealer,
) -> Result<String, SealError> {
    if !is_foreign(monitor) {
        return Ok(monitor.to_owned());
    }
    let url = opened(monitor, old, sealer)?;
    Ok(sealed(url.expose(), new, sealer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_at_the_ordinary_port_of_a_permitted_host_is_followed() {
        let hosts = ["*.sharepoint.com", "api.onedrive.com", "http://127.0.0.1:9"];
        for (url, followed) in [
            (
                "https://contoso.sharepoint.com/_api/v2.0/monitor/4A?tempauth=x",
                true,
            ),
            ("https://contoso.sharepoint.com:443/x", true),
            ("https://api.onedrive.com/monitor/4A", true),
            ("http://127.0.0.1:9/monitor", true),
            ("http://127.0.0.1:10/monitor", false),
            ("http://contoso.sharepoint.com/x", false),
            ("https://contoso.sharepoint.com:8443/x", false),
            ("https://user@contoso.sharepoint.com/x", false),
            ("https://sharepoint.com/x", false),
            ("https://evilsharepoint.com/x", false),
            ("https://contoso.sharepoint.com.evil.example/x", false),
            ("https://x.api.onedrive.com/x", false),
            ("https://contoso.sharepoint.com/x#y", false),
            ("https://contoso.sharepoint.com\\@evil.example/x", false),
            ("/relative", false),
        ] {
            assert_eq!(permitted(url, &hosts).is_some(), followed, "{url}");
        }
    }
}
