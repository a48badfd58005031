//! The callers: three clients of two tenants, who ask, ask again when nobody answers, look, cancel and want things twice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use courier_core::operation::OperationId;
use courier_testkit::tenants::{CALLBACK_TOKEN, FABRIKAM_KEY, HR_KEY, TICKETS_KEY, sas};
use http::{Request, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::asked::{Asked, Reply};
use crate::checks;
use crate::plan::KINDS;
use crate::process::Incoming;
use crate::receivers::Manner;
use crate::world::{RECEIVER, World, lock};

/// API Gateway gives up after so long.
const PATIENCE: Duration = Duration::from_secs(30);
const TRIES: u64 = 12;

/// Where requests go in.
pub(crate) type Fronts = Vec<mpsc::UnboundedSender<Incoming>>;

/// Asks for one operation and sees to it. Returns what was acknowledged.
pub(crate) async fn ask(world: Arc<World>, fronts: Arc<Fronts>, index: u64) -> Asked {
    let mut asked = asked(&world, index);
    let pause = world.within(0..world.plan.arrivals.as_millis() as u64);
    sleep(Duration::from_millis(pause)).await;
    let mut last = None;
    for _ in 0..TRIES {
        let reply = post(&world, &fronts, &asked).await;
        match reply {
            Some(reply) if reply.status != StatusCode::SERVICE_UNAVAILABLE => {
                checks::acknowledged(&world, &mut asked, &reply);
                last = asked.acknowledged.last().cloned();
                break;
            }
            _ => {
                let pause = world.within(1..90);
                sleep(Duration::from_secs(pause)).await;
            }
        }
    }
    if let Some(id) = last.filter(|_| world.plan.curious) {
        afterwards(&world, &fronts, &asked, &id).await;
    }
    asked
}

/// Looks at what it may see and at what it may not; now and then it cancels, or wants the completion again.
async fn afterwards(world: &World, fronts: &Fronts, asked: &Asked, id: &OperationId) {
    let path = format!("/v1/operations/{id}");
    for _ in 0..world.within(1..4) {
        let pause = world.within(1..20_000);
        sleep(Duration::from_secs(pause)).await;
        let own = call(world, fronts, "GET", &path, key(asked.client), None).await;
        checks::own(world, asked, id, own);
        let other = if asked.client == "fabrikam" {
            "hr"
        } else {
            "fabrikam"
        };
        let foreign = call(world, fronts, "GET", &path, key(other), None).await;
        checks::foreign(world, id, foreign);
        let list = call(world, fronts, "GET", "/v1/operations", key(other), None).await;
        checks::list(world, other, list);
    }
    let what = match world.within(0..20) {
        0 => "cancel",
        1 => "callback/redeliver",
        _ => return,
    };
    let path = format!("{path}/{what}");
    // Whatever the answer is: the document shows what became of it.
    let _ = call(world, fronts, "POST", &path, key(asked.client), None).await;
}

async fn post(world: &World, fronts: &Fronts, asked: &Asked) -> Option<Reply> {
    let mut body = asked.body.clone();
    if asked.kind == "export" {
        // An honest retry brings a new signature.
        let signed = world.within(1..5);
        let url = sas(&asked.resource).replace("2028-01-01", &format!("2028-01-0{signed}"));
        body["parameters"]["storageLocation"] = json!(url);
    }
    let key = (key(asked.client), asked.idempotency.as_deref());
    call(
        world,
        fronts,
        "POST",
        "/v1/operations",
        key.0,
        Some((body, key.1)),
    )
    .await
}

async fn call(
    world: &World,
    fronts: &Fronts,
    method: &str,
    path: &str,
    key: &str,
    body: Option<(Value, Option<&str>)>,
) -> Option<Reply> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-api-key", key)
        .header("content-type", "application/json");
    let mut bytes = Bytes::new();
    if let Some((body, idempotency)) = body {
        bytes = Bytes::from(body.to_string());
        if let Some(idempotency) = idempotency {
            request = request.header("idempotency-key", idempotency);
        }
    }
    let request = request.body(bytes).ok()?;
    let (reply, answer) = oneshot::channel();
    let front = world.random().pick(fronts).clone();
    front.send((request, reply)).ok()?;
    let response = timeout(PATIENCE, answer).await.ok()?.ok()?;
    let (head, bytes) = response.into_parts();
    let text = String::from_utf8_lossy(&bytes);
    checks::no_secret(world, "an answer", &text);
    Some(Reply {
        status: head.status,
        headers: head.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    })
}

