//! The function behind the HTTP API: parse → record → message → Graph → 202. HTTP API payload 2.0 and Function URLs.

use std::sync::Arc;

use courier_aws::host::Host;
use courier_aws::{at_millisecond, clock, logging, settings};
use http::{Request, Response};
use lambda_http::{Body, Error, RequestExt, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::start(&settings::environment)?;
    let host = Host::start(settings::environment, clock()).await;
    let host = Arc::new(host.inspect_err(|error| tracing::error!(%error, "cannot start"))?);
    lambda_http::run(service_fn(move |request| {
        answer(Arc::clone(&host), request)
    }))
    .await
}

async fn answer(host: Arc<Host>, request: Request<Body>) -> Result<Response<Body>, Error> {
    let ends_at = at_millisecond(request.lambda_context().deadline);
    let request = request.map(|body| match body {
        Body::Empty => Vec::new().into(),
        Body::Text(text) => text.into(),
        Body::Binary(bytes) => bytes.into(),
        _ => Vec::new().into(),
    });
    let (parts, body) = host.answer(request, ends_at).await.into_parts();
    // All our answers are JSON.
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Response::from_parts(parts, Body::Text(body)))
}
