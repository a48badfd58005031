//! `courier list`: which operations there are.

use std::process::ExitCode;

use anyhow::bail;
use http::header;
use jiff::Timestamp;
use serde_json::Value;
use url::form_urlencoded;

use crate::client::arguments::{Filter, List, Sort};
use crate::client::connection::{Answer, Call, Connection};
use crate::client::document::{callback, due, progress, status, text, time};
use crate::client::moment::{Side, moment};
use crate::client::refusal::Failure;
use crate::output;
use crate::terminal::{Screen, json_line, shown};

const PATH: &str = "/v1/operations";

/// Prints one page, or all that follow it.
pub(crate) async fn run(arguments: &List) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&arguments.target)?;
    let mut cursor = arguments.cursor.clone();
    let screen = Screen::of_output();
    let mut found = 0;
    let mut is_first = true;
    let next = loop {
        let call = call(arguments, cursor.as_deref(), connection.clock.now())?;
        let answer = connection.send(&call).await?;
        let next = if arguments.csv {
            print_csv(&answer, is_first, &screen)?;
            next_of_link(&answer)
        } else {
            let document = answer.json()?;
            let operations = operations(&document)?;
            if arguments.target.json {
                let lines: String = operations.iter().map(json_line).collect();
                output::print(&lines)?;
            } else if !operations.is_empty() {
                let now = connection.clock.now();
                output::print(&table(operations, &screen, now))?;
            }
            found += operations.len();
            document["next"].as_str().map(str::to_owned)
        };
        is_first = false;
        if next.is_none() || !arguments.all {
            break next;
        }
        if next == cursor {
            bail!("the server names the same page as the next one");
        }
        cursor = next;
    };
    let is_for_people = !arguments.csv && !arguments.target.json;
    if let Some(next) = next {
        output::tell(&format!(
            "there is more: --all follows the pages, --cursor '{}' goes on here",
            shown(&next)
        ));
    } else if is_for_people && found == 0 {
        output::tell("no operation is found");
    }
    Ok(ExitCode::SUCCESS)
}

fn call(arguments: &List, cursor: Option<&str>, now: Timestamp) -> anyhow::Result<Call> {
    let sort = arguments.sort.map(|sort| match sort {
        Sort::Created => "created",
        Sort::Deadline => "deadline",
        Sort::Due => "due",
    });
    let limit = arguments.limit.map(|limit| limit.to_string());
    let call = filtered(Call::get(PATH), &arguments.filter, now)?
        .query("sort", sort)
        .query("limit", limit.as_deref())
        .query("cursor", cursor);
    Ok(if arguments.csv {
        call.header(header::ACCEPT, "text/csv")
    } else {
        call
    })
}

/// Adds the filter to a call.
pub(crate) fn filtered(call: Call, filter: &Filter, now: Timestamp) -> anyhow::Result<Call> {
    let time = |flag: &str, text: &Option<String>, side| moment(flag, text.as_deref(), side, now);
    let after = time("--created-after", &filter.created_after, Side::Before)?;
    let before = time("--created-before", &filter.created_before, Side::Before)?;
    let deadline = time("--deadline-before", &filter.deadline_before, Side::After)?;
    let due = time("--due-before", &filter.due_before, Side::After)?;
    Ok(call
        .query("status", filter.status.as_deref())
        .query("client", filter.client.as_deref())
        .query("operation", filter.operation.as_deref())
        .query("reference", filter.reference.as_deref())
        .query("callback", filter.callback.as_deref())
        .query("person", filter.person.as_deref())
        .query("createdAfter", after.as_deref())
        .query("createdBefore", before.as_deref())
        .query("deadlineBefore", deadline.as_deref())
        .query("dueBefore", due.as_deref()))
}

fn operations(document: &Value) -> Result<&[Value], Failure> {
    let operations = document["operations"].as_array();
    let operations = operations.map(Vec::as_slice);
    operations.ok_or_else(|| Failure::NotCourier("its answer is no list".to_owned()))
}

/// Lays the operations out, one on a line.
pub(crate) fn table(operations: &[Value], screen: &Screen, now: Timestamp) -> String {
    let with_client = operations.iter().any(|one| one["client"].is_string());
    let mut head = vec![
        "ID",
        "OPERATION",
        "REFERENCE",
        "STATUS",
        "CREATED",
        "DEADLINE",
        "CALLBACK",
    ];
    let with_due = operations.iter().any(|one| one["legal"].is_object());
    if with_due {
        head.insert(6, "DUE BY LAW");
    }
    if with_client {
        head.insert(1, "CLIENT");
    }
    let row = |operation: &Value| {
        let mut state = status(operation);
        if let Some(progress) = progress(operation).filter(|_| operation["endedAt"].is_null()) {
            state = format!("{state} {progress}");
        }
        if operation["acknowledged"].is_object() {
            state.push_str(", acknowledged");
        }
        let deadline = match operation["endedAt"].is_null() {
            true => time(&operation["deadline"], now),
            false => format!("ended {}", time(&operation["endedAt"], now)),
        };
        let mut row = vec![
            text(&operation["id"]),
            text(&operation["operation"]),
            text(&operation["reference"]),
            state,
            time(&operation["createdAt"], now),
            deadline,
            callback(operation),
        ];
        if with_due {
            row.insert(6, due(operation));
        }
        if with_client {
            row.insert(1, text(&operation["client"]));
        }
        row
    };
    screen.table(&head, operations.iter().map(row).collect())
}

/// Prints a page of CSV; of the pages that follow the first the head is left out.
fn print_csv(answer: &Answer, is_first: bool, screen: &Screen) -> anyhow::Result<()> {
    let is_csv = |kind: &str| kind.starts_with("text/csv");
    if !answer.header("content-type").is_some_and(is_csv) {
        bail!("this server gives no CSV: a newer graph-courier does");
    }
    let text = String::from_utf8_lossy(&answer.body);
    let text = match (is_first, text.split_once('\n')) {
        (true, _) => &text,
        (false, Some((_, rows))) => rows,
        (false, None) => "",
    };
    if screen.live {
        let lines = text.split_inclusive('\n').map(|line| {
            let bare = line.trim_end_matches(['\r', '\n']);
            shown(bare) + "\n"
        });
        return output::print(&lines.collect::<String>());
    }
    output::print(text)
}

/// Returns the cursor of the page that `Link` names as the next (RFC 8288).
fn next_of_link(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let next = link.split(',').find(|link| link.contains("rel=\"next\""))?;
    let target = next.split_once('<')?.1.split_once('>')?.0;
    let query = target.split_once('?')?.1;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let found = pairs.find(|(name, _)| name == "cursor");
    found.map(|(_, cursor)| cursor.into_owned())
}
