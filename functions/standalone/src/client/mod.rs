//! The commands that ask the API of a running graph-courier, here or anywhere: they know nothing that is not in its
//! answers.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context;
use courier_core::operation::OperationId;
use serde_json::Value;

use crate::failure::Usage;
use crate::output;
use crate::terminal::{Screen, json_line};

pub(crate) mod acts;
pub(crate) mod arguments;
pub(crate) mod connection;
pub(crate) mod document;
pub(crate) mod evidence;
pub(crate) mod legal;
pub(crate) mod listing;
mod moment;
pub(crate) mod redeliver;
mod refusal;
mod server_clock;
pub(crate) mod show;
pub(crate) mod submit;
mod target;
pub(crate) mod watch;

/// Reads an id, before anything is asked.
fn operation_id(text: &str) -> anyhow::Result<String> {
    OperationId::parse(text.trim())
        .map(String::from)
        .ok_or_else(|| {
            Usage::error(format!(
                "{} is no id of an operation: it is `op_` and 32 digits from 0 to f",
                crate::terminal::shown(text)
            ))
        })
}

/// Reads ids, each once.
fn operation_ids(texts: &[String]) -> anyhow::Result<Vec<String>> {
    let mut ids: Vec<String> = Vec::new();
    for text in texts {
        let id = operation_id(text)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Prints one operation: as a document, or for people.
fn print_operation(
    operation: &Value,
    json: bool,
    screen: &Screen,
    now: jiff::Timestamp,
) -> anyhow::Result<()> {
    if json {
        output::print(&json_line(operation))
    } else {
        output::print(&screen.table(&[], document::lines(operation, now)))
    }
}

/// Asks the person at the keyboard; without one, `--yes` is needed.
fn confirm(question: &str) -> anyhow::Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Usage::error(format!(
            "{question} There is nobody to ask: give --yes"
        )));
    }
    let mut out = std::io::stderr().lock();
    write!(out, "{question} [y/N] ").and_then(|()| out.flush())?;
    let mut line = String::new();
    input
        .lock()
        .read_line(&mut line)
        .context("the answer cannot be read")?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
