//! A new request: a form from the catalogue's schema, with errors at their fields.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Method, Request};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::answer::Reply;
use crate::api::{Answer, Api, Caller, word};
use crate::form::{Draft, Field, Fields};
use crate::layout::{Page, Place, Site};
use crate::text::{Text, words};
use crate::times;
use crate::{problem, schema_form};

/// Characters of a text that the API takes as a reference.
const REFERENCE_HINT: &str = "A ticket's number, for example. The same operation and reference are one request, however often they are sent.";

pub(crate) fn page(site: &Site<'_>, caller: &Caller, query: &str) -> Reply {
    let mut fields = Fields::read(query.as_bytes());
    let name = fields.get("operation").to_owned();
    let Some(operation) = find(caller, &name) else {
        return Reply::Page(Box::new(chooser(site, caller)));
    };
    fields.set("key", &random_key());
    let draft = Draft {
        fields,
        errors: Vec::new(),
    };
    form(site, caller, operation, &draft, None)
}

fn find<'c>(caller: &'c Caller, name: &str) -> Option<&'c Value> {
    caller
        .catalogue
        .iter()
        .find(|operation| operation["name"] == name)
}

/// Shows what can be asked for, by its kind.
fn chooser(site: &Site<'_>, caller: &Caller) -> Page {
    let kind = |operation: &Value| {
        let name = word(&operation["name"]);
        name.split('.').next().unwrap_or_default().to_owned()
    };
    let mut operations: Vec<&Value> = caller.catalogue.iter().collect();
    operations.sort_by_key(|operation| kind(operation));
    let content = html! {
        h1 { "New request" }
        @if operations.is_empty() {
            div.empty { p { "This key may not ask for any operation." } }
        }
        @for group in operations.chunk_by(|one, other| kind(one) == kind(other)) {
            section.group {
                h2 { (schema_form::capital(&words(&kind(group[0])))) }
                ul.choices {
                    @for operation in group {
                        @let name = word(&operation["name"]);
                        li {
                            a href=(site.link(&format!("/new?operation={name}"))) { (Text(title(operation))) }
                            span.quiet { (Text(name)) @if operation["beta"] == true { " · beta" } }
                        }
                    }
                }
            }
        }
    };
    Page::new(caller, Place::New, "New request", content)
}

fn title(operation: &Value) -> &str {
    let title = operation["title"].as_str();
    title.unwrap_or_else(|| word(&operation["name"]))
}

/// Shows the form of one operation; above it what the API has refused.
fn form(
    site: &Site<'_>,
    caller: &Caller,
    operation: &Value,
    draft: &Draft,
    refused: Option<&Answer>,
) -> Reply {
    let name = word(&operation["name"]);
    let shown: Vec<String> = draft
        .errors
        .iter()
        .map(|(place, _)| place.clone())
        .collect();
    let content = html! {
        p.back { a href=(site.link("/new")) { "All kinds of requests" } }
        h1 { (Text(title(operation))) }
        p.under { (Text(name)) " " (about(operation)) }
        @if let Some(refused) = refused { (problem::above_form(refused, &shown)) }
        form.request method="post" action=(site.link("/new")) {
            input type="hidden" name="operation" value=(name);
            input type="hidden" name="key" value=(draft.value("key"));
            @if caller.is_operator { (client(caller, draft)) }
            fieldset {
                legend { "Parameters" }
                (schema_form::fields(draft, "/parameters", &operation["parameters"]))
            }
            fieldset {
                legend { "How it is known, and until when" }
                (draft.line(&Field { pointer: "/reference", label: "Reference", required: false, hint: REFERENCE_HINT }, "text", "RITM0012345"))
                (draft.line(&Field { pointer: "/deadline", label: "Deadline", required: false, hint: "When graph-courier stops following the job. Without it: the usual time for this operation." }, "text", "2026-12-20T00:00:00Z"))
            }
            fieldset {
                legend { "Due by law " span.quiet { "optional" } }
                (draft.line(&Field { pointer: "/legal/regulation", label: "Regulation", required: false, hint: "Such as gdpr, uk-gdpr, ccpa or lgpd. Then the receipt and the time zone are needed too." }, "text", "gdpr"))
                (draft.line(&Field { pointer: "/legal/receivedAt", label: "Received at", required: false, hint: "When the person's request was received." }, "text", "2026-01-31T09:12:00+01:00"))
                (draft.line(&Field { pointer: "/legal/timeZone", label: "Time zone", required: false, hint: "Whose days count." }, "text", "Europe/Berlin"))
                (draft.line(&Field { pointer: "/legal/holidays", label: "Holidays", required: false, hint: "A calendar of public holidays. Without it: the configured one." }, "text", "de"))
            }
            fieldset {
                legend { "Callback " span.quiet { "optional" } }
                (callback_fields(draft, "/callback"))
            }
            div.buttons {
                button.primary { "Send the request" }
                a href=(site.home()) { "Leave it" }
            }
        }
    };
    let mut page = Page::new(caller, Place::New, title(operation), content);
    if let Some(refused) = refused {
        page.status = refused.status;
    }
    Reply::Page(Box::new(page))
}