fn key(client: &str) -> &'static str {
    match client {
        "tickets" => TICKETS_KEY,
        "hr" => HR_KEY,
        _ => FABRIKAM_KEY,
    }
}

/// The request number `index`: what it is depends on the seed alone.
fn asked(world: &World, index: u64) -> Asked {
    let mut random = world.random();
    let (client, kinds): (_, &[&str]) = match random.within(0..10) {
        0 => ("fabrikam", &["schedule"]),
        1 | 2 => ("hr", &["schedule", "goals"]),
        3 => ("tickets", &["wipe", "workflow", "ediscovery", "team"]),
        _ => ("tickets", &["export", "export", "goals", "schedule"]),
    };
    let (client, kind) = match world.plan.operation {
        Some(kind) => ("tickets", kind),
        None => (client, *random.pick(kinds)),
    };
    // Mostly a few views and teams, for which several operations ask at once.
    let few = match world.plan.operation {
        Some(_) => index,
        None => random.within(0..5),
    };
    let guid = |number: u64| format!("6e7b768e-07e2-4810-8459-{number:012}");
    // None of the views and teams that several ask for.
    let alone = 1_000_000 + index;
    let (resource, parameters) = match kind {
        "export" => {
            let container = format!("dsar-{index}");
            let parameters = json!({ "userId": guid(index), "storageLocation": sas(&container) });
            (container, parameters)
        }
        "goals" => {
            let parameters =
                json!({ "goalsOrganizationId": guid(few / 3), "explorerViewId": guid(few) });
            (guid(few), parameters)
        }
        "wipe" => (guid(alone), json!({ "deviceId": guid(alone) })),
        "workflow" => {
            let subjects = json!([{ "id": guid(alone) }]);
            let parameters = json!({ "workflowId": guid(alone), "subjects": subjects });
            (guid(alone), parameters)
        }
        "ediscovery" => {
            let parameters = json!({
                "caseId": guid(alone),
                "searchId": guid(alone),
                "exportCriteria": "searchHits",
                "additionalOptions": "splitSource",
                "exportFormat": "pst",
            });
            (guid(alone), parameters)
        }
        "team" => (guid(alone), json!({ "groupId": guid(alone) })),
        _ => {
            let zone = *random.pick(&["America/Chicago", "Europe/Berlin", "Asia/Tokyo"]);
            let schedule = json!({ "enabled": true, "timeZone": zone });
            let parameters = json!({ "teamId": guid(few), "schedule": schedule });
            (guid(few), parameters)
        }
    };
    let operation = KINDS.iter().find(|(short, _)| *short == kind);
    let operation = operation.map_or(kind, |(_, name)| *name);
    let mut body = json!({ "operation": operation, "parameters": parameters });
    // The other clients of `CONFIG` have no receiver.
    if client == "tickets" && random.chance(0.9) {
        let path = format!("/hooks/{index}?token={CALLBACK_TOKEN}");
        body["callback"] = json!({ "url": format!("{RECEIVER}{path}") });
        let manner = match random.within(0..20) {
            0 => Manner::Refuses,
            1 => Manner::Gone,
            2..10 => Manner::Moody,
            _ => Manner::Takes,
        };
        lock(&world.receivers).manners.insert(path, manner);
    }
    let is_shared = ["goals", "schedule"].contains(&kind);
    let keyed = !is_shared || random.chance(0.7);
    if random.chance(0.3) {
        body["reference"] = json!(format!("RITM-{index}"));
    }
    if index.is_multiple_of(3) {
        body["legal"] = legal(world, index);
    }
    Asked {
        client,
        kind,
        resource,
        body,
        idempotency: keyed.then(|| format!("key-{index}")),
        acknowledged: Vec::new(),
    }
}

/// Returns a legal clock that began so long ago that the due date is near for some requests, and has passed for others.
fn legal(world: &World, index: u64) -> Value {
    let age = SignedDuration::from_hours(24 * (20 + (index % 15).cast_signed()));
    let received_at = world.now().saturating_sub(age).unwrap_or_default();
    json!({ "regulation": "gdpr", "receivedAt": received_at, "timeZone": "Europe/Berlin", "holidays": "de" })
}
