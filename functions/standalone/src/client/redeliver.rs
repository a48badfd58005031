//! `courier redeliver`: sends completions again, after showing which.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use crate::client::arguments::Redeliver;
use crate::client::connection::{Call, Connection};
use crate::client::document::text;
use crate::client::listing::{filtered, table};
use crate::client::moment::{Side, moment};
use crate::client::show::path;
use crate::client::{confirm, operation_ids};
use crate::failure::Usage;
use crate::output;
use crate::terminal::{Screen, json_line, shown};

/// The number of operations that are shown before the question.
const SHOWN: usize = 20;

pub(crate) async fn run(arguments: &Redeliver) -> anyhow::Result<ExitCode> {
    let has_times = arguments.since.is_some() || arguments.until.is_some();
    if !arguments.ids.is_empty() && (has_times || !arguments.filter.is_empty()) {
        return Err(Usage::error("give ids or a filter, not both"));
    }
    let ids = operation_ids(&arguments.ids)?;
    let connection = Connection::open(&arguments.target)?;
    if ids.is_empty() {
        by_filter(arguments, &connection).await
    } else {
        by_ids(arguments, &connection, &ids).await
    }
}

async fn by_ids(
    arguments: &Redeliver,
    connection: &Connection,
    ids: &[String],
) -> anyhow::Result<ExitCode> {
    let json = arguments.target.json;
    if !arguments.yes {
        let mut operations = Vec::new();
        for id in ids {
            operations.push(connection.send(&Call::get(path(id))).await?.operation()?);
        }
        show(&operations, json, connection)?;
        if arguments.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if !confirm(&question(ids.len() as u64))? {
            output::tell("nothing was delivered");
            return Ok(ExitCode::FAILURE);
        }
    }
    let mut all = true;
    for id in ids {
        let call = Call::post(format!("{}/callback/redeliver", path(id)));
        let sent = async { connection.send(&call).await?.operation() };
        match sent.await {
            Ok(operation) if json => output::print(&json_line(&operation))?,
            Ok(_) => output::print(&format!("{id}  is delivered again\n"))?,
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

async fn by_filter(arguments: &Redeliver, connection: &Connection) -> anyhow::Result<ExitCode> {
    let json = arguments.target.json;
    if !arguments.yes {
        let (count, understood) = send(arguments, connection, true).await?;
        if json && arguments.dry_run {
            let line = json!({ "dryRun": true, "filter": understood, "count": count });
            output::print(&json_line(&line))?;
        } else {
            output::tell(&format!("the filter is {}", words(&understood)));
        }
        if count == 0 {
            output::tell("no completion is found");
            return Ok(ExitCode::SUCCESS);
        }
        if arguments.dry_run && json {
            return Ok(ExitCode::SUCCESS);
        }
        preview(arguments, connection, count).await?;
        if arguments.dry_run {
            output::tell(&format!("{count} completion(s) would be delivered again"));
            return Ok(ExitCode::SUCCESS);
        }
        if !confirm(&question(count))? {
            output::tell("nothing was delivered");
            return Ok(ExitCode::FAILURE);
        }
    }
    let (count, _) = send(arguments, connection, false).await?;
    if !json {
        output::print(&format!("{count} completion(s) are delivered again\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for the redelivery, or for its dry run, page by page; returns the count and the filter as it was understood.
async fn send(
    arguments: &Redeliver,
    connection: &Connection,
    dry_run: bool,
) -> anyhow::Result<(u64, Value)> {
    let now = connection.clock.now();
    let since = moment("--since", arguments.since.as_deref(), Side::Before, now)?;
    let until = moment("--until", arguments.until.as_deref(), Side::Before, now)?;
    let mut cursor: Option<String> = None;
    let mut count = 0;
    loop {
        let call = Call::post("/v1/operations/callback/redeliver")
            .query("since", since.as_deref())
            .query("until", until.as_deref())
            .query("dryRun", dry_run.then_some("true"))
            .query("cursor", cursor.as_deref());
        let call = filtered(call, &arguments.filter, now)?;
        let document = connection.send(&call).await?.json()?;
        let Some(more) = document["count"].as_u64() else {
            bail!("the server's answer has no count");
        };
        count += more;
        if arguments.target.json && !dry_run {
            output::print(&json_line(&document))?;
        }
        match document["next"].as_str() {
            Some(next) if cursor.as_deref() != Some(next) => cursor = Some(next.to_owned()),
            Some(_) | None => return Ok((count, document["filter"].clone())),
        }
    }
}

/// Shows some of the operations that the filter finds.
async fn preview(arguments: &Redeliver, connection: &Connection, count: u64) -> anyhow::Result<()> {
    if arguments.since.is_some() || arguments.until.is_some() {
        // The list knows no times of the end, so it could show others.
        return Ok(());
    }
    let mut filter = arguments.filter.clone();
    filter
        .callback
        .get_or_insert_with(|| "undeliverable".to_owned());
    let call = filtered(Call::get("/v1/operations"), &filter, connection.clock.now())?;
    let document = connection.send(&call).await?.json()?;
    let operations = document["operations"].as_array().cloned();
    let operations = operations.unwrap_or_default();
    show(
        &operations[..operations.len().min(SHOWN)],
        false,
        connection,
    )?;
    if count > SHOWN as u64 {
        output::tell(&format!("… and {} more", count - SHOWN as u64));
    }
    Ok(())
}

fn show(operations: &[Value], json: bool, connection: &Connection) -> anyhow::Result<()> {
    if json {
        let lines: String = operations.iter().map(json_line).collect();
        return output::print(&lines);
    }
    let now = connection.clock.now();
    output::print(&table(operations, &Screen::of_output(), now))
}

fn question(count: u64) -> String {
    match count {
        1 => "Deliver this completion again?".to_owned(),
        _ => format!("Deliver these {count} completions again?"),
    }
}

/// Writes a filter in words, as in `callback undeliverable, operation team.schedule`.
fn words(filter: &Value) -> String {
    let fields = filter.as_object().into_iter().flatten();
    let words: Vec<String> = fields
        .map(|(name, value)| format!("{} {}", shown(name), text(value)))
        .collect();
    words.join(", ")
}