fn about(operation: &Value) -> Markup {
    // For each kind of token a list; most operations need the same with both.
    let kinds = operation["permissions"].as_object().into_iter().flatten();
    let names = kinds.flat_map(|(_, names)| names.as_array().into_iter().flatten());
    let permissions: BTreeSet<&str> = names.map(word).collect();
    let permissions: Vec<&str> = permissions.into_iter().collect();
    let deadline = operation["deadlineSeconds"].as_i64();
    html! {
        span.quiet {
            @if !permissions.is_empty() { "· needs " (permissions.join(", ")) " " }
            @if let Some(deadline) = deadline { "· followed for " (times::span(deadline)) " " }
            @if operation["restart"] == "never" { "· never started twice" }
        }
    }
}

/// Shows the choice of the client for whom an operator asks.
pub(crate) fn client(caller: &Caller, draft: &Draft) -> Markup {
    let hint = "Its tenant, its operations and its callback origins apply.";
    let field = Field {
        pointer: "client",
        label: "On behalf of the client",
        required: true,
        hint,
    };
    let clients = caller.clients.iter();
    let clients: Vec<_> = clients.map(|name| (name.clone(), name.clone())).collect();
    match clients.is_empty() {
        true => draft.line(&field, "text", ""),
        false => draft.choice(&field, &clients),
    }
}

/// Shows the fields of a callback, each below `pointer`.
pub(crate) fn callback_fields(draft: &Draft, pointer: &str) -> Markup {
    let [url, profile, token] = ["url", "profile", "token"].map(|name| format!("{pointer}/{name}"));
    html! {
        (draft.line(&Field { pointer: &url, label: "URL", required: false, hint: "Below one of the client's callback origins." }, "text", "https://receiver.example/graph"))
        (draft.line(&Field { pointer: &profile, label: "Profile", required: false, hint: "How the completion is written and signed. Without it: the client's default." }, "text", ""))
        (draft.line(&Field { pointer: &token, label: "Token", required: false, hint: "What the receiver wants to have repeated." }, "password", ""))
    }
}

/// Adds what was typed of these members to an object.
pub(crate) fn members(fields: &Fields, pointer: &str, names: &[&str]) -> Value {
    let mut object = json!({});
    for name in names {
        let value = fields.get(&format!("{pointer}/{name}"));
        if !value.is_empty() {
            object[*name] = value.into();
        }
    }
    object
}

pub(crate) async fn submit(
    site: &Site<'_>,
    api: &Api<'_>,
    caller: &Caller,
    request: &Request<Bytes>,
) -> Result<Reply, Answer> {
    let fields = Fields::of(request);
    let name = fields.get("operation");
    let Some(operation) = find(caller, name) else {
        return Ok(problem::nothing_here(site, caller));
    };
    let mut errors = Vec::new();
    let schema = &operation["parameters"];
    let parameters = schema_form::value(&fields, "/parameters", schema, &mut errors);
    let mut body = members(&fields, "", &["reference", "deadline"]);
    body["operation"] = name.into();
    body["parameters"] = parameters.unwrap_or_else(|| json!({}));
    let callback = members(&fields, "/callback", &["url", "profile", "token"]);
    if callback != json!({}) {
        body["callback"] = callback;
    }
    let legal = members(
        &fields,
        "/legal",
        &["regulation", "receivedAt", "timeZone", "holidays"],
    );
    if legal != json!({}) {
        body["legal"] = legal;
    }
    let path = for_client("/v1/operations", fields.get("client"));
    // With a reference, the request is the same as one that another program sends with it.
    let mut headers = vec![("prefer", "respond-async")];
    if body["reference"].is_null() {
        headers.push(("idempotency-key", fields.get("key")));
    }
    let sent = match errors.is_empty() {
        true => api.send(Method::POST, &path, &headers, Some(&body)).await,
        false => Err(unreadable(&errors)),
    };
    match sent {
        Ok(answer) => {
            let id = word(&answer.body["id"]);
            let known = answer.header("idempotency-replayed") == Some("true");
            let done = if known { "known" } else { "requested" };
            Ok(Reply::See(format!("/operations/{id}?done={done}")))
        }
        Err(answer) if answer.status.as_u16() == 401 => Err(answer),
        Err(answer) => {
            errors = answer.errors();
            let draft = Draft { fields, errors };
            Ok(form(site, caller, operation, &draft, Some(&answer)))
        }
    }
}

/// Returns an answer for a form that cannot become a request.
fn unreadable(errors: &[(String, String)]) -> Answer {
    let errors = errors.iter();
    let errors: Vec<Value> = errors
        .map(|(pointer, rule)| json!({ "pointer": pointer, "rule": rule }))
        .collect();
    Answer {
        body: json!({
            "type": "urn:graph-courier:problem:invalid-request",
            "title": "The request breaks a rule",
            "errors": errors,
        }),
        ..Answer::none(http::StatusCode::BAD_REQUEST)
    }
}

/// Returns a path with the client for whom an operator asks.
pub(crate) fn for_client(path: &str, client: &str) -> String {
    if client.is_empty() {
        return path.to_owned();
    }
    let mut query = url::form_urlencoded::Serializer::new(format!("{path}?"));
    query.append_pair("client", client);
    query.finish()
}

/// Returns a key for one showing of a form, so that a second click sends the same request.
fn random_key() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        return String::new();
    }
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    format!("console-{}", digits.collect::<String>())
}
