//! Requests to the API with the key of the person who looks, and what their answers say.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::Value;

/// The answer of the API, to come.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Response<Bytes>> + Send + 'a>>;
/// The API as a function.
pub(crate) type Call<'a> = dyn Fn(Request<Bytes>) -> Answering<'a> + Sync + 'a;

/// The API, as one person may use it.
pub(crate) struct Api<'a> {
    call: &'a Call<'a>,
    key: String,
    extensions: Mutex<Extensions>,
}

/// What the API has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body as JSON; null if it is none.
    pub(crate) body: Value,
    pub(crate) bytes: Bytes,
}

/// Who looks, as far as the API says it.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    pub(crate) name: String,
    /// An operator sees the operations of several clients, whose names these are.
    pub(crate) is_operator: bool,
    pub(crate) clients: Vec<String>,
    pub(crate) read_only: bool,
    /// The operations that the caller may ask for: the list of `GET /v1/catalogue`.
    pub(crate) catalogue: Vec<Value>,
}

impl<'a> Api<'a> {
    pub(crate) fn new(call: &'a Call<'a>, key: &str) -> Self {
        Self {
            call,
            key: key.to_owned(),
            extensions: Mutex::default(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Answer> {
        self.send(Method::GET, path, &[], None).await
    }

    /// Asks, and returns an answer that refuses as the error.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Answer> {
        let bytes = body.map(|body| Bytes::from(body.to_string()));
        let mut request = Request::new(bytes.unwrap_or_default());
        *request.method_mut() = method;
        let Ok(uri) = path.parse() else {
            return Err(Answer::none(StatusCode::NOT_FOUND));
        };
        *request.uri_mut() = uri;
        let Ok(mut key) = HeaderValue::from_str(&self.key) else {
            return Err(Answer::none(StatusCode::UNAUTHORIZED));
        };
        key.set_sensitive(true);
        let names = request.headers_mut();
        names.insert("x-api-key", key);
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            names.insert(header::CONTENT_TYPE, json);
        }
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                names.insert(*name, value);
            }
        }
        let (head, bytes) = (self.call)(request).await.into_parts();
        let extensions = self.extensions.lock();
        let mut extensions = extensions.unwrap_or_else(PoisonError::into_inner);
        extensions.extend(head.extensions);
        drop(extensions);
        let answer = Answer {
            status: head.status,
            headers: head.headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            bytes,
        };
        match answer.status.is_success() {
            true => Ok(answer),
            false => Err(answer),
        }
    }

    /// Asks who looks, and what that caller may ask for.
    pub(crate) async fn caller(&self) -> Result<Caller, Answer> {
        let answer = self.get("/v1/catalogue").await?;
        let caller = &answer.body["caller"];
        let names = |value: &Value| -> Vec<String> {
            let names = value.as_array().map(Vec::as_slice).unwrap_or_default();
            let names = names.iter().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        };
        let operations = answer.body["operations"].as_array();
        Ok(Caller {
            name: word(&caller["name"]).to_owned(),
            is_operator: word(&caller["kind"]) == "operator",
            clients: names(&caller["clients"]),
            read_only: caller["readOnly"].as_bool().unwrap_or_default(),
            catalogue: operations.cloned().unwrap_or_default(),
        })
    }

    /// Returns what the answers so far had as extensions.
    pub(crate) fn extensions(self) -> Extensions {
        let extensions = self.extensions.into_inner();
        extensions.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    /// An answer without a body, for what the API could not be asked.
    pub(crate) fn none(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Value::Null,
            bytes: Bytes::new(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the last part of the problem's type, such as `read-only`.
    pub(crate) fn problem(&self) -> &str {
        word(&self.body["type"])
            .rsplit(':')
            .next()
            .unwrap_or_default()
    }

    /// Returns the rules that the request broke, each with the pointer, parameter or header that broke it.
    pub(crate) fn errors(&self) -> Vec<(String, String)> {
        let errors = self.body["errors"].as_array();
        let errors = errors.map(Vec::as_slice).unwrap_or_default().iter();
        let place = |error: &Value| {
            let names = ["pointer", "parameter", "header"];
            let place = names.iter().find_map(|name| error[name].as_str());
            place.unwrap_or_default().to_owned()
        };
        errors
            .map(|error| (place(error), word(&error["rule"]).to_owned()))
            .collect()
    }
}

/// Returns the text of a JSON string, and nothing for other values.
pub(crate) fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns the path of an operation in the API; an id that cannot be one is not found there.
pub(crate) fn operation_path(id: &str) -> String {
    let plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    let id: String = id.chars().filter(plain).take(64).collect();
    format!("/v1/operations/{id}")
}
