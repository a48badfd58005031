//! Answers before they are serialized, and the one place where a failure gets its body.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::behaviour::{Behaviour, InnerError, LocationForm, LocationVersion};
use crate::instant;
use crate::version::Version;

pub(crate) const OPERATION_LOCATION: HeaderName = HeaderName::from_static("operation-location");

/// The request that a handler serves, and its context.
pub(crate) struct Call<'a> {
    pub(crate) now: Timestamp,
    pub(crate) version: Version,
    /// The scheme and authority under which the client reached the simulator.
    pub(crate) origin: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) payload: &'a Payload,
    pub(crate) request_id: &'a str,
    pub(crate) client_request_id: Option<&'a str>,
}

pub(crate) enum Payload {
    Empty,
    Json(Value),
    Text(String),
}

pub(crate) enum Content {
    Empty,
    Json(Value),
    Text {
        media_type: &'static str,
        text: Bytes,
    },
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    /// The job that the request concerned.
    pub(crate) job: Option<String>,
    /// The label of the access token that was handed out.
    pub(crate) issued: Option<String>,
    /// Where the status of a poll is, if it is in no usual place.
    pub(crate) word_at: Option<String>,
}

/// A refusal in Graph's format.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) inner_code: Option<String>,
    /// The key of the pending job, where there is one (the 409 of the goals export).
    pub(crate) target: Option<String>,
    pub(crate) header: Option<Box<(HeaderName, String)>>,
}

impl Payload {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        match serde_json::from_slice(bytes) {
            Ok(value) => Self::Json(value),
            Err(_) => Self::Text(String::from_utf8_lossy(bytes).into_owned()),
        }
    }

    /// Returns the members of a JSON object, or Graph's error for a body that is not one.
    pub(crate) fn object(&self) -> Result<&Map<String, Value>, Failure> {
        match self {
            Self::Json(Value::Object(members)) => Ok(members),
            Self::Json(_) | Self::Text(_) | Self::Empty => Err(Failure::new(
                StatusCode::BAD_REQUEST,
                "BadRequest",
                "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.",
            )),
        }
    }
}

impl Answer {
    pub(crate) fn new(status: StatusCode, content: Content) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            content,
            job: None,
            issued: None,
            word_at: None,
        }
    }

    pub(crate) fn json(status: StatusCode, body: Value) -> Self {
        Self::new(status, Content::Json(body))
    }

    pub(crate) fn job(mut self, id: &str) -> Self {
        self.job = Some(id.to_owned());
        self
    }

    /// Replaces a header; a text that no header can carry is left out.
    pub(crate) fn set(&mut self, name: HeaderName, text: &str) {
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            self.headers.insert(name, value);
        }
    }

    pub(crate) fn set_retry_after(&mut self, text: Option<&str>) {
        self.headers.remove(RETRY_AFTER);
        if let Some(text) = text {
            self.set(RETRY_AFTER, text);
        }
    }

    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the answer as an HTTP response.
    pub(crate) fn into_response(self) -> Response<Bytes> {
        let (media_type, bytes) = match self.content {
            Content::Empty => (None, Bytes::new()),
            Content::Json(value) => (
                Some(
                    "application/json; odata.metadata=minimal; odata.streaming=true; IEEE754Compatible=false; charset=utf-8",
                ),
                Bytes::from(value.to_string()),
            ),
            Content::Text { media_type, text } => (Some(media_type), text),
        };
        let length = bytes.len();
        let mut response = Response::new(bytes);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(media_type) = media_type {
            let value = HeaderValue::from_static(media_type);
            response.headers_mut().insert(CONTENT_TYPE, value);
        }
        if self.status != StatusCode::NO_CONTENT {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        response
    }
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            inner_code: None,
            target: None,
            header: None,
        }
    }

    pub(crate) fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn inner(mut self, code: &str) -> Self {
        self.inner_code = Some(code.to_owned());
        self
    }

    pub(crate) fn pending(mut self, key: &str, location: String) -> Self {
        self.target = Some(key.to_owned());
        self.header(LOCATION, location)
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.header = Some(Box::new((name, value.into())));
        self
    }

    pub(crate) fn into_answer(self, call: &Call<'_>, spelling: InnerError) -> Answer {
        let mut inner = Map::new();
        if let Some(code) = self.inner_code {
            inner.insert("code".to_owned(), code.into());
        }
        inner.insert("date".to_owned(), instant::zoneless(call.now).into());
        inner.insert("request-id".to_owned(), call.request_id.into());
        let client = call.client_request_id.unwrap_or(call.request_id);
        inner.insert("client-request-id".to_owned(), client.into());
        let mut error = json!({ "code": self.code, "message": self.message });
        let lower_documented = self.target.is_some();
        if let Some(target) = &self.target {
            error["target"] = target.as_str().into();
        }
        let (camel, lower) = match spelling {
            InnerError::Documented => (!lower_documented, lower_documented),
            InnerError::Camel => (true, false),
            InnerError::Lower => (false, true),
            InnerError::Both => (true, true),
        };
        if camel {
            error["innerError"] = Value::Object(inner.clone());
        }
        if lower {
            error["innererror"] = Value::Object(inner);
        }
        let mut answer = Answer::json(self.status, json!({ "error": error }));
        answer.job = self.target;
        if let Some((name, value)) = self.header.map(|header| *header) {
            answer.set(name, &value);
        }
        answer
    }
}

/// Returns the Location of a job whose resource is at `path` below the API version.
pub(crate) fn location(call: &Call<'_>, behaviour: &Behaviour, path: &str, quoted: bool) -> String {
    let version = match behaviour.location_version {
        LocationVersion::AsCalled => call.version,
        LocationVersion::V1 => Version::V1,
    };
    let url = match behaviour.location {
        LocationForm::Absolute => format!("{}/{}{path}", call.origin, version.segment()),
        LocationForm::Relative => path.to_owned(),
    };
    if quoted { format!("\"{url}\"") } else { url }
}
