//! `GET /v1/operations`: lists the operations that match a filter.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::session::Session;
use super::{conditional, csv, insert, json_response, store};
use crate::auth::Principal;
use crate::http::problem::Problem;
use crate::operation::{CALLBACK_STATUSES, STATUSES, person_hash};
use crate::ports::{Filter, OPEN, Order, Page, Position};

/// Most records on one page of the list, unless `limit` says another number.
const PAGE_RECORDS: usize = 50;
const MAX_PAGE_RECORDS: usize = 200;

/// What a list asks for: the filter, and the client that an operator names.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) filter: Filter,
    pub(super) client: Option<String>,
}

/// Answers with a page, as JSON or, if `Accept` asks for it, as CSV.
pub(super) async fn list(
    session: Session<'_>,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    let query = request.uri().query().unwrap_or_default();
    let selection = Selection::read(query)?;
    let page = page(session, &selection).await?;
    let records = page.records.iter();
    let operations: Vec<Value> = records.map(|record| session.document(record)).collect();
    let next = page.next.as_ref().map(Position::text);
    let mut response = if wants_csv(request) {
        let has_client = matches!(session.who, Principal::Operator(_));
        let mut response = Response::new(Bytes::from(csv::table(&operations, has_client)));
        let headers = response.headers_mut();
        insert(
            headers,
            "content-type",
            "text/csv; charset=utf-8; header=present",
        );
        insert(headers, "cache-control", "no-store");
        response
    } else {
        let mut body = json!({ "operations": operations, "next": next });
        if is_partial(&page, &selection.filter) {
            body["partial"] = true.into();
        }
        json_response(StatusCode::OK, body)
    };
    let etag = conditional::etag(response.body());
    let headers = response.headers_mut();
    insert(headers, "etag", &etag);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    if let Some(next) = next {
        insert(headers, "link", &next_link(query, &next));
    }
    Ok(conditional::answer(request, response))
}

/// Returns a `Link` (RFC 8288) to the next page, relative to the request's own URL.
fn next_link(query: &str, next: &str) -> String {
    let mut link = form_urlencoded::Serializer::new(String::new());
    let pairs = form_urlencoded::parse(query.as_bytes());
    link.extend_pairs(pairs.filter(|(name, _)| name != "cursor"));
    link.append_pair("cursor", next);
    format!("<?{}>; rel=\"next\"", link.finish())
}

/// Reports whether `Accept` names CSV and not JSON.
fn wants_csv(request: &Request<Bytes>) -> bool {
    let values = request.headers().get_all(header::ACCEPT).iter();
    let mut types = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|one| one.split(';').next())
        .map(str::trim);
    let first = types.find(|one| ["text/csv", "application/json"].contains(one));
    first == Some("text/csv")
}

/// Reports whether the search ended before the page was full, so that `next` may still lead to matching operations.
pub(super) fn is_partial(page: &Page, filter: &Filter) -> bool {
    page.next.is_some() && page.records.len() < filter.limit
}

