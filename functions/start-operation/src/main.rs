//! The function behind every HTTP endpoint on AWS: parse → record → message → Graph → 202.

mod http_event;
mod repair;
mod target;

use courier_aws::host::Host;
use courier_aws::{at_millisecond, clock, logging, settings};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;

use crate::http_event::HttpEvent;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::start(&settings::environment)?;
    let base_path = settings::base_path(&settings::environment);
    let host = Host::start(settings::environment, clock()).await;
    let host = host.inspect_err(|error| tracing::error!(%error, "the function cannot start"))?;
    lambda_runtime::run(service_fn(|event| {
        answer(&host, base_path.as_deref(), event)
    }))
    .await
}

async fn answer(
    host: &Host,
    base_path: Option<&str>,
    event: LambdaEvent<HttpEvent>,
) -> Result<impl Serialize, Error> {
    let ends_at = at_millisecond(event.context.deadline);
    http_event::answer(event, base_path, move |request| {
        host.answer(request, ends_at)
    })
    .await
}
