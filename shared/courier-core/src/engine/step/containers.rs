//! The container of an operation whose request names a storage: made before the start is claimed, so that a storage that
//! fails never costs the one attempt.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::catalogue::Operation;
use crate::config::Tenant;
use crate::engine::app::App;
use crate::graph::unavailable::{Cause, NotReady};
use crate::lifecycle::schedule;
use crate::operation::{Reason, Record};

/// Pause of an operation whose storage is not in the configuration.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(300);

/// Reports whether the operation's request names a storage.
pub(super) fn is_needed(record: &Record, operation: &Operation) -> bool {
    named(record, operation).is_some()
}

/// Makes the container if one is needed, and returns its URL. The right to write into it goes into `parameters` only.
pub(super) async fn make(
    app: &App,
    record: &Record,
    operation: &Operation,
    tenant: &Tenant,
    parameters: &mut Map<String, Value>,
) -> Result<Option<String>, NotReady> {
    let Some((name, sas)) = named(record, operation) else {
        return Ok(None);
    };
    let Some(storage) = tenant.storages.get(name) else {
        return Err(NotReady {
            reason: Some(Reason::AuthorizationLost),
            detail: Some(format!("the storage {name} is no longer configured")),
            retry_after: Some(UNKNOWN_PAUSE),
            cause: Cause::Trouble,
        });
    };
    let made = app
        .storages
        .container(storage, &record.id, record.deadline)
        .await;
    let made = made.map_err(|not_ready| paced(not_ready, record, app))?;
    parameters.insert(sas.to_owned(), made.sas.expose().into());
    Ok(Some(made.url))
}

/// Returns the storage that the request names, and the parameter in whose place it does.
fn named<'a>(record: &'a Record, operation: &'a Operation) -> Option<(&'a str, &'a str)> {
    let (storage, sas) = operation.schema().storage()?;
    Some((record.parameters.get(storage)?.as_str()?, sas))
}

/// Has an operation that has waited for long ask more rarely than the account would permit.
fn paced(not_ready: NotReady, record: &Record, app: &App) -> NotReady {
    let own = match not_ready.cause {
        Cause::Trouble | Cause::Throttled => schedule::start_pause(record, app.now()),
        Cause::Turn => Duration::ZERO,
    };
    NotReady {
        retry_after: not_ready.retry_after.max(Some(own)),
        ..not_ready
    }
}
