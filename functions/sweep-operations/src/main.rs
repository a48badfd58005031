//! The function on a schedule: sends a new message for each overdue record. It ignores its event.

use courier_aws::host::Host;
use courier_aws::{at_millisecond, clock, logging, settings};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::start(&settings::environment)?;
    let host = Host::start(settings::environment, clock()).await;
    let host = host.inspect_err(|error| tracing::error!(%error, "the function cannot start"))?;
    lambda_runtime::run(service_fn(|event| sweep(&host, event))).await
}

async fn sweep(host: &Host, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let ends_at = at_millisecond(event.context.deadline);
    // The runtime logs errors in full, and the log already has the cause.
    let overdue = host
        .sweep(ends_at)
        .await
        .map_err(|_| "the sweep was not finished")?;
    Ok(json!({ "overdue": overdue }))
}
