//! One operation: where it stands, what can be done, and everything that happened to it.

use maud::{Markup, html};
use serde_json::Value;
use url::form_urlencoded;

use crate::acts::Act;
use crate::answer::Reply;
use crate::api::{Answer, Api, Caller, operation_path, word};
use crate::evidence;
use crate::layout::{Page, Place, Site, notice};
use crate::legal;
use crate::list::{Risk, callback, name, status};
use crate::text::Text;
use crate::timeline::{measured, timeline};
use crate::times;

pub(crate) async fn page(
    site: &Site<'_>,
    api: &Api<'_>,
    caller: &Caller,
    id: &str,
    query: &str,
) -> Result<Reply, Answer> {
    let path = operation_path(id);
    let operation = api.get(&path).await?.body;
    let history = api.get(&format!("{path}/history")).await?.body;
    let history = history["history"].as_array();
    let history = history.map(Vec::as_slice).unwrap_or_default();
    let done = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "done");
    let signs = evidence::is_signed(api).await;
    let content = html! {
        p.back { a href=(site.home()) { "Operations" } }
        @if let Some((_, done)) = done { (was_done(&done)) }
        article #live data-live data-status=(word(&operation["status"])) {
            (head(site, &operation))
            (acts(site, caller, &operation))
            (legal::section(site, &operation))
            (facts(site, caller, &operation))
            (attempts(history))
            section aria-labelledby="what-happened" {
                h2 #what-happened { "What happened" }
                (timeline(site, &operation, history))
            }
        }
        p #news .quiet role="status" aria-live="polite" {}
        @if signs {
            p { a download href=(site.link(&format!("/operations/{}/evidence", word(&operation["id"])))) { "Evidence" }
                " of what was observed, signed: " code { "courier verify" } " checks it" }
        }
        p { a #refresh href=(site.link(&format!("/operations/{}", word(&operation["id"])))) { "Refresh" } }
    };
    let title = operation["reference"].as_str().unwrap_or(id);
    let page = Page::new(caller, Place::Operations, title, content);
    Ok(Reply::Page(Box::new(page)))
}

fn was_done(done: &str) -> Markup {
    let text = match done {
        "requested" => "The request is accepted.",
        "known" => "This was asked for before: here is the operation of the first request.",
        other => match Act::find(other) {
            Some(act) => act.done(),
            None => return html! {},
        },
    };
    notice("good", &html! { p { (text) } })
}

fn head(site: &Site<'_>, operation: &Value) -> Markup {
    let risk = Risk::of(operation, site.now);
    html! {
        h1 { (name(operation)) }
        p.under {
            (Text(word(&operation["operation"]))) " "
            (status(operation))
            @if let Some(risk) = risk { " " span class=(format!("badge {}", risk.class())) { (risk.label()) } }
        }
        @if legal::risk(operation).is_some() { p { "Due by law " (legal::due(operation)) } }
        @if let Some(progress) = operation["graph"]["progress"].as_f64().filter(|_| operation["endedAt"].is_null()) {
            progress max="1" value=(progress) aria-label="Progress at Graph" {}
        }
        @if let Some(meaning) = meaning(operation) { p.meaning { (meaning) } }
        @let error = &operation["error"];
        @if error.is_object() {
            div.error {
                p { strong { (Text(word(&error["code"]))) } }
                p { (Text(word(&error["message"]))) }
            }
        }
        @let acknowledged = &operation["acknowledged"];
        @if acknowledged.is_object() {
            div.note {
                p { "Acknowledged by " (Text(word(&acknowledged["by"]))) " "
                    @if let Some(at) = times::read(&acknowledged["at"]) { (times::relative(site.now, at)) } }
                p { (Text(word(&acknowledged["note"]))) }
            }
        }
    }
}

/// Says what the reason of a status means for whoever looks at it.
fn meaning(operation: &Value) -> Option<&'static str> {
    Some(match word(&operation["reason"]) {
        "start_outcome_unknown" => {
            "An answer to the start was lost: a job may or may not exist. Look at Graph before it is asked for again."
        }
        "start_untrackable" => "Graph accepted the start and named no job that can be followed.",
        "location_untrusted" => {
            "Graph named a place that is not on the configured host, so no token is sent there."
        }
        "monitor_gone" => "Graph does not know the job any more. It can be followed again.",
        "deadline_passed" => "The job still ran at the deadline. It can be followed again.",
        "start_rejected" => "Graph refused the start: no job exists.",
        "operation_failed" => "Graph says that the job failed.",
        "authorization_lost" => {
            "There is no usable token, or a permission is missing. It goes on when that is mended."
        }
        "sealed_data_unreadable" => {
            "What is sealed on disk was sealed with another key than the configured one."
        }
        "no_usable_answer" => {
            "Graph or its token endpoint gives no usable answer for now. It goes on by itself."
        }
        "throttled" => "Graph has asked for a pause. It goes on by itself.",
        "not_in_catalogue" => {
            "The operation has left the catalogue, so nothing is done. It can be cancelled."
        }
        "cancelled_by_caller" => "It is not followed any more. The job at Graph may still run.",
        "cancelled_at_graph" => "The job was cancelled at Graph, by a person or a policy.",
        _ => return None,
    })
}

