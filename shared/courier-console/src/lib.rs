//! The console: pages for people, and one function from a request to its response.
//!
//! It is a client of the API in the same process: it asks with the key of the person who looks, so it can do what that
//! key can do, and nothing else. It keeps nothing.

mod acts;
mod answer;
mod api;
mod assets;
mod csv;
mod evidence;
mod filter;
mod form;
mod layout;
mod legal;
mod list;
mod login;
mod many;
mod new_request;
mod operation;
mod problem;
mod schema_form;
mod session;
mod test_callback;
mod text;
mod timeline;
mod times;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;

use answer::{Reply, Secured, html, redirect};
use api::Api;
use layout::Site;
use session::Session;

/// Where every page of the console is.
const HOME: &str = "/console";

/// Returns whether the console answers this request: what is below `/console`, and whoever looks at the bare host.
pub fn serves(request: &Request<Bytes>) -> bool {
    let path = request.uri().path();
    is_own(path) || path == "/" && is_read(request.method())
}

fn is_own(path: &str) -> bool {
    path.strip_prefix(HOME)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Answers a request that the console [serves].
///
/// `prefix` is what a gateway has removed in front of the path, and stands in front of each link. `api` answers requests
/// to the API.
pub async fn handle<A, F>(
    request: Request<Bytes>,
    prefix: &str,
    now: Timestamp,
    api: A,
) -> Response<Bytes>
where
    A: Fn(Request<Bytes>) -> F + Sync,
    F: Future<Output = Response<Bytes>> + Send,
{
    let call = |request| -> api::Answering<'_> { Box::pin(api(request)) };
    let site = Site { prefix, now };
    let mut response = respond(&site, &request, &call).await;
    response.secure();
    response
}

/// Answers what needs no key, then finds the key, and then the page.
async fn respond<'c>(
    site: &Site<'_>,
    request: &Request<Bytes>,
    call: &'c api::Call<'c>,
) -> Response<Bytes> {
    let Some(path) = request.uri().path().strip_prefix(HOME) else {
        return redirect(&site.home());
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    if let Some(name) = path.strip_prefix("/assets/") {
        return assets::serve(request, name);
    }
    let reads = is_read(request.method());
    if !reads && request.method() != Method::POST {
        return method_not_allowed();
    }
    if !reads && !session::is_from_here(request) {
        return login::foreign(site, request);
    }
    match path {
        "/login" if !reads => return login::log_in(site, request, call).await,
        "/logout" if !reads => return login::log_out(site, request),
        _ => {}
    }
    let Some(session) = Session::read(request.headers()) else {
        return login::page(site, request, None);
    };
    let api = Api::new(call, &session.key);
    let reply = page(site, &api, request, path, reads).await;
    let mut response = match reply {
        Reply::LoggedOut => login::refused(site, request),
        Reply::Page(page) => {
            let mut response = html(request, &layout::whole(site, &page), page.status);
            if let Some(seconds) = &page.retry_after {
                answer::set(&mut response, "retry-after", seconds);
            }
            response
        }
        Reply::See(path) => redirect(&format!("{}{path}", site.home())),
        Reply::File(response) => response,
    };
    // The name of the caller, for the line in the log.
    response.extensions_mut().extend(api.extensions());
    response
}

/// Finds the page of a path, for whoever has a key.
async fn page(
    site: &Site<'_>,
    api: &Api<'_>,
    request: &Request<Bytes>,
    path: &str,
    reads: bool,
) -> Reply {
    let query = request.uri().query().unwrap_or_default();
    let caller = match api.caller().await {
        Ok(caller) => caller,
        Err(answer) => return problem::reply(site, None, &answer),
    };
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let outcome = match (parts.as_slice(), reads) {
        ([], true) => list::page(site, api, &caller, query).await,
        (["operations.csv"], true) => csv::file(api, site.now, query).await,
        (["new"], true) => Ok(new_request::page(site, &caller, query)),
        (["new"], false) => new_request::submit(site, api, &caller, request).await,
        (["redeliver"], true) => many::page(site, api, &caller, query).await,
        (["redeliver"], false) => many::submit(site, api, &caller, request).await,
        (["test"], true) => Ok(test_callback::page(site, &caller, query)),
        (["test"], false) => test_callback::submit(site, api, &caller, request).await,
        (["operations", id], true) => operation::page(site, api, &caller, id, query).await,
        (["operations", id, "evidence"], true) => evidence::file(api, id).await,
        (["operations", id, act], true) => acts::page(site, api, &caller, id, act).await,
        (["operations", id, act], false) => {
            acts::submit(site, api, &caller, id, act, request).await
        }
        _ => Ok(problem::nothing_here(site, &caller)),
    };
    outcome.unwrap_or_else(|answer| problem::reply(site, Some(&caller), &answer))
}

fn method_not_allowed() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"Use GET or POST.\n"));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    answer::set(&mut response, "allow", "GET, HEAD, POST");
    answer::set(&mut response, "content-type", "text/plain; charset=utf-8");
    response
}
