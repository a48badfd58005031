//! The page that asks for a key, which is all that somebody without one sees.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use maud::html;
use url::form_urlencoded;

use crate::HOME;
use crate::answer::{html as answer, redirect, set};
use crate::api::{Api, Call};
use crate::layout::{Page, Place, Site, notice, whole};
use crate::session::{self, Channel};

/// Why no key was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody knows the key. Whether it is old, mistyped or another program's is not told.
    UnknownKey,
    /// The page came by plain http over a network.
    NoHttps,
    /// The API cannot say whose key it is.
    NotNow,
    Foreign,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Self::UnknownKey => "This key opens nothing here.",
            Self::NoHttps => {
                "The key would travel in plain text. Open the console by https, or on the machine itself."
            }
            Self::NotNow => "The service cannot check a key just now. Try again in a moment.",
            Self::Foreign => {
                "This form was sent from another page, so nothing was done. Open the console and try again."
            }
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::UnknownKey | Self::NoHttps | Self::Foreign => StatusCode::FORBIDDEN,
            Self::NotNow => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Returns the page that asks for a key, and leads to the page that was asked for.
pub(crate) fn page(site: &Site<'_>, request: &Request<Bytes>, why: Option<Why>) -> Response<Bytes> {
    let asked = request.uri().path_and_query();
    let next = asked.map_or(HOME, |asked| asked.as_str());
    page_to(site, request, next, why)
}

fn page_to(
    site: &Site<'_>,
    request: &Request<Bytes>,
    next: &str,
    why: Option<Why>,
) -> Response<Bytes> {
    let content = html! {
        section.login aria-labelledby="login" {
            h1 #login { "Console" }
            @if let Some(why) = why { (notice("bad", &html! { p { (why.text()) } })) }
            form method="post" action=(site.link("/login")) {
                input type="hidden" name="next" value=(own_path(next));
                label for="key" { "API key" }
                input #key type="password" name="key" required autocomplete="current-password"
                    spellcheck="false" autocapitalize="off" autofocus aria-describedby="about";
                p.hint #about {
                    "The key of an operator or of a client. It stays in a cookie of this browser, which no script can read, for twelve hours."
                }
                button.primary { "Open the console" }
            }
        }
    };
    let page = Page {
        status: why.map_or(StatusCode::OK, Why::status),
        retry_after: None,
        title: "Log in".to_owned(),
        place: Place::Elsewhere,
        caller: None,
        content,
    };
    let mut response = answer(request, &whole(site, &page), page.status);
    let fetched = request.headers().get("sec-fetch-site");
    let from_elsewhere = fetched.is_some_and(|site| site == "cross-site" || site == "same-site");
    if from_elsewhere && why.is_none() && request.method() == http::Method::GET {
        // A strict cookie is left out when a link of another site is followed. Asked again from here, it is sent.
        set(&mut response, "refresh", "0");
    }
    response
}

/// Takes a key, if the API knows it.
pub(crate) async fn log_in<'c>(
    site: &Site<'_>,
    request: &Request<Bytes>,
    call: &'c Call<'c>,
) -> Response<Bytes> {
    let (mut key, mut next) = (String::new(), String::new());
    for (name, value) in form_urlencoded::parse(request.body()) {
        match name.as_ref() {
            "key" => value.trim().clone_into(&mut key),
            "next" => next = value.into_owned(),
            _ => {}
        }
    }
    let channel = session::channel(request);
    let why = match channel {
        Channel::Open => Some(Why::NoHttps),
        Channel::Https | Channel::Loopback if !session::is_possible(&key) => Some(Why::UnknownKey),
        Channel::Https | Channel::Loopback => {
            let checked = Api::new(call, &key).caller().await;
            checked.err().map(|answer| match answer.status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Why::UnknownKey,
                _ => Why::NotNow,
            })
        }
    };
    if why.is_some() {
        return page_to(site, request, &next, why);
    }
    let mut response = redirect(&format!("{}{}", site.prefix, own_path(&next)));
    append_cookie(&mut response, &session::kept(&key, channel));
    response
}

/// Forgets the key.
pub(crate) fn log_out(site: &Site<'_>, request: &Request<Bytes>) -> Response<Bytes> {
    let mut response = redirect(&site.home());
    forget(&mut response);
    // Also what the browser keeps to go back to.
    if session::channel(request) == Channel::Https {
        set(&mut response, "clear-site-data", "\"cache\"");
    }
    response
}

/// Answers a key that was known when it was typed, and is not any more.
pub(crate) fn refused(site: &Site<'_>, request: &Request<Bytes>) -> Response<Bytes> {
    let mut response = page(site, request, Some(Why::UnknownKey));
    forget(&mut response);
    response
}

/// Answers a form that another page has sent.
pub(crate) fn foreign(site: &Site<'_>, request: &Request<Bytes>) -> Response<Bytes> {
    page_to(site, request, HOME, Some(Why::Foreign))
}

fn forget(response: &mut Response<Bytes>) {
    for cookie in session::forgotten() {
        append_cookie(response, &cookie);
    }
}

fn append_cookie(response: &mut Response<Bytes>, cookie: &str) {
    if let Ok(mut cookie) = HeaderValue::from_str(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Returns where to go after the login: a page of the console, whatever the form says.
fn own_path(next: &str) -> &str {
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let is_page =
        crate::is_own(path) && !["/login", "/logout"].iter().any(|end| path.ends_with(end));
    let plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_page && plain { next } else { HOME }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_page_of_the_console_only() {
        for (next, goes) in [
            (
                "/console/operations/op_1?done=cancel",
                "/console/operations/op_1?done=cancel",
            ),
            ("/console", "/console"),
            ("https://evil.example/console", "/console"),
            ("//evil.example/console", "/console"),
            ("/consolefoo", "/console"),
            ("/console/\r\nset-cookie: a=b", "/console"),
            ("/console/login", "/console"),
            ("/console/\\\\evil.example", "/console"),
            ("", "/console"),
        ] {
            assert_eq!(own_path(next), goes, "{next:?}");
        }
    }
}
