//! What happened to an operation, in one line of time: at Graph, at the receiver, and by whom.

use maud::{Markup, html};
use serde_json::Value;

use crate::api::word;
use crate::layout::Site;
use crate::text::{Text, words};
use crate::times;

/// Where something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// At Microsoft Graph, or on the way there.
    Graph,
    /// At the receiver of the completion.
    Receiver,
    /// A caller or an operator did it.
    Person,
    /// Here.
    Courier,
}

impl Lane {
    fn name(self) -> &'static str {
        match self {
            Self::Graph => "Graph",
            Self::Receiver => "Receiver",
            Self::Person => "Person",
            Self::Courier => "Courier",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Receiver => "receiver",
            Self::Person => "person",
            Self::Courier => "courier",
        }
    }
}

/// Each event of the history: where it happened, and what it means.
const EVENTS: [(&str, Lane, &str); 40] = [
    ("accepted", Lane::Person, "Requested, and on disk"),
    ("resumed", Lane::Person, "Followed again"),
    ("startClaimed", Lane::Graph, "Asking Graph to start"),
    ("started", Lane::Graph, "Graph has started it"),
    ("alreadyThere", Lane::Graph, "Graph has it already"),
    ("startPostponed", Lane::Graph, "The start waits"),
    (
        "startAnswerLost",
        Lane::Graph,
        "The answer to the start was lost",
    ),
    ("jobLookedFor", Lane::Graph, "Looked for the job"),
    ("jobFound", Lane::Graph, "The job was found"),
    ("jobNotFound", Lane::Graph, "No such job was found"),
    ("jobSucceeded", Lane::Graph, "The job has succeeded"),
    ("statusChanged", Lane::Graph, "Graph reports another state"),
    (
        "lookPostponed",
        Lane::Graph,
        "The look brought nothing usable",
    ),
    ("monitorMissing", Lane::Graph, "Graph does not find the job"),
    (
        "notListedYet",
        Lane::Graph,
        "Graph does not list the job yet",
    ),
    (
        "notVerified",
        Lane::Graph,
        "What the job made cannot be seen yet",
    ),
    (
        "authorizationLost",
        Lane::Graph,
        "The authorization is missing",
    ),
    ("ended", Lane::Courier, "Ended"),
    ("callbackAttempt", Lane::Receiver, "Completion sent"),
    ("callbackPostponed", Lane::Receiver, "The delivery waits"),
    (
        "announcementAttempt",
        Lane::Receiver,
        "End announced as an event",
    ),
    (
        "announcementPostponed",
        Lane::Receiver,
        "The announcement waits",
    ),
    (
        "unannounced",
        Lane::Receiver,
        "The announcement was given up",
    ),
    ("undeliverable", Lane::Receiver, "The delivery was given up"),
    (
        "parked",
        Lane::Receiver,
        "The receiver is left alone for a while",
    ),
    (
        "orphaned",
        Lane::Receiver,
        "The configuration lacks what the delivery needs",
    ),
    ("cancelAsked", Lane::Person, "Asked to cancel"),
    ("cancelled", Lane::Person, "Cancelled"),
    ("resumeAsked", Lane::Person, "Asked to follow the job again"),
    ("redeliveryAsked", Lane::Person, "Asked to deliver again"),
    ("callbackChanged", Lane::Person, "Changed the receiver"),
    ("acknowledged", Lane::Person, "Acknowledged"),
    ("legalExtended", Lane::Person, "Extended the legal period"),
    ("legalPaused", Lane::Person, "Stopped the legal clock"),
    ("legalResumed", Lane::Person, "Let the legal clock go on"),
    (
        "deadlineAtRisk",
        Lane::Courier,
        "The legal due date comes near",
    ),
    (
        "deadlinePassed",
        Lane::Courier,
        "The legal due date has passed",
    ),
    ("erased", Lane::Person, "Erased what it says about people"),
    (
        "sealedDataUnreadable",
        Lane::Courier,
        "What is sealed cannot be opened",
    ),
    (
        "stumbled",
        Lane::Courier,
        "A step failed here and is tried again",
    ),
];

