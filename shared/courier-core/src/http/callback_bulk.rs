//! `POST /v1/operations/callback/redeliver`: delivers all completions again that a filter finds, or says how many.
//!
//! One call works for a few seconds only, a few records at a time, so that it holds up nobody, and says how far it came.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::list::Selection;
use super::session::Session;
use super::{SOON, insert, json_response, list};
use crate::http::problem::{Problem, seconds};
use crate::lifecycle::Event;
use crate::operation::Record;
use crate::ports::Position;
use crate::time::{later, milliseconds};

/// Time for which one call works; the next call goes on at the cursor `next`.
const WORKING_TIME: Duration = Duration::from_secs(5);
/// Number of records between two looks at the time, as many as are read at once.
const RECORDS_AT_ONCE: usize = 10;
/// Maximum number of completions that one call delivers again, so that its answer has a bounded length.
const MAX_REDELIVERED: usize = 1_000;

/// What a bulk call asks for.
struct Bulk {
    selection: Selection,
    dry_run: bool,
    /// Only completions of operations that ended at this time or later.
    since: Option<Timestamp>,
    /// Only completions of operations that ended before this time.
    until: Option<Timestamp>,
    /// The filter as it was understood, for the answer.
    understood: Map<String, Value>,
}

/// Redelivers the completions that the query finds; by default those that are undeliverable.
///
/// Repeating the call is safe.
pub(super) async fn redeliver_all(
    session: Session<'_>,
    query: &str,
    ends_at: Timestamp,
) -> Result<Response<Bytes>, Problem> {
    let app = session.app;
    let Bulk {
        mut selection,
        dry_run,
        since,
        until,
        understood,
    } = Bulk::read(query)?;
    let is_meant = |record: &Record| {
        let ended = record.ended_at.filter(|_| record.event.is_some());
        ended.is_some_and(|ended| {
            since.is_none_or(|since| since <= ended) && until.is_none_or(|until| ended < until)
        })
    };
    let begun = app.now();
    let (mut count, mut redelivered) = (0, Vec::new());
    loop {
        let page = list::page(session, &selection).await?;
        for record in page.records.into_iter().filter(is_meant) {
            count += 1;
            if !dry_run {
                let event = Event::RedeliveryRequested;
                redelivered.push(session.change(record, event).await?.id);
            }
        }
        selection.filter.cursor = page.next;
        let is_over = app.now() >= later(begun, WORKING_TIME)
            || !app.has_time_for(WORKING_TIME, ends_at)
            || redelivered.len() + RECORDS_AT_ONCE > MAX_REDELIVERED;
        if selection.filter.cursor.is_none() || is_over {
            break;
        }
    }
    let status = match dry_run {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    let body = json!({
        "dryRun": dry_run,
        "filter": understood,
        "count": count,
        "redelivered": redelivered,
        "next": selection.filter.cursor.as_ref().map(Position::text),
    });
    let mut response = json_response(status, body);
    if !dry_run {
        let headers = response.headers_mut();
        insert(headers, "location", "/v1/operations?callback=pending");
        headers.insert(header::RETRY_AFTER, seconds(SOON));
    }
    Ok(response)
}

impl Bulk {
    /// Reads `dryRun`, `since` and `until`; all other parameters are those of the list.
    fn read(query: &str) -> Result<Self, Problem> {
        let mut own: Map<String, Value> = Map::new();
        let mut others = form_urlencoded::Serializer::new(String::new());
        let mut understood = Map::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !["dryRun", "since", "until"].contains(&name.as_ref()) {
                others.append_pair(&name, &value);
                understood.insert(name.into_owned(), value.into());
            } else if own.insert(name.to_string(), value.into()).is_some() {
                return Err(list::bad_query(&name, "must be sent once"));
            }
        }
        let mut selection = Selection::read(&others.finish())?;
        let callback = selection
            .filter
            .callback
            .get_or_insert_with(|| "undeliverable".to_owned());
        understood.insert("callback".to_owned(), callback.as_str().into());
        understood.remove("cursor");
        selection.filter.limit = RECORDS_AT_ONCE;
        let mut time = |name: &str| -> Result<Option<Timestamp>, Problem> {
            let time = list::time(name, own.get(name).and_then(Value::as_str))?;
            if let Some(time) = time {
                understood.insert(name.to_owned(), milliseconds(time).into());
            }
            Ok(time)
        };
        let (since, until) = (time("since")?, time("until")?);
        let dry_run = match own.get("dryRun").and_then(Value::as_str) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(list::bad_query("dryRun", "must be true or false")),
        };
        Ok(Self {
            selection,
            dry_run,
            since,
            until,
            understood,
        })
    }
}
