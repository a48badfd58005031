//! What one address answers: the console for people, and the API for programs.

use bytes::Bytes;
use courier_core::engine::app::App;
use http::{Request, Response};
use jiff::Timestamp;
use url::Url;

/// Answers a request to the console or to the API, which the console asks in turn.
pub(crate) async fn answer(app: &App, request: Request<Bytes>) -> Response<Bytes> {
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
