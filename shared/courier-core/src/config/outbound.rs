//! Reads `[outbound]`: the proxy of outgoing calls.

use url::Url;

use super::reader::Reader;
use crate::outbound::proxy::{Bypass, Proxy};

/// Reads the table; `None` if it names no proxy.
pub(super) fn outbound(table: &mut Reader<'_>) -> Option<Proxy> {
    let text = table.text("proxy");
    let username = table.optional_text("username");
    let password = table.optional_secret("password");
    let bypass = table.texts("no_proxy", |text| Bypass::parse(&text));
    if table.has("username") != table.has("password") {
        table.error("username", "username and password belong together");
    }
    if username.as_ref().is_some_and(|name| name.contains(':')) {
        table.error("username", "must contain no colon");
    }
    let url = proxy_url(&text?).map_err(|rule| table.error("proxy", rule));
    Some(Proxy {
        url: url.ok()?,
        credentials: username.zip(password),
        bypass,
    })
}

fn proxy_url(text: &str) -> Result<Url, &'static str> {
    let rule = "must be http:// or https://, a host and a port, such as http://proxy.example:3128";
    let url = Url::parse(text).map_err(|_| rule)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user information: that belongs into username and password");
    }
    let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_known = ["http", "https"].contains(&url.scheme());
    (is_plain && is_known).then_some(url).ok_or(rule)
}
