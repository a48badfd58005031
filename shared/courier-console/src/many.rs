//! Many completions delivered again: a filter, what it finds, and only then the button.

use bytes::Bytes;
use http::{Method, Request};
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use crate::answer::Reply;
use crate::api::{Answer, Api, Caller};
use crate::filter::{Filter, STATUSES};
use crate::layout::{Page, Place, Site, notice};
use crate::list::table;
use crate::text::Text;
use crate::times;

/// The fields of the form that are parameters of the API.
const PARAMETERS: [&str; 7] = [
    "callback",
    "status",
    "operation",
    "client",
    "reference",
    "since",
    "until",
];
/// Operations that the preview lists.
const LISTED: &str = "50";

/// Shows the form and, once it was sent, what it finds. Nothing is delivered.
pub(crate) async fn page(
    site: &Site<'_>,
    api: &Api<'_>,
    caller: &Caller,
    query: &str,
) -> Result<Reply, Answer> {
    let is_asked = !query.is_empty();
    let filter = Filter::read(if is_asked {
        query
    } else {
        "callback=undeliverable"
    });
    let found = match is_asked {
        true => preview(site, api, caller, &filter).await?,
        false => html! {},
    };
    let content = html! {
        h1 { "Deliver again" }
        p.under { "The same completions are sent once more, each on a new schedule and under its own event id. First you see which." }
        form.filter method="get" action=(site.link("/redeliver")) {
            (filter.select("callback", "Callback", &[], &["undeliverable", "retrying", "delivered"]))
            (filter.select("status", "Outcome", &[], &STATUSES[3..]))
            (filter.operations(caller))
            @if caller.is_operator { (filter.clients(caller)) }
            (filter.text("reference", "Reference", "exactly"))
            (filter.text("since", "Ended since", "2026-12-01T00:00:00Z"))
            (filter.text("until", "Ended before", "2026-12-02T00:00:00Z"))
            div.buttons { button.primary { "Preview" } }
        }
        (found)
    };
    let page = Page::new(caller, Place::Redeliver, "Deliver again", content);
    Ok(Reply::Page(Box::new(page)))
}

async fn preview(
    site: &Site<'_>,
    api: &Api<'_>,
    caller: &Caller,
    filter: &Filter,
) -> Result<Markup, Answer> {
    let counted = filter.only(&PARAMETERS, &[("dryRun", "true")]);
    let path = format!("/v1/operations/callback/redeliver?{counted}");
    let counted = match api.send(Method::POST, &path, &[], None).await {
        Ok(answer) => answer.body,
        Err(answer) if answer.problem() == "invalid-query" => return Ok(wrong(&answer)),
        Err(answer) => return Err(answer),
    };
    let count = counted["count"].as_u64().unwrap_or_default();
    let more = !counted["next"].is_null();
    let listed = listed(site, api, filter).await?;
    Ok(html! {
        section aria-labelledby="preview" {
            h2 #preview {
                @if more { "At least " }
                (count) @if count == 1 { " completion" } @else { " completions" }
            }
            @if count == 0 && !more {
                div.empty { p { "Nothing is found, so nothing would be sent." } }
            } @else {
                @if !listed.is_empty() { (table(site, caller, &listed)) }
                @if (listed.len() as u64) < count { p.quiet { "The first " (listed.len()) " of them are shown." } }
                form.confirm method="post" action=(site.link("/redeliver")) {
                    (hidden(filter, None))
                    div.buttons {
                        button.danger { "Deliver " @if count == 1 { "it" } @else { "them" } " again" }
                        a href=(site.home()) { "Leave it" }
                    }
                }
            }
        }
    })
}

fn wrong(answer: &Answer) -> Markup {
    notice(
        "bad",
        &html! {
            @for (parameter, rule) in answer.errors() {
                p { strong { (Text(&parameter)) } " " (Text(&rule)) "." }
            }
        },
    )
}

/// Returns the newest operations that the filter finds and that have ended in its time.
async fn listed(site: &Site<'_>, api: &Api<'_>, filter: &Filter) -> Result<Vec<Value>, Answer> {
    let asked = filter.parameters(site.now, &[("limit", LISTED)]);
    let mut answer = api.get(&format!("/v1/operations?{asked}")).await?;
    let time = |name: &str| -> Option<Timestamp> { filter.get(name).parse().ok() };
    let (since, until) = (time("since"), time("until"));
    let is_meant = |operation: &Value| {
        let ended = times::read(&operation["endedAt"]);
        ended.is_some_and(|ended| {
            since.is_none_or(|since| since <= ended) && until.is_none_or(|until| ended < until)
        })
    };
    let operations = answer.body["operations"].as_array_mut().map(std::mem::take);
    let mut operations = operations.unwrap_or_default();
    operations.retain(is_meant);
    Ok(operations)
}

fn hidden(filter: &Filter, cursor: Option<&str>) -> Markup {
    html! {
        @for name in PARAMETERS {
            @if !filter.get(name).is_empty() { input type="hidden" name=(name) value=(filter.get(name)); }
        }
        @if let Some(cursor) = cursor { input type="hidden" name="cursor" value=(cursor); }
    }
}

/// Delivers again. One call works for a bounded time; a further button goes on where it ended.
pub(crate) async fn submit(
    site: &Site<'_>,
    api: &Api<'_>,
    caller: &Caller,
    request: &Request<Bytes>,
) -> Result<Reply, Answer> {
    let filter = Filter::read(std::str::from_utf8(request.body()).unwrap_or_default());
    let query = filter.only(&PARAMETERS, &[("cursor", filter.get("cursor"))]);
    let path = format!("/v1/operations/callback/redeliver?{query}");
    let answer = api.send(Method::POST, &path, &[], None).await?.body;
    let ids = answer["redelivered"].as_array().map(Vec::as_slice);
    let ids = ids.unwrap_or_default();
    let next = answer["next"].as_str();
    let content = html! {
        h1 { "Deliver again" }
        (notice("good", &html! { p { (ids.len()) @if ids.len() == 1 { " completion is" } @else { " completions are" } " being delivered again." } }))
        @if let Some(next) = next {
            form.confirm method="post" action=(site.link("/redeliver")) {
                p { "There are more: one step sends what fits into five seconds." }
                (hidden(&filter, Some(next)))
                div.buttons { button.primary { "Go on" } }
            }
        }
        ul.ids {
            @for id in ids.iter().filter_map(Value::as_str) {
                li { a href=(site.link(&format!("/operations/{id}"))) { (id) } }
            }
        }
        p { a href=(site.link("?callback=pending")) { "What is being delivered" } }
    };
    let page = Page::new(caller, Place::Redeliver, "Deliver again", content);
    Ok(Reply::Page(Box::new(page)))
}
