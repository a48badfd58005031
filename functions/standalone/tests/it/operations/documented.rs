//! Every operation of the catalogue from the request that its page shows to its callback.

use courier_core::catalogue::Catalogue;
use courier_core::evidence::statement::{Observer, statement};
use courier_core::operation::OperationId;
use courier_testkit::world::World;
use serde_json::Value;

use super::{documented_requests, request, world};

#[test]
fn every_operation_of_the_catalogue_has_a_request_on_its_page() {
    let documented: Vec<String> = documented_requests()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let mut names: Vec<String> = Catalogue::shipped()
        .iter()
        .map(|operation| operation.name.clone())
        .collect();
    names.sort();
    assert_eq!(documented, names);
}

/// Fields that a job without errors and attachments does not have.
const OPTIONAL: [&str; 5] = [
    "errors",
    "errorCode",
    "attachment",
    "generatedPassword",
    "itemUrl",
];

/// Runs the documented request of an operation to its end, and returns what is not as it should be.
async fn faults(name: &str) -> Vec<String> {
    let world = world().await;
    let answer = world.post(&request(&world, name)).await;
    if answer.status / 100 != 2 {
        return vec![format!("{name}: {} {}", answer.status, answer.body)];
    }
    let ended = world.closed(&answer.id()).await;
    let mut faults = Vec::new();
    for (pointer, expected) in [("/status", "succeeded"), ("/callback/status", "delivered")] {
        if ended.pointer(pointer).and_then(Value::as_str) != Some(expected) {
            let history = world.history(&answer.id()).await;
            faults.push(format!(
                "{name}: {pointer} is not {expected}: {ended} {history:?}"
            ));
        }
    }
    let operation = Catalogue::shipped().find(name).unwrap();
    for field in operation.result.keys() {
        let is_there = ended["result"]
            .get(field)
            .is_some_and(|value| !value.is_null());
        if !is_there && !OPTIONAL.contains(&field.as_str()) {
            faults.push(format!("{name}: no {field} in {}", ended["result"]));
        }
    }
    if ended["result"]["verified"] == false {
        faults.push(format!("{name}: nobody has seen what the job has made"));
    }
    faults.extend(told(&world, name, &answer.id(), &ended).await);
    if world.simulator.jobs().len() != 1 {
        faults.push(format!("{name}: {:?}", world.simulator.jobs()));
    }
    faults
}

/// Returns the texts of request and result that the evidence of the operation repeats; it should be none.
async fn told(world: &World, name: &str, id: &str, ended: &Value) -> Vec<String> {
    let id = OperationId::parse(id).unwrap();
    let record = world.app.store.load(&id).await.unwrap().unwrap();
    let observer = Observer {
        deployment: "urn:graph-courier:d",
        operation: Catalogue::shipped().find(name),
        now: record.created_at,
    };
    let statement = statement(&record, &observer).unwrap().unwrap();
    let predicate = statement["predicate"].to_string();
    let mut texts = Vec::new();
    collect(&request(world, name)["parameters"], &mut texts);
    collect(&ended["result"], &mut texts);
    // A word alone, such as `delivered`, is one that a statement has by itself.
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
    texts.retain(|text| {
        let is_long = text.len() >= SHORTEST_TEXT && !is_word(text);
        is_long && predicate.contains(text.as_str())
    });
    texts
        .into_iter()
        .map(|text| format!("{name}: the evidence has {text}"))
        .collect()
}

/// Shorter texts are numbers and the like, which a statement may have by itself.
const SHORTEST_TEXT: usize = 6;

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[tokio::test]
async fn every_operation_ends_as_succeeded_and_its_completion_has_what_the_job_has_made() {
    let mut found = Vec::new();
    for (name, _) in documented_requests() {
        found.extend(faults(&name).await);
    }
    assert_eq!(found, Vec::<String>::new());
}