impl Selection {
    /// Reads the query parameters of a list, each at most once.
    pub(super) fn read(query: &str) -> Result<Self, Problem> {
        let mut filter = Filter::default();
        let (mut client, mut sort, mut limit, mut cursor) = (None, None, None, None);
        let (mut from, mut before, mut deadline, mut due) = (None, None, None, None);
        let mut person = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match name.as_ref() {
                "status" => &mut filter.status,
                "operation" => &mut filter.operation,
                "reference" => &mut filter.reference,
                "callback" => &mut filter.callback,
                "client" => &mut client,
                "person" => &mut person,
                "createdAfter" => &mut from,
                "createdBefore" => &mut before,
                "deadlineBefore" => &mut deadline,
                "dueBefore" => &mut due,
                "sort" => &mut sort,
                "limit" => &mut limit,
                "cursor" => &mut cursor,
                _ => return Err(bad_query(&name, "is not a known parameter")),
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(bad_query(&name, "must be sent once"));
            }
        }
        let is_one = |known: &[&str], value: &Option<String>| {
            value.as_deref().is_none_or(|value| known.contains(&value))
        };
        if !is_one(&STATUSES, &filter.status) && !is_one(&[OPEN], &filter.status) {
            return Err(bad_query("status", "is not a status"));
        }
        if !is_one(&CALLBACK_STATUSES, &filter.callback) {
            return Err(bad_query("callback", "is not a status of a callback"));
        }
        if !is_one(&["created", "deadline", "due"], &sort) {
            return Err(bad_query("sort", "must be created, deadline or due"));
        }
        filter.person = person.as_deref().map(person_hash);
        filter.created_from = time("createdAfter", from.as_deref())?;
        filter.created_before = time("createdBefore", before.as_deref())?;
        filter.deadline_before = time("deadlineBefore", deadline.as_deref())?;
        filter.due_before = time("dueBefore", due.as_deref())?;
        filter.order = match sort.as_deref() {
            Some("deadline") => Order::Deadline,
            Some("due") => Order::Due,
            None if filter.due_before.is_some() => Order::Due,
            None if filter.deadline_before.is_some() => Order::Deadline,
            Some(_) | None => Order::Created,
        };
        filter.check_order()?;
        filter.limit = match limit.as_deref().map(str::parse) {
            None => PAGE_RECORDS,
            Some(Ok(limit)) if (1..=MAX_PAGE_RECORDS).contains(&limit) => limit,
            Some(_) => return Err(bad_query("limit", "must be a whole number from 1 to 200")),
        };
        let cursor = cursor.map(|text| Position::parse(&text).ok_or(()));
        filter.cursor = cursor
            .transpose()
            .map_err(|()| bad_query("cursor", "is not one of ours"))?;
        Ok(Self { filter, client })
    }
}

impl Filter {
    /// Checks that a list by urgency is in the order of its bound, and asks only for what has no outcome yet.
    fn check_order(&self) -> Result<(), Problem> {
        if self.deadline_before.is_some() && self.due_before.is_some() {
            return Err(bad_query(
                "dueBefore",
                "must not stand beside deadlineBefore",
            ));
        }
        if self.deadline_before.is_some() && self.order != Order::Deadline {
            let rule = "must be deadline, or left out, beside deadlineBefore";
            return Err(bad_query("sort", rule));
        }
        if self.due_before.is_some() && self.order != Order::Due {
            return Err(bad_query(
                "sort",
                "must be due, or left out, beside dueBefore",
            ));
        }
        if !self.order.is_by_urgency() {
            return Ok(());
        }
        let open = [OPEN, "accepted", "starting", "running"];
        let status = self.status.as_deref();
        if status.is_some_and(|status| !open.contains(&status)) {
            let rule =
                "must be open, accepted, starting or running in a list by deadline or due date";
            return Err(bad_query("status", rule));
        }
        Ok(())
    }
}

/// Reads a time of the query.
pub(super) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let time = text.map(str::parse).transpose();
    time.map_err(|_| {
        bad_query(
            name,
            "must be an RFC 3339 time such as 2026-12-20T00:00:00Z",
        )
    })
}

/// Reads a page of the clients' operations, merged where there are several.
pub(super) async fn page(session: Session<'_>, selection: &Selection) -> Result<Page, Problem> {
    let Selection { filter, client } = selection;
    let app = session.app;
    let mut pages = Vec::new();
    for client in session.clients(client.as_deref())? {
        let page = app.store.list(&client, filter).await;
        let page = page.map_err(|error| store(&error))?;
        if page.unreadable > 0 {
            app.metrics.counts().unusable += page.unreadable as u64;
            tracing::error!(
                records = page.unreadable,
                client,
                "records cannot be read; leaving them out of a list"
            );
        }
        pages.push(page);
    }
    Ok(Page::merge(pages, filter))
}

pub(super) fn bad_query(name: &str, rule: &'static str) -> Problem {
    let parameter = name
        .chars()
        .filter(|letter| !letter.is_control())
        .take(64)
        .collect();
    Problem::InvalidQuery { parameter, rule }
}
