//! The calls with which another process reads the simulator's journal and jobs and adds faults. They are not in the
//! journal.

use http::request::Parts;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::{Answer, Content};
use crate::fault::Fault;
use crate::shared::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finish {
    job: String,
    word: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    operation: String,
    variant: String,
}

/// Returns the answer to a path below `/__`, or `None` for any other path.
pub(crate) fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Option<Answer> {
    let path = head.uri.path().strip_prefix("/__")?;
    Some(match (&head.method, path) {
        (&Method::GET, "journal") => {
            let since = since(head.uri.query().unwrap_or_default());
            listed(shared.world().journal.since(since))
        }
        (&Method::GET, "jobs") => listed(&shared.world().backend.jobs.all((shared.clock)())),
        (&Method::GET, "script") => listed(&shared.world().script.unused()),
        (&Method::POST, "script") => match Fault::from_json(body) {
            Ok(faults) => {
                let mut world = shared.world();
                let unknown =
                    |fault: &Fault| fault.check_name(|name| world.declared.knows(name)).err();
                if let Some(error) = faults.iter().find_map(unknown) {
                    return Some(refused(&error.to_string()));
                }
                faults.into_iter().for_each(|fault| world.script.add(fault));
                Answer::new(StatusCode::NO_CONTENT, Content::Empty)
            }
            Err(error) => refused(&error.to_string()),
        },
        (&Method::POST, "variant") => match serde_json::from_slice::<Choice>(body) {
            Ok(Choice { operation, variant }) => {
                match shared.world().declared.set_variant(&operation, &variant) {
                    Ok(()) => Answer::new(StatusCode::NO_CONTENT, Content::Empty),
                    Err(error) => refused(&error.to_string()),
                }
            }
            Err(error) => refused(&error.to_string()),
        },
        (&Method::POST, "finish") => match serde_json::from_slice::<Finish>(body) {
            Ok(Finish { job, word }) => {
                let now = (shared.clock)();
                if shared.world().backend.jobs.finish(&job, &word, now) {
                    Answer::new(StatusCode::NO_CONTENT, Content::Empty)
                } else {
                    refused("no such job")
                }
            }
            Err(error) => refused(&error.to_string()),
        },
        _ => Answer::json(StatusCode::NOT_FOUND, json!({ "error": "no such page" })),
    })
}

fn listed<T: Serialize>(items: &[T]) -> Answer {
    match serde_json::to_value(items) {
        Ok(value) => Answer::json(StatusCode::OK, value),
        Err(error) => Answer::json(
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "error": error.to_string() }),
        ),
    }
}

fn refused(reason: &str) -> Answer {
    let error = Value::String(reason.to_owned());
    Answer::json(StatusCode::BAD_REQUEST, json!({ "error": error }))
}

fn since(query: &str) -> u64 {
    let mut parameters = url::form_urlencoded::parse(query.as_bytes());
    let since = parameters.find_map(|(name, value)| (name == "since").then_some(value));
    since.and_then(|text| text.parse().ok()).unwrap_or(0)
}
