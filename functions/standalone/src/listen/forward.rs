//! Passes verified callbacks on to another receiver, byte for byte, and its answer back.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Response, StatusCode, header};
use url::Url;

use super::{check_url, empty};
use crate::client::connection::last;

/// What graph-courier waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Headers that belong to one connection (RFC 9110, section 7.6.1), or that the next one has anew.
const OWN: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

pub(super) struct Forward {
    url: Url,
    http: reqwest::Client,
}

impl Forward {
    pub(super) fn new(url: Url) -> anyhow::Result<Self> {
        check_url(&url)?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self { url, http })
    }

    /// Returns the other receiver's answer, and what is to be said about it.
    pub(super) async fn pass_on(
        &self,
        parts: &http::request::Parts,
        body: &Bytes,
    ) -> (Response<Bytes>, Option<String>) {
        let mut headers = parts.headers.clone();
        for name in OWN {
            headers.remove(name);
        }
        let request = self
            .http
            .request(parts.method.clone(), self.url.clone())
            .headers(headers)
            .body(body.clone());
        let passed = async {
            let answer = request.send().await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
        };
        match passed.await {
            Ok((status, headers, body)) => {
                let mut response = Response::new(body);
                *response.status_mut() = status;
                for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
                    if let Some(value) = headers.get(&name) {
                        response.headers_mut().insert(name, value.clone());
                    }
                }
                (response, Some("the answer of --forward".to_owned()))
            }
            Err(error) => {
                let note = format!("--forward gave no answer: {}", last(&error));
                (empty(StatusCode::BAD_GATEWAY), Some(note))
            }
        }
    }
}