fn acts(site: &Site<'_>, caller: &Caller, operation: &Value) -> Markup {
    let id = word(&operation["id"]);
    let acts = Act::ALL.into_iter();
    let acts: Vec<Act> = acts.filter(|act| act.is_possible(operation)).collect();
    html! {
        @if !caller.read_only && !acts.is_empty() {
            ul.acts aria-label="What can be done" {
                @for act in acts {
                    li { a.button #(format!("act-{}", act.name())) href=(site.link(&format!("/operations/{id}/{}", act.name()))) { (act.label()) } }
                }
            }
        }
    }
}

fn facts(site: &Site<'_>, caller: &Caller, operation: &Value) -> Markup {
    let time = |name: &str| times::read(&operation[name]).map(|at| times::both(site.now, at));
    let text = |value: &Value| value.as_str().map(|text| html! { (Text(text)) });
    let graph = &operation["graph"];
    let target = &operation["callback"];
    let link = |name: &str| {
        let id = operation[name].as_str()?;
        let path = site.link(&format!("/operations/{id}"));
        Some(html! { a href=(path) { (Text(id)) } })
    };
    let facts = [
        ("Id", Some(html! { code { (word(&operation["id"])) } })),
        ("Reference", text(&operation["reference"])),
        (
            "Client",
            text(&operation["client"]).filter(|_| caller.is_operator),
        ),
        ("Created", time("createdAt")),
        ("Started", time("startedAt")),
        ("Ended", time("endedAt")),
        ("Deadline", time("deadline")),
        ("Erased", time("erasedAt")),
        ("At Graph", text(&graph["status"])),
        (
            "Looks",
            graph["polls"].as_u64().map(|polls| html! { (polls) }),
        ),
        (
            "Graph's request",
            text(&graph["requestId"]).map(|id| html! { code { (id) } }),
        ),
        ("Callback", Some(callback(site, target))),
        ("Receiver", text(&target["origin"])),
        ("Profile", text(&target["profile"])),
        (
            "Event",
            text(&target["eventId"]).map(|id| html! { code { (id) } }),
        ),
        ("Follows on", link("resumedFrom")),
        ("Goes on as", link("resumedAs")),
        ("Before it", link("previous")),
    ];
    html! {
        section aria-labelledby="facts" {
            h2 #facts { "Facts" }
            dl.facts {
                @for (label, value) in facts {
                    @if let Some(value) = value { div { dt { (label) } dd { (value) } } }
                }
            }
            @if operation["result"].is_object() {
                h3 { "Result" }
                dl.facts {
                    @for (name, value) in operation["result"].as_object().into_iter().flatten() {
                        div { dt { (Text(name)) } dd { (plain(value)) } }
                    }
                }
            }
        }
    }
}

/// Shows a value of a result: a text as it is, anything else as JSON.
fn plain(value: &Value) -> Markup {
    match value {
        Value::String(text) => html! { (Text(text)) },
        Value::Null => html! { span.quiet { "–" } },
        Value::Array(_) | Value::Object(_) => {
            let json = serde_json::to_string_pretty(value).unwrap_or_default();
            html! { pre { @for line in json.lines() { (Text(line)) "\n" } } }
        }
        Value::Bool(_) | Value::Number(_) => html! { (value.to_string()) },
    }
}

fn attempts(history: &[Value]) -> Markup {
    let attempts = history
        .iter()
        .filter(|entry| entry["event"] == "callbackAttempt");
    let attempts: Vec<&Value> = attempts.collect();
    html! {
        @if !attempts.is_empty() {
            section aria-labelledby="attempts" {
                h2 #attempts { "Delivery attempts" }
                div.frame role="region" tabindex="0" aria-labelledby="attempts" {
                    table.attempts {
                        thead { tr {
                            th scope="col" { "Attempt" } th scope="col" { "Time" }
                            th scope="col" { "Answer" } th scope="col" { "What it said" }
                        } }
                        tbody {
                            @for (number, entry) in attempts.iter().enumerate().rev() {
                                tr {
                                    th scope="row" { (number + 1) }
                                    td { @if let Some(at) = times::read(&entry["at"]) { (times::exact(at)) } }
                                    td { (measured(entry)) @if entry["httpStatus"].is_null() { " " span.quiet { "none" } } }
                                    td { (said(entry)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn said(entry: &Value) -> Markup {
    let (kind, length) = (entry["answerType"].as_str(), entry["answerLength"].as_u64());
    html! {
        @if let Some(detail) = entry["detail"].as_str() { (Text(detail)) " " }
        @if let Some(kind) = kind { (Text(kind)) " " }
        @if let Some(length) = length { span.quiet { (length) " bytes" } }
    }
}
