//! The function behind the queue: runs one step for each message of a batch, and returns a partial batch response.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use courier_aws::batch::Delivery;
use courier_aws::host::Host;
use courier_aws::{at_millisecond, clock, logging, settings};
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::start(&settings::environment)?;
    let host = Host::start(settings::environment, clock()).await;
    let host = host.inspect_err(|error| tracing::error!(%error, "the function cannot start"))?;
    lambda_runtime::run(service_fn(|event| work(&host, event))).await
}

/// Handles one batch.
///
/// An error either fails the whole batch or names the messages that stay, because an empty answer deletes all of them.
async fn work(host: &Host, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let deliveries = event.payload.records.into_iter().map(delivery);
    let deliveries: Vec<Delivery> = deliveries
        .collect::<Option<_>>()
        .ok_or("a record has no id")?;
    let ends_at = at_millisecond(event.context.deadline);
    let mut response = SqsBatchResponse::default();
    for id in host.work(&deliveries, ends_at).await {
        response.add_failure(id);
    }
    Ok(response)
}

/// Reads one message; missing counts and times default to those of a first receive.
fn delivery(record: SqsMessage) -> Option<Delivery> {
    let number = |name: &str| record.attributes.get(name)?.parse::<u64>().ok();
    let receives = number("ApproximateReceiveCount").and_then(|count| u32::try_from(count).ok());
    let sent_at = number("SentTimestamp").map_or(Timestamp::MAX, at_millisecond);
    Some(Delivery {
        receives: receives.unwrap_or(1),
        sent_at,
        id: record.message_id?,
        receipt: record.receipt_handle?,
        body: record.body.unwrap_or_default(),
    })
}
