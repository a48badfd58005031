//! What is done to operations: `courier cancel`, `resume`, `acknowledge` and `erase`.

use std::process::ExitCode;

use http::Method;
use serde_json::{Value, json};

use crate::client::arguments::{Acknowledge, Erase, Many, One};
use crate::client::connection::{Call, Connection};
use crate::client::document::{status, text};
use crate::client::show::path;
use crate::client::{confirm, operation_id, operation_ids, print_operation};
use crate::output;
use crate::terminal::{Screen, json_line};

/// Stops following operations. One that cannot be cancelled does not keep the others from it.
pub(crate) async fn cancel(arguments: &Many) -> anyhow::Result<ExitCode> {
    let ids = operation_ids(&arguments.ids)?;
    let connection = Connection::open(&arguments.target)?;
    let screen = Screen::of_output();
    let mut all = true;
    for id in &ids {
        let call = Call::post(format!("{}/cancel", path(id)));
        let cancelled = async { connection.send(&call).await?.operation() };
        match cancelled.await {
            Ok(operation) if arguments.target.json => output::print(&json_line(&operation))?,
            Ok(operation) => {
                let line = format!("{id}  {}\n", status(&operation));
                output::print(&screen.paint(&line))?;
            }
            Err(failure) => {
                output::tell(&format!("{id}: {failure}"));
                all = false;
            }
        }
    }
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Goes on following the job of an operation that ended before it.
pub(crate) async fn resume(arguments: &One) -> anyhow::Result<ExitCode> {
    let id = operation_id(&arguments.id)?;
    let connection = Connection::open(&arguments.target)?;
    let call = Call::post(format!("{}/resume", path(&id)));
    let answer = connection.send(&call).await?;
    let operation = answer.operation()?;
    let new = text(&operation["id"]);
    output::tell(&match answer.header("idempotency-replayed") {
        Some(_) => format!("{id} has been resumed before: here is what became of it"),
        None => format!(
            "a new operation follows the job from now on: courier watch {new} waits for its end"
        ),
    });
    printed(arguments, &connection, &operation)
}

/// Notes that a person has looked at an operation whose outcome is unknown.
pub(crate) async fn acknowledge(arguments: &Acknowledge) -> anyhow::Result<ExitCode> {
    let id = operation_id(&arguments.one.id)?;
    let call = Call::post(format!("{}/acknowledge", path(&id)));
    act(&arguments.one, call.body(json!({ "note": arguments.note }))).await
}

/// Erases what an operation says about people.
pub(crate) async fn erase(arguments: &Erase) -> anyhow::Result<ExitCode> {
    let id = operation_id(&arguments.one.id)?;
    if !arguments.yes {
        let connection = Connection::open(&arguments.one.target)?;
        let answer = connection.send(&Call::get(path(&id))).await?;
        let operation = answer.operation()?;
        let names = [text(&operation["operation"]), text(&operation["reference"])];
        let names = names.join(" ");
        let question = format!(
            "Erase {id} ({})? Its parameters, result and history are gone for good.",
            names.trim_end()
        );
        if !confirm(&question)? {
            output::tell("nothing was erased");
            return Ok(ExitCode::FAILURE);
        }
    }
    act(&arguments.one, Call::new(Method::DELETE, path(&id))).await
}

pub(crate) async fn act(arguments: &One, call: Call) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&arguments.target)?;
    let operation = connection.send(&call).await?.operation()?;
    printed(arguments, &connection, &operation)
}

fn printed(
    arguments: &One,
    connection: &Connection,
    operation: &Value,
) -> anyhow::Result<ExitCode> {
    let now = connection.clock.now();
    let screen = Screen::of_output();
    print_operation(operation, arguments.target.json, &screen, now)?;
    Ok(ExitCode::SUCCESS)
}
