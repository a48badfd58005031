//! A signed example of a completion, sent once to a receiver, to see what it answers.

use bytes::Bytes;
use http::{Method, Request};
use maud::{Markup, html};
use serde_json::Value;

use crate::answer::Reply;
use crate::api::{Answer, Api, Caller, word};
use crate::filter::STATUSES;
use crate::form::{Draft, Field, Fields};
use crate::layout::{Page, Place, Site, notice};
use crate::new_request::{client, for_client, members};
use crate::problem;
use crate::text::{Text, words};
use crate::timeline::http_status;

pub(crate) fn page(site: &Site<'_>, caller: &Caller, query: &str) -> Reply {
    let fields = Fields::read(query.as_bytes());
    let draft = Draft {
        fields,
        errors: Vec::new(),
    };
    form(site, caller, &draft, &html! {})
}

fn form(site: &Site<'_>, caller: &Caller, draft: &Draft, outcome: &Markup) -> Reply {
    let outcomes = STATUSES[3..].iter();
    let outcomes: Vec<_> = outcomes
        .map(|status| ((*status).to_owned(), words(status)))
        .collect();
    let content = html! {
        h1 { "Test a receiver" }
        p.under { "A signed example of a completion is sent once. It belongs to no operation and is not tried again." }
        (outcome)
        form.request method="post" action=(site.link("/test")) {
            @if caller.is_operator { (client(caller, draft)) }
            (draft.line(&Field { pointer: "/url", label: "URL", required: true, hint: "Below one of the client's callback origins." }, "text", "https://receiver.example/graph"))
            (draft.line(&Field { pointer: "/profile", label: "Profile", required: false, hint: "Without it: the client's default." }, "text", ""))
            (draft.choice(&Field { pointer: "/outcome", label: "Outcome", required: true, hint: "" }, &outcomes))
            div.buttons { button.primary { "Send the example" } }
        }
    };
    let page = Page::new(caller, Place::Test, "Test a receiver", content);
    Reply::Page(Box::new(page))
}

pub(crate) async fn submit(
    site: &Site<'_>,
    api: &Api<'_>,
    caller: &Caller,
    request: &Request<Bytes>,
) -> Result<Reply, Answer> {
    let fields = Fields::of(request);
    let body = members(&fields, "", &["url", "profile", "outcome"]);
    let path = for_client("/v1/callbacks/test", fields.get("client"));
    let sent = api.send(Method::POST, &path, &[], Some(&body)).await;
    let (errors, outcome) = match &sent {
        Ok(answer) => (Vec::new(), answered(&answer.body)),
        Err(answer) if answer.status.as_u16() == 401 => return sent.map(|_| Reply::LoggedOut),
        Err(answer) => {
            let errors = answer.errors();
            let shown: Vec<String> = errors.iter().map(|(place, _)| place.clone()).collect();
            (errors, problem::above_form(answer, &shown))
        }
    };
    Ok(form(site, caller, &Draft { fields, errors }, &outcome))
}

fn answered(answer: &Value) -> Markup {
    let is_delivered = answer["delivered"] == true;
    notice(
        if is_delivered { "good" } else { "bad" },
        &html! {
            p {
                @if is_delivered { "The receiver took it. " } @else { "The receiver did not take it. " }
                @if let Some(status) = answer["status"].as_u64() { (http_status(status)) " " }
                @if let Some(latency) = answer["latencyMs"].as_u64() { span.quiet { (latency) " ms" } }
            }
            @if let Some(error) = answer["error"].as_str() { p { (Text(error)) } }
            @if let Some(said) = answer["answer"].as_str() { pre.answer { (Text(said)) } }
            @if let Some(id) = answer["eventId"].as_str() { p.quiet { "Event " code { (Text(word(&id.into()))) } } }
        },
    )
}
