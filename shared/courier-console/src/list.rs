//! The list of operations: what is at risk first, and where each of them stands.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use crate::answer::Reply;
use crate::api::{Answer, Api, Caller, word};
use crate::filter::Filter;
use crate::layout::{Page, Place, Site, notice};
use crate::legal;
use crate::text::{Text, words};
use crate::times;

/// Operations on a page.
const LIMIT: &str = "50";

pub(crate) async fn page(
    site: &Site<'_>,
    api: &Api<'_>,
    caller: &Caller,
    query: &str,
) -> Result<Reply, Answer> {
    let filter = Filter::read(query);
    let cursor = filter.get("cursor");
    let asked = filter.parameters(site.now, &[("limit", LIMIT), ("cursor", cursor)]);
    let found = api.get(&format!("/v1/operations?{asked}")).await;
    let list = match &found {
        Ok(answer) => shown(site, caller, &filter, &answer.body),
        // The form stays, so that what is wrong in it can be mended.
        Err(answer) if answer.problem() == "invalid-query" => broken(answer),
        Err(_) => return found.map(|_| Reply::LoggedOut),
    };
    let content = html! {
        h1 { "Operations" }
        (filter.views(site))
        (filter.form(site, caller))
        div #live data-live { (list) }
        p #news .quiet role="status" aria-live="polite" {}
    };
    let page = Page::new(caller, Place::Operations, "Operations", content);
    Ok(Reply::Page(Box::new(page)))
}

fn broken(answer: &Answer) -> Markup {
    notice(
        "bad",
        &html! {
            @for (parameter, rule) in answer.errors() {
                p { strong { (Text(&parameter)) } " " (Text(&rule)) "." }
            }
        },
    )
}

fn shown(site: &Site<'_>, caller: &Caller, filter: &Filter, body: &Value) -> Markup {
    let operations = body["operations"].as_array();
    let operations = operations.map(Vec::as_slice).unwrap_or_default();
    let next = body["next"].as_str();
    let is_partial = body["partial"].as_bool().unwrap_or_default();
    html! {
        @if operations.is_empty() {
            (empty(site, filter, is_partial, caller))
        } @else {
            (table(site, caller, operations))
        }
        nav.pages aria-label="Pages" {
            @if !filter.get("cursor").is_empty() {
                a href=(site.link(&filter.query(None))) { "First page" }
            }
            @if let Some(next) = next {
                a rel="next" href=(site.link(&filter.query(Some(next)))) {
                    @if is_partial { "Go on searching" } @else { "Next page" }
                }
            }
            span.grow {}
            @if !operations.is_empty() {
                a href=(site.link(&format!("/operations.csv{}", filter.query(None)))) { "CSV" }
            }
            a #refresh href=(site.link(&filter.query(Some(filter.get("cursor")).filter(|cursor| !cursor.is_empty())))) { "Refresh" }
        }
    }
}

fn empty(site: &Site<'_>, filter: &Filter, is_partial: bool, caller: &Caller) -> Markup {
    let everything = filter.query(None) == "?status=";
    html! {
        div.empty {
            @if is_partial {
                p { "Nothing found so far." }
                p.quiet { "The search may go on for a while among very many operations." }
            } @else if everything {
                p { "There are no operations yet." }
                @if !caller.read_only {
                    p { a.button href=(site.link("/new")) { "Make the first request" } }
                }
            } @else {
                p { "No operation matches." }
                p.quiet { a href=(site.link("?status=")) { "Show all operations" } }
            }
        }
    }
}

/// Shows operations as a table; on a narrow screen each row is a card.
pub(crate) fn table(site: &Site<'_>, caller: &Caller, operations: &[Value]) -> Markup {
    let with_client = caller.is_operator;
    let with_due = operations.iter().any(|one| one["legal"].is_object());
    html! {
        div.frame {
            table.operations role="table" {
                caption.unseen-label { "Operations" }
                thead role="rowgroup" {
                    tr role="row" {
                        th scope="col" role="columnheader" { "Operation" }
                        @if with_client { th scope="col" role="columnheader" { "Client" } }
                        th scope="col" role="columnheader" { "Status" }
                        th scope="col" role="columnheader" { "Age" }
                        @if with_due { th scope="col" role="columnheader" { "Due by law" } }
                        th scope="col" role="columnheader" { "Deadline" }
                        th scope="col" role="columnheader" { "Next look" }
                        th scope="col" role="columnheader" { "Callback" }
                    }
                }
                tbody role="rowgroup" {
                    @for operation in operations { (row(site, operation, with_client, with_due)) }
                }
            }
        }
    }
}

