//! One call of a storage account with its key, and what its answer means.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use url::Url;

use super::shared_key;
use crate::config::Storage;
use crate::outbound::{Answered, Call, Read, Route, Transport, Unanswered, retry_after};

/// The code of a refusal (<https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes>).
const ERROR_CODE: &str = "x-ms-error-code";
const ALREADY_EXISTS: &str = "ContainerAlreadyExists";
/// The longest code that is passed on.
const MAX_CODE_CHARS: usize = 64;

/// How a container came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    New,
    /// It was there before.
    Found,
}

/// Why a storage did not do what it was asked. It contains nothing of the key, nor of a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    #[error("{0}")]
    Unanswered(Unanswered),
    #[error("it answered {}", described(*status, code.as_deref()))]
    Refused {
        status: StatusCode,
        code: Option<String>,
        retry_after: Option<Duration>,
    },
}

impl StorageError {
    /// Reports whether somebody has to mend something: the key, the account's name, or what the account permits.
    pub fn needs_mending(&self) -> bool {
        match self {
            Self::Unanswered(_) => false,
            Self::Refused { status, .. } => [
                StatusCode::UNAUTHORIZED,
                StatusCode::FORBIDDEN,
                StatusCode::NOT_FOUND,
            ]
            .contains(status),
        }
    }
}

fn described(status: StatusCode, code: Option<&str>) -> String {
    let status = status.as_u16();
    code.map_or_else(|| status.to_string(), |code| format!("{status} ({code})"))
}

/// Makes an empty container, unless there is one of this name.
pub async fn make_container(
    transport: &dyn Transport,
    storage: &Storage,
    container: &str,
    timeout: Duration,
    now: Timestamp,
) -> Result<Made, StorageError> {
    let url = format!("{}?restype=container", storage.container(container));
    let answered = send(transport, storage, (Method::PUT, &url), timeout, now).await?;
    match refusal(&answered, now) {
        None => Ok(Made::New),
        Some(StorageError::Refused {
            code: Some(code), ..
        }) if code == ALREADY_EXISTS => Ok(Made::Found),
        Some(refused) => Err(refused),
    }
}

/// Asks what kind of account it is, which shows whether its key is right and changes nothing.
///
/// Returns the name of its kind of redundancy, such as `Standard_LRS`, if the answer says it.
pub async fn account_kind(
    transport: &dyn Transport,
    storage: &Storage,
    timeout: Duration,
    now: Timestamp,
) -> Result<Option<String>, StorageError> {
    let url = format!("{}/?restype=account&comp=properties", storage.endpoint);
    let answered = send(transport, storage, (Method::GET, &url), timeout, now).await?;
    match refusal(&answered, now) {
        None => Ok(word(&answered.headers, "x-ms-sku-name")),
        Some(refused) => Err(refused),
    }
}

async fn send(
    transport: &dyn Transport,
    storage: &Storage,
    (method, url): (Method, &str),
    timeout: Duration,
    now: Timestamp,
) -> Result<Answered, StorageError> {
    // The configuration has parsed the endpoint, and a container's name has nothing to encode.
    let url = Url::parse(url).map_err(|_| StorageError::Unanswered(Unanswered::CutOff))?;
    let sent = transport.send(Call {
        route: Route::Kept,
        headers: shared_key::headers(storage, &method, &url, now),
        method,
        url,
        body: Vec::new(),
        // The body of a refusal repeats what was signed; the code in a header says enough.
        read: Read::First(0),
        timeout,
    });
    sent.await.map_err(StorageError::Unanswered)
}

fn refusal(answered: &Answered, now: Timestamp) -> Option<StorageError> {
    let (status, headers) = (answered.status, &answered.headers);
    (!status.is_success()).then(|| StorageError::Refused {
        status,
        code: word(headers, ERROR_CODE),
        retry_after: retry_after::parse(headers.get("retry-after"), headers.get("date"), now),
    })
}

/// Returns the value of a header if it is a plain word.
fn word(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_word = !text.is_empty() && text.len() <= MAX_CODE_CHARS && text.bytes().all(is_plain);
    is_word.then(|| text.to_owned())
}
