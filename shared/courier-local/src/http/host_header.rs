//! The rule about `Host` (RFC 9112, section 3.2): without it, nobody could say for whom a request is meant.

use courier_core::http::problem::Problem;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Version, header};

/// Checks the `Host` of a request: exactly one that is valid, which HTTP/1.0 may leave out.
///
/// An absolute request target has a host of its own, but the header must be right all the same.
pub(super) fn check(head: &Parts) -> Result<(), Problem> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let rule = match (hosts.next(), hosts.next()) {
        (None, _) if head.version == Version::HTTP_11 => "is missing",
        (_, Some(_)) => "must be sent once",
        (Some(host), None) if !is_host(host) => "must be a host, with or without a port",
        (None | Some(_), None) => return Ok(()),
    };
    Err(Problem::InvalidHeader { name: "host", rule })
}

/// Reports whether a value is a host with or without a port. An empty one is valid, where a URL has no host.
fn is_host(value: &HeaderValue) -> bool {
    if value.is_empty() {
        return true;
    }
    let Ok(authority) = Authority::try_from(value.as_bytes()) else {
        return false;
    };
    let port = authority.as_str().strip_prefix(authority.host());
    let digits = port.map(|port| port.strip_prefix(':').unwrap_or(port));
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}
