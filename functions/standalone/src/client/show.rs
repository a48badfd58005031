//! `courier show` and `courier history`: one operation, and what happened to it.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::Value;

use crate::client::arguments::One;
use crate::client::connection::{Call, Connection};
use crate::client::document::{Standing, text};
use crate::client::refusal::Failure;
use crate::client::{operation_id, print_operation};
use crate::output;
use crate::terminal::{Screen, Tone, json_line, toned};

/// Shows one operation; the exit code says how it stands.
pub(crate) async fn show(arguments: &One) -> anyhow::Result<ExitCode> {
    let id = operation_id(&arguments.id)?;
    let connection = Connection::open(&arguments.target)?;
    let answer = connection.send(&Call::get(path(&id))).await?;
    let operation = answer.operation()?;
    let now = connection.clock.now();
    print_operation(&operation, arguments.target.json, &Screen::of_output(), now)?;
    Ok(Standing::of(&operation).code())
}

/// Shows the history of one operation.
pub(crate) async fn history(arguments: &One) -> anyhow::Result<ExitCode> {
    let id = operation_id(&arguments.id)?;
    let connection = Connection::open(&arguments.target)?;
    let entries = entries(&connection, &id).await?;
    if arguments.target.json {
        let lines: String = entries.iter().map(json_line).collect();
        output::print(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = entries.iter().map(row).collect();
    let head = ["AT (UTC)", "STATUS", "EVENT", "BY", "MORE"];
    output::print(&Screen::of_output().table(&head, rows))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the lines of an operation's history.
pub(crate) async fn entries(connection: &Connection, id: &str) -> Result<Vec<Value>, Failure> {
    let answer = connection
        .send(&Call::get(format!("{}/history", path(id))))
        .await?;
    let document = answer.json()?;
    let entries = document["history"].as_array().cloned();
    entries.ok_or_else(|| Failure::NotCourier("its answer is no history".to_owned()))
}

/// Returns the path of an operation.
pub(crate) fn path(id: &str) -> String {
    format!("/v1/operations/{id}")
}

fn row(entry: &Value) -> Vec<String> {
    let at = entry["at"].as_str().unwrap_or_default();
    let at = at.parse::<Timestamp>().map_or_else(
        |_| text(&entry["at"]),
        |at| at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    );
    vec![
        toned(Tone::Dim, &at),
        text(&entry["status"]),
        text(&entry["event"]),
        text(&entry["by"]),
        more(entry),
    ]
}

/// Returns what else a line of the history says.
pub(crate) fn more(entry: &Value) -> String {
    let mut parts = vec![text(&entry["detail"])];
    for (name, label) in [
        ("httpStatus", "HTTP "),
        ("requestId", "request-id "),
        ("answerType", ""),
        ("answer", "answer: "),
    ] {
        let value = text(&entry[name]);
        if !value.is_empty() {
            parts.push(format!("{label}{value}"));
        }
    }
    if let Some(latency) = entry["latencyMs"].as_u64() {
        parts.push(format!("{latency} ms"));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}