fn row(site: &Site<'_>, operation: &Value, with_client: bool, with_due: bool) -> Markup {
    let id = word(&operation["id"]);
    let risk = Risk::of(operation, site.now);
    let worst = [risk, legal::risk(operation)].into_iter().flatten().min();
    let has_ended = !operation["endedAt"].is_null();
    html! {
        tr role="row" data-status=(word(&operation["status"])) class=[worst.map(Risk::class)] {
            td.name role="cell" {
                a id=(id) href=(site.link(&format!("/operations/{id}"))) { (name(operation)) }
                span.quiet { (Text(word(&operation["operation"]))) }
            }
            @if with_client {
                td role="cell" data-label="Client" { (Text(word(&operation["client"]))) }
            }
            td role="cell" data-label="Status" { (status(operation)) }
            td role="cell" data-label="Age" {
                @if let Some(created) = times::read(&operation["createdAt"]) {
                    time datetime=(created) { (times::span(site.now.as_second() - created.as_second())) }
                }
            }
            @if with_due {
                td role="cell" data-label="Due by law" { (legal::due(operation)) }
            }
            td.past[has_ended] role="cell" data-label="Deadline" { (deadline(site, operation, risk)) }
            td.past[has_ended] role="cell" data-label="Next look" { (next_look(site, operation)) }
            td role="cell" data-label="Callback" { (callback(site, &operation["callback"])) }
        }
    }
}

/// Names an operation as people do: by its reference, else by the end of its id.
pub(crate) fn name(operation: &Value) -> Markup {
    let id = word(&operation["id"]);
    match operation["reference"].as_str() {
        Some(reference) => html! { (Text(reference)) },
        None => html! { (id.get(..11).unwrap_or(id)) "…" },
    }
}

/// Shows the status, and why it is so.
pub(crate) fn status(operation: &Value) -> Markup {
    let status = word(&operation["status"]);
    let reason = operation["reason"].as_str();
    let progress = operation["graph"]["progress"].as_f64();
    html! {
        span class=(format!("badge {status}")) { (words(status)) }
        @if operation["acknowledged"].is_object() { " " span.quiet { "acknowledged" } }
        @if let Some(progress) = progress.filter(|_| status == "running") {
            " " span.quiet { (format!("{:.0} %", (progress * 100.0).clamp(0.0, 100.0))) }
        }
        @if let Some(reason) = reason { " " span.reason { (words(reason)) } }
    }
}

fn deadline(site: &Site<'_>, operation: &Value, risk: Option<Risk>) -> Markup {
    let Some(deadline) = times::read(&operation["deadline"]) else {
        return html! {};
    };
    if !operation["endedAt"].is_null() {
        return html! { span.quiet { "ended" } };
    }
    html! {
        (times::relative(site.now, deadline))
        @if let Some(risk) = risk { " " span class=(format!("badge {}", risk.class())) { (risk.label()) } }
    }
}

fn next_look(site: &Site<'_>, operation: &Value) -> Markup {
    html! {
        @if let Some(next) = times::read(&operation["graph"]["nextPollAt"]) {
            (times::relative(site.now, next))
        } @else if operation["endedAt"].is_null() {
            span.quiet { "soon" }
        } @else {
            span.quiet { "–" }
        }
    }
}

/// Shows how far the delivery of the completion is.
pub(crate) fn callback(site: &Site<'_>, callback: &Value) -> Markup {
    let status = word(&callback["status"]);
    let attempts = callback["attempts"].as_u64().unwrap_or_default();
    html! {
        @match status {
            "none" | "" => span.quiet { "none" },
            "pending" => span.quiet { "pending" },
            _ => span class=(format!("badge {status}")) { (words(status)) },
        }
        @if attempts > 1 { " " span.quiet { (attempts) " attempts" } }
        @if let Some(next) = times::read(&callback["nextAttemptAt"]) {
            " " span.quiet { "next " (times::relative(site.now, next)) }
        }
    }
}

/// Why an open operation may not end in time, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Risk {
    Overdue,
    /// Less than a fifth of its time is left; of a legal clock, what the API calls at risk.
    Late,
    /// It waits for a cause to be mended.
    Waits,
}

impl Risk {
    pub(crate) fn of(operation: &Value, now: Timestamp) -> Option<Self> {
        let deadline = times::read(&operation["deadline"])?.as_second();
        let created = times::read(&operation["createdAt"])?.as_second();
        let left = deadline - now.as_second();
        match () {
            () if !operation["endedAt"].is_null() => None,
            () if left <= 0 => Some(Self::Overdue),
            () if left * 5 < deadline - created => Some(Self::Late),
            () if operation["reason"].is_string() => Some(Self::Waits),
            () => None,
        }
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Late => "risk",
            Self::Waits => "waits",
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Late => "at risk",
            Self::Waits => "waits",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_open_operation_is_at_risk_in_the_last_fifth_of_its_time_and_while_it_waits() {
        let mut operation = json!({
            "createdAt": "1970-01-01T00:00:00Z", "deadline": "1970-01-01T00:01:40Z",
            "endedAt": null, "reason": null,
        });
        let at = |operation: &Value, second| {
            Risk::of(operation, Timestamp::from_second(second).unwrap())
        };
        assert_eq!(at(&operation, 80), None);
        assert_eq!(at(&operation, 81), Some(Risk::Late));
        assert_eq!(at(&operation, 100), Some(Risk::Overdue));
        operation["reason"] = "throttled".into();
        assert_eq!(at(&operation, 1), Some(Risk::Waits));
        operation["endedAt"] = "1970-01-01T00:01:20Z".into();
        assert_eq!(at(&operation, 100), None);
    }
}
