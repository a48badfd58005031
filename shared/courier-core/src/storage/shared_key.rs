//! Signs requests to Azure's blob service with the account's key
//! ([Authorize with Shared Key](https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key)).

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use url::Url;

use super::SERVICE_VERSION;
use crate::config::Storage;
use crate::time::http_date;

/// Returns the headers of a request without a body.
pub(super) fn headers(storage: &Storage, method: &Method, url: &Url, now: Timestamp) -> HeaderMap {
    let date = http_date(now);
    let text = string_to_sign(&storage.account, method, url, &date, SERVICE_VERSION);
    let signature = storage.key.sign(&text);
    // A PUT without content must say so, or Azure answers 411; of a length of 0 nothing is signed.
    let length = (*method != Method::GET).then(|| (header::CONTENT_LENGTH, "0".to_owned()));
    let fields = [
        (HeaderName::from_static("x-ms-date"), date),
        (
            HeaderName::from_static("x-ms-version"),
            SERVICE_VERSION.to_owned(),
        ),
        (
            header::AUTHORIZATION,
            format!("SharedKey {}:{signature}", storage.account),
        ),
    ];
    // All of it is visible ASCII.
    let readable = fields
        .into_iter()
        .chain(length)
        .filter_map(|(name, value)| {
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(name == header::AUTHORIZATION);
            Some((name, value))
        });
    readable.collect()
}

/// Returns the text that is signed: the method, eleven headers of which a request without a body has none, those of
/// Azure's own, and the resource with its query.
fn string_to_sign(account: &str, method: &Method, url: &Url, date: &str, version: &str) -> String {
    let no_headers = "\n".repeat(12);
    let mut query: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
        .collect();
    query.sort();
    let query: String = query
        .iter()
        .map(|(name, value)| format!("\n{name}:{value}"))
        .collect();
    let path = url.path();
    format!("{method}{no_headers}x-ms-date:{date}\nx-ms-version:{version}\n/{account}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Microsoft's page, under "Constructing the signature string".
    #[test]
    fn the_published_text_is_reproduced() {
        let url = "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20";
        let text = string_to_sign(
            "myaccount",
            &Method::GET,
            &Url::parse(url).unwrap(),
            "Fri, 26 Jun 2015 23:39:12 GMT",
            "2015-02-21",
        );
        assert_eq!(
            text,
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
             /myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
        );
    }
}
