//! The function behind an intake queue: starts what each event of a batch asks for, and returns a partial batch response.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use courier_aws::host::Host;
use courier_aws::intake::Arrival;
use courier_aws::{at_millisecond, clock, logging, settings};
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::start(&settings::environment)?;
    let host = Host::start(settings::environment, clock()).await;
    let host = host.inspect_err(|error| tracing::error!(%error, "the function cannot start"))?;
    lambda_runtime::run(service_fn(|event| accept(&host, event))).await
}

/// Handles one batch.
///
/// An error either fails the whole batch or names the messages that stay, because an empty answer deletes all of them.
async fn accept(host: &Host, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let arrivals = event.payload.records.into_iter().map(arrival);
    let arrivals: Vec<Arrival> = arrivals
        .collect::<Option<_>>()
        .ok_or("a record has no id, or does not name its queue")?;
    let ends_at = at_millisecond(event.context.deadline);
    let mut response = SqsBatchResponse::default();
    for id in host.accept(&arrivals, ends_at).await {
        response.add_failure(id);
    }
    Ok(response)
}

/// Reads one message. Lambda says which queue it comes from: nothing in the message can.
fn arrival(record: SqsMessage) -> Option<Arrival> {
    let receives = record.attributes.get("ApproximateReceiveCount");
    let receives = receives.and_then(|count| count.parse().ok());
    Some(Arrival {
        id: record.message_id?,
        receipt: record.receipt_handle?,
        queue_arn: record.event_source_arn?,
        receives: receives.unwrap_or(1),
        body: record.body.unwrap_or_default(),
    })
}