/// Shows the history, the newest first, below what is planned.
pub(crate) fn timeline(site: &Site<'_>, operation: &Value, history: &[Value]) -> Markup {
    html! {
        ol.timeline {
            (planned(site, operation))
            @for entry in history.iter().rev() { (line(site, entry)) }
        }
    }
}

fn planned(site: &Site<'_>, operation: &Value) -> Markup {
    let is_open = operation["endedAt"].is_null();
    let mut plans: Vec<_> = [
        ("Deadline", Lane::Courier, &operation["deadline"], is_open),
        (
            "Due by law",
            Lane::Person,
            &operation["legal"]["dueAt"],
            is_open,
        ),
        (
            "Nine in ten such jobs end by",
            Lane::Graph,
            &operation["expectedBy"],
            is_open,
        ),
        (
            "Next look",
            Lane::Graph,
            &operation["graph"]["nextPollAt"],
            is_open,
        ),
        (
            "Next attempt",
            Lane::Receiver,
            &operation["callback"]["nextAttemptAt"],
            true,
        ),
    ]
    .into_iter()
    .filter(|(.., shown)| *shown)
    .filter_map(|(what, lane, at, _)| Some((what, lane, times::read(at)?)))
    .collect();
    plans.sort_by_key(|(_, _, at)| std::cmp::Reverse(*at));
    html! {
        @for (what, lane, at) in plans {
            li class=(format!("planned {}", lane.class())) {
                div.when { (times::relative(site.now, at)) }
                div.lane { (lane.name()) }
                div.what { p { (what) " " span.quiet { (times::exact(at)) } } }
            }
        }
    }
}

fn line(site: &Site<'_>, entry: &Value) -> Markup {
    let event = word(&entry["event"]);
    let known = EVENTS.iter().find(|(name, ..)| *name == event);
    let (lane, sentence) = match known {
        Some((_, lane, sentence)) => (*lane, (*sentence).to_owned()),
        None => (Lane::Courier, words(event)),
    };
    let ids = [("request", "requestId"), ("our request", "clientRequestId")];
    let ids = ids.map(|(label, name)| (label, word(&entry[name])));
    html! {
        li class=(lane.class()) {
            div.when {
                @if let Some(at) = times::read(&entry["at"]) { (times::relative(site.now, at)) }
            }
            div.lane { (lane.name()) }
            div.what {
                p {
                    (sentence)
                    @if event == "ended" { ": " strong { (words(word(&entry["status"]))) } }
                    (measured(entry))
                    @if let Some(by) = entry["by"].as_str() { " " span.quiet { "by " (Text(by)) } }
                }
                @if let Some(detail) = entry["detail"].as_str() { p.detail { (Text(detail)) } }
                @if let Some(answer) = entry["answer"].as_str() { pre.answer { (Text(answer)) } }
                @if ids.iter().any(|(_, id)| !id.is_empty()) {
                    details.ids {
                        summary { "ids" }
                        @for (label, id) in ids {
                            @if !id.is_empty() { p { (label) " " code { (Text(id)) } } }
                        }
                    }
                }
            }
        }
    }
}

/// Shows the status and the latency of an answer.
pub(crate) fn measured(entry: &Value) -> Markup {
    let status = entry["httpStatus"].as_u64();
    let latency = entry["latencyMs"].as_u64();
    html! {
        @if let Some(status) = status { " " (http_status(status)) }
        @if let Some(latency) = latency { " " span.quiet { (latency) " ms" } }
    }
}

pub(crate) fn http_status(status: u64) -> Markup {
    let kind = match status {
        200..=299 => "good",
        300..=399 => "odd",
        _ => "bad",
    };
    html! { span class=(format!("http {kind}")) { (status) } }
}
