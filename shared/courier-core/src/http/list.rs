//! `GET /v1/operations`: lists the client's operations that match a filter, newest first.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{json_response, store};
use crate::config::Client;
use crate::engine::app::App;
use crate::http::problem::Problem;
use crate::operation::view::document;
use crate::operation::{CALLBACK_STATUSES, STATUSES};
use crate::ports::{Filter, Page, StoreError};

/// Most records on one page of the list.
const PAGE_RECORDS: usize = 50;

pub(super) async fn list(
    app: &App,
    client: &Client,
    query: &str,
) -> Result<Response<Bytes>, Problem> {
    let page = page(app, client, &filter(query)?).await?;
    let now = app.now();
    let operations: Vec<Value> = page
        .records
        .iter()
        .map(|record| document(record, now))
        .collect();
    let mut body = json!({ "operations": operations, "next": page.next });
    if is_partial(&page) {
        body["partial"] = true.into();
    }
    Ok(json_response(StatusCode::OK, &body))
}

/// Reports whether the search ended before the page was full, so that `next` may still lead to matching operations.
pub(super) fn is_partial(page: &Page) -> bool {
    page.next.is_some() && page.records.len() < PAGE_RECORDS
}

/// Reads the filter from the query parameters `status`, `operation`, `reference`, `callback` and `cursor`.
pub(super) fn filter(query: &str) -> Result<Filter, Problem> {
    let mut filter = Filter {
        limit: PAGE_RECORDS,
        ..Filter::default()
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let slot = match name.as_ref() {
            "status" => &mut filter.status,
            "operation" => &mut filter.operation,
            "reference" => &mut filter.reference,
            "callback" => &mut filter.callback,
            "cursor" => &mut filter.cursor,
            _ => return Err(bad_query(&name, "is not a known parameter")),
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err(bad_query(&name, "must be sent once"));
        }
    }
    if filter
        .status
        .as_deref()
        .is_some_and(|status| !STATUSES.contains(&status))
    {
        return Err(bad_query("status", "is not a status"));
    }
    if filter
        .callback
        .as_deref()
        .is_some_and(|status| !CALLBACK_STATUSES.contains(&status))
    {
        return Err(bad_query("callback", "is not a status of a callback"));
    }
    Ok(filter)
}

pub(super) async fn page(app: &App, client: &Client, filter: &Filter) -> Result<Page, Problem> {
    let page = app.store.list(&client.name, filter).await;
    let page = page.map_err(|error| match error {
        StoreError::BadCursor => bad_query("cursor", "is not one of ours"),
        StoreError::Unavailable(_) | StoreError::Corrupt(..) | StoreError::Missing(_) => {
            store(&error)
        }
    })?;
    if page.unreadable > 0 {
        app.metrics.counts().unusable += page.unreadable as u64;
        tracing::error!(
            records = page.unreadable,
            client = client.name,
            "records cannot be read; leaving them out of a list"
        );
    }
    Ok(page)
}

/// Refuses any query parameter, for resources that know none.
pub(super) fn refuse_query(query: &str) -> Result<(), Problem> {
    let first = form_urlencoded::parse(query.as_bytes()).next();
    first.map_or(Ok(()), |(name, _)| {
        Err(bad_query(&name, "is not a known parameter"))
    })
}

pub(super) fn bad_query(name: &str, rule: &'static str) -> Problem {
    let parameter = name
        .chars()
        .filter(|letter| !letter.is_control())
        .take(64)
        .collect();
    Problem::InvalidQuery { parameter, rule }
}
