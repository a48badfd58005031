//! The console: what it shows to whom, and what it refuses.

mod acts;
#[cfg(feature = "second-tier")]
mod browser;
mod doors;
mod legal;
mod requests;

use bytes::Bytes;
use courier_testkit::world::{Setup, World};
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// The keys of two operators; the second one only looks.
pub(crate) const NIGHT: &str = "night-shift-key";
pub(crate) const AUDITOR: &str = "auditor-key";
const HOST: &str = "courier.example";
const ORIGIN: &str = "https://courier.example";

/// Adds two operators: one of everything, and one that only reads.
pub(crate) fn operators(setup: &mut Setup) {
    let hash = |key: &str| -> String {
        let hash = Sha256::digest(key);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    setup.config.push_str(&format!(
        "[operators.night-shift]\napi_keys = [\"sha256:{}\"]\n\
         [operators.auditor]\napi_keys = [\"sha256:{}\"]\nread_only = true\n",
        hash(NIGHT),
        hash(AUDITOR),
    ));
}

/// A browser with the cookie of a key; without one if it has not logged in.
pub(crate) struct Visitor<'w> {
    world: &'w World,
    cookie: Option<String>,
}

/// An answer of the console.
pub(crate) struct Shown {
    pub(crate) status: u16,
    pub(crate) head: http::HeaderMap,
    pub(crate) text: String,
}

impl Shown {
    fn of(response: Response<Bytes>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status.as_u16(),
            head: head.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.head
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that the page has each of these texts.
    pub(crate) fn has(&self, texts: &[&str]) {
        for text in texts {
            assert!(
                self.text.contains(text),
                "{text:?} is missing: {}",
                self.text
            );
        }
    }

    pub(crate) fn is_login(&self) -> bool {
        self.text.contains("name=\"key\"") && !self.text.contains("<nav")
    }
}

impl<'w> Visitor<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        Self {
            world,
            cookie: None,
        }
    }

    pub(crate) async fn with_key(world: &'w World, key: &str) -> Self {
        let mut visitor = Self::new(world);
        let shown = visitor.post("/console/login", &[("key", key)]).await;
        assert_eq!(shown.status, 303, "{}", shown.text);
        let cookie = shown.header("set-cookie").split(';').next().unwrap();
        visitor.cookie = Some(cookie.to_owned());
        visitor
    }

    pub(crate) async fn get(&self, path: &str) -> Shown {
        self.send("GET", path, &[], "").await
    }

    /// Sends a form of one of the console's own pages.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let own = [("origin", ORIGIN), ("sec-fetch-site", "same-origin")];
        self.send("POST", path, &own, &form(fields)).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Shown {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", HOST);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let request = request.body(Bytes::from(body.to_owned())).unwrap();
        assert!(courier_console::serves(&request), "{path}");
        let app = &self.world.app;
        let api = |request| courier_core::http::handle(app, request, Timestamp::MAX);
        let now = self.world.clock.now();
        Shown::of(courier_console::handle(request, "", now, api).await)
    }
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields);
    body.finish()
}

/// Asserts that the form led on, and returns the page that it led to.
pub(crate) async fn followed(visitor: &Visitor<'_>, shown: Shown) -> Shown {
    assert_eq!(
        shown.status,
        StatusCode::SEE_OTHER.as_u16(),
        "{}",
        shown.text
    );
    visitor.get(shown.header("location")).await
}
