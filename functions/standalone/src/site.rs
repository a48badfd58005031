//! What one address answers: the console for people, and the API for programs.

use bytes::Bytes;
use courier_core::engine::app::App;
use courier_core::time::http_date;
use http::{HeaderValue, Request, Response, header};
use jiff::Timestamp;
use url::Url;

/// Answers a request to the console or to the API. `Date` is the time by which this service reckons, so that a client can
/// reckon by it too.
pub(crate) async fn answer(app: &App, request: Request<Bytes>) -> Response<Bytes> {
    let mut response = page_or_document(app, request).await;
    if let Ok(date) = HeaderValue::from_str(&http_date((app.clock)())) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// Answers a request to the console or to the API, which the console asks in turn.
async fn page_or_document(app: &App, request: Request<Bytes>) -> Response<Bytes> {
    let api = |request| courier_core::http::handle(app, request, Timestamp::MAX);
    if !courier_console::serves(&request) {
        return api(request).await;
    }
    // Behind a proxy that serves a part of a host, links begin with that part.
    let public = app.config.public_url.as_deref().map(Url::parse);
    let public = public.and_then(Result::ok);
    let prefix = public.as_ref().map_or("", |url| url.path());
    let prefix = prefix.trim_end_matches('/');
    courier_console::handle(request, prefix, (app.clock)(), api).await
}
