//! The invariants (ARCHITECTURE.md), as far as one call, one callback or one answer can show them.

use courier_core::operation::OperationId;
use courier_core::operation::{Record, State};
use courier_core::outbound::Call;
use courier_testkit::receiver::Callback;
use courier_testkit::tenants::{
    CALLBACK_TOKEN, GRAPH_SECRET, REFRESH_TOKEN, SAS_SIGNATURE, SIGNING_SECRETS,
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::asked::{Asked, Reply};
use crate::world::{World, lock};

/// A path without what is random in it, for the trace.
pub(crate) fn without_ids(path: &str) -> String {
    let parts = path.split('/').map(|part| {
        let is_random = |letter: char| letter.is_ascii_digit() || letter == '!';
        let long = part.len() >= 20 && part.contains(is_random);
        if long { "*" } else { part }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// I11: no secret of a test is in this text.
pub(crate) fn no_secret(world: &World, place: &str, text: &str) {
    let secrets = [GRAPH_SECRET, REFRESH_TOKEN, SAS_SIGNATURE, CALLBACK_TOKEN];
    for secret in secrets.into_iter().chain(SIGNING_SECRETS) {
        if text.contains(secret) {
            world.broken(format_args!("I11: a secret in {place}"));
        }
    }
}

/// I14: what is written says why it waits.
pub(crate) fn not_silent(world: &World, record: &Record) {
    if record.is_silent() {
        let id = &record.id;
        world.broken(format_args!("I14: {id} waits without a reason: {record:?}"));
    }
}

/// I9: Graph gets a token, the token endpoint none.
pub(crate) fn credentials(world: &World, call: &Call) {
    let bare = call.url.path().contains("/oauth2/");
    if bare == call.headers.contains_key(http::header::AUTHORIZATION) {
        world.broken(format_args!("I9: the wrong credentials for {}", call.url));
    }
}

/// A start goes out while its lease lasts: later, others have found out what became of it.
pub(crate) fn within_lease(world: &World, call: &Call) {
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let Some(url) = body["storageLocation"].as_str() else {
        return;
    };
    let records = lock(&world.records);
    let container = container(url);
    let mut of = records.all();
    let of = of.find(|record| resource(record) == container);
    let state = of.map(|record| &record.state);
    let in_time =
        matches!(state, Some(State::Starting { lease_until }) if world.now() < *lease_until);
    if !in_time {
        world.broken(format_args!("{container} was started after its lease"));
    }
}

/// The container of a SAS URL.
pub(crate) fn container(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// The resource of an operation, as Graph's journal names it: a container, a view, a team, a device.
pub(crate) fn resource(record: &Record) -> &str {
    let names = [
        "storageLocation",
        "explorerViewId",
        "teamId",
        "deviceId",
        "workflowId",
        "caseId",
        "groupId",
    ];
    let mut values = names.iter().filter_map(|name| record.parameters.get(*name));
    values.find_map(Value::as_str).unwrap_or_default()
}

/// I4 and I7 for announcements: what the target of events gets is durable, word for word, and one event of one id.
pub(crate) fn announcement(world: &World, request: &Callback) {
    let text = String::from_utf8_lossy(&request.body).into_owned();
    no_secret(world, "an event", &text);
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let id = body["data"]["id"].as_str().and_then(OperationId::parse);
    let record = id.and_then(|id| lock(&world.records).get(&id).cloned());
    let durable = record.is_some_and(|record| {
        let announcement = record.announcement.as_ref();
        record.state.outcome().is_some() && announcement.is_some_and(|one| one.event.body == text)
    });
    let name = body["data"]["id"].as_str().unwrap_or_default();
    if !durable {
        world.broken(format_args!("I7: {name} is announced and not durable"));
    }
    let event = request.header("webhook-id").unwrap_or_default().to_owned();
    let mut receivers = lock(&world.receivers);
    let first = receivers.announced.entry(name.to_owned());
    let got = (event, text);
    if *first.or_insert_with(|| got.clone()) != got {
        world.broken(format_args!("I4: {name} has two announcements"));
    }
}

/// I7: what a receiver gets is durable, word for word.
pub(crate) fn callback(world: &World, callback: &Callback) {
    let text = String::from_utf8_lossy(&callback.body);
    no_secret(world, "a callback", &text);
    let body: Value = serde_json::from_slice(&callback.body).unwrap_or_default();
    let id = body["data"]["id"].as_str().and_then(OperationId::parse);
    let records = lock(&world.records);
    let record = id.and_then(|id| records.get(&id).cloned());
    drop(records);
    let durable = record.is_some_and(|record| {
        let event = record.event.as_ref();
        record.state.outcome().is_some() && event.is_some_and(|event| event.body == text)
    });
    if !durable {
        world.broken(format_args!(
            "I7: a callback before its end is durable: {text}"
        ));
    }
}

/// An answer to a request: what is acknowledged is on disk.
pub(crate) fn acknowledged(world: &World, asked: &mut Asked, reply: &Reply) {
    let operation = match reply.status {
        StatusCode::ACCEPTED | StatusCode::OK => &reply.body,
        StatusCode::UNPROCESSABLE_ENTITY => &reply.body["operation"],
        other => {
            return world.broken(format_args!(
                "a good request was answered {other}: {}",
                reply.body
            ));
        }
    };
    let id = operation["id"].as_str().and_then(OperationId::parse);
    let Some(id) = id else {
        return world.broken(format_args!("an answer without an id: {}", reply.body));
    };
    if reply.headers.get("location").is_none() {
        world.broken("an answer without a Location");
    }
    if lock(&world.records).get(&id).is_none() {
        world.broken(format_args!("I8: {id} was acknowledged and is not on disk"));
    }
    asked.acknowledged.push(id);
}

/// The owner sees its operation.
pub(crate) fn own(world: &World, asked: &Asked, id: &OperationId, reply: Option<Reply>) {
    let Some(reply) = reply.filter(|reply| reply.status != StatusCode::SERVICE_UNAVAILABLE) else {
        return;
    };
    if !reply.status.is_success() || reply.body["id"] != json!(id.as_str()) {
        world.broken(format_args!(
            "{} cannot see its {id}: {} {}",
            asked.client, reply.status, reply.body
        ));
    }
}

/// I10: to everybody else it does not exist.
pub(crate) fn foreign(world: &World, id: &OperationId, reply: Option<Reply>) {
    let hidden = [StatusCode::NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE];
    if let Some(reply) = reply.filter(|reply| !hidden.contains(&reply.status)) {
        world.broken(format_args!("I10: {id} shown to another: {}", reply.status));
    }
}

/// I10: a list has the caller's own operations only.
pub(crate) fn list(world: &World, client: &str, reply: Option<Reply>) {
    let Some(reply) = reply.filter(|reply| reply.status == StatusCode::OK) else {
        return;
    };
    let records = lock(&world.records);
    for operation in reply.body["operations"].as_array().into_iter().flatten() {
        let id = operation["id"].as_str().and_then(OperationId::parse);
        let owner = id.and_then(|id| Some(records.get(&id)?.client.clone()));
        if owner.as_deref() != Some(client) {
            world.broken(format_args!("I10: {client} was shown {operation}"));
        }
    }
}

/// Lines of a history that is checked with each write.
const SHORT_HISTORY: usize = 12;

/// I15: the history leads to the head of its chain by way of the head before, so no entry was written anew.
pub(crate) fn chained(before: Option<&Record>, after: &Record) -> Option<&'static str> {
    if before.is_some_and(|before| before.history == after.history && before.chain == after.chain) {
        return None;
    }
    // A storm fills histories; each of those is looked at now and then, and when its operation has ended.
    let is_long = after.history.len() > SHORT_HISTORY;
    if is_long && !after.revision.is_multiple_of(16) && after.state.outcome().is_none() {
        return None;
    }
    let Ok(Some((_, links))) = after.chained() else {
        return Some("I15: the history does not lead to the head of its chain");
    };
    let head = before.and_then(|before| before.chain.as_ref());
    let goes_on = head.is_none_or(|chain| links.iter().any(|link| link.hash == chain.head));
    (!goes_on).then_some("I15: an entry of the history was written anew")
}
