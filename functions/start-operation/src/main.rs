//! The function behind every HTTP endpoint on AWS: parse → record → message → Graph → 202.

mod http_event;
mod repair;
mod target;

use courier_aws::host::Host;
use courier_aws::{at_millisecond, clock, logging, settings};
use courier_core::http::RemovedPrefix;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;

use crate::http_event::HttpEvent;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::start(&settings::environment)?;
    let base_path = settings::base_path(&settings::environment);
    let has_console = settings::has_console(&settings::environment);
    let host = Host::start(settings::environment, clock()).await;
    let host = host.inspect_err(|error| tracing::error!(%error, "the function cannot start"))?;
    lambda_runtime::run(service_fn(|event| {
        answer(&host, (base_path.as_deref(), has_console), event)
    }))
    .await
}

async fn answer(
    host: &Host,
    (base_path, has_console): (Option<&str>, bool),
    event: LambdaEvent<HttpEvent>,
) -> Result<impl Serialize, Error> {
    let ends_at = at_millisecond(event.context.deadline);
    http_event::answer(event, base_path, move |request| async move {
        let api = |request| host.answer(request, ends_at);
        if !has_console || !courier_console::serves(&request) {
            return api(request).await;
        }
        let removed = request.extensions().get::<RemovedPrefix>().cloned();
        let prefix = removed.map_or_else(String::new, |RemovedPrefix(prefix)| prefix);
        courier_console::handle(request, &prefix, clock()(), api).await
    })
    .await
}
