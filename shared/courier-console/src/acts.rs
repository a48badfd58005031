//! What a person can do to an operation: each act has a page that says what will happen, and a button that does it.

use bytes::Bytes;
use http::{Method, Request};
use maud::{Markup, html};
use serde_json::{Value, json};
use url::Url;

use crate::answer::Reply;
use crate::api::{Answer, Api, Caller, operation_path, word};
use crate::form::{Draft, Field, Fields};
use crate::layout::{Page, Place, Site};
use crate::legal;
use crate::list::{callback, name, status};
use crate::new_request::{callback_fields, members};
use crate::problem;
use crate::text::Text;

/// Something that a person does to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Acknowledge,
    LegalExtend,
    LegalPause,
    LegalResume,
    Resume,
    Redeliver,
    Retarget,
    Cancel,
    Erase,
}

impl Act {
    /// All acts, in the order of their buttons.
    pub(crate) const ALL: [Self; 9] = [
        Self::Acknowledge,
        Self::LegalExtend,
        Self::LegalPause,
        Self::LegalResume,
        Self::Resume,
        Self::Redeliver,
        Self::Retarget,
        Self::Cancel,
        Self::Erase,
    ];

    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.name() == name)
    }

    /// Returns the last part of the act's path.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::LegalExtend => "legal-extend",
            Self::LegalPause => "legal-pause",
            Self::LegalResume => "legal-resume",
            Self::Resume => "resume",
            Self::Redeliver => "redeliver",
            Self::Retarget => "retarget",
            Self::Cancel => "cancel",
            Self::Erase => "erase",
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Acknowledge => "Acknowledge",
            Self::LegalExtend => "Extend the period",
            Self::LegalPause => "Stop the clock",
            Self::LegalResume => "Let the clock go on",
            Self::Resume => "Follow again",
            Self::Redeliver => "Deliver again",
            Self::Retarget => "Change the receiver",
            Self::Cancel => "Cancel",
            Self::Erase => "Erase",
        }
    }

    /// Says what will happen.
    fn explained(self) -> &'static [&'static str] {
        match self {
            Self::Acknowledge => &[
                "Your note says that a person has looked at this unknown outcome, and what was found.",
                "The outcome stays unknown, and nothing is sent to Graph or to the receiver.",
            ],
            Self::LegalExtend => &[
                "The legal due date moves by as much as the regulation allows. The person must have been told, with the reasons.",
                "Nothing is sent to the person: graph-courier only notes it.",
            ],
            Self::LegalPause => &[
                "The legal clock stands still from the day on which the person was asked, and nothing warns of its due date.",
                "A regulation that knows no pause refuses it.",
            ],
            Self::LegalResume => &[
                "The legal clock goes on from the day of the answer. The days between do not count.",
            ],
            Self::Resume => &[
                "A new operation follows the same job at Graph, and names this one. Nothing is started a second time.",
                "This operation keeps its outcome. The new one delivers its own completion.",
            ],
            Self::Redeliver => &[
                "The same completion is sent to the receiver again, on a new schedule, under the same event id.",
                "A receiver that has taken it before can tell by the id that it is the same.",
            ],
            Self::Retarget => &[
                "The completion goes to another URL, or with another profile or token. What you leave empty stays.",
                "One that is not delivered yet, or was given up, is sent there at once. One that was delivered is not sent again.",
            ],
            Self::Cancel => &[
                "graph-courier stops following the job, and the receiver gets a completion that says cancelled.",
                "The job at Graph goes on: it cannot be stopped from here.",
            ],
            Self::Erase => &[
                "What the operation says about people is removed at once: parameters, reference, result, error, the callback and the texts of its history.",
                "Its id, its status and its times stay, so that a repeat of the request starts nothing. This cannot be undone.",
            ],
        }
    }

    fn is_dangerous(self) -> bool {
        matches!(self, Self::Cancel | Self::Erase)
    }

    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::Acknowledge => "Your note is kept.",
            Self::LegalExtend => "The period is extended.",
            Self::LegalPause => "The legal clock is stopped.",
            Self::LegalResume => "The legal clock goes on.",
            Self::Resume => "This operation follows the job now.",
            Self::Redeliver => "The completion is being delivered again.",
            Self::Retarget => "The receiver is changed.",
            Self::Cancel => "The operation is cancelled.",
            Self::Erase => "What it said about people is erased.",
        }
    }

    /// Returns whether the operation's state allows the act, as far as its document says.
    pub(crate) fn is_possible(self, operation: &Value) -> bool {
        let is_open = operation["endedAt"].is_null();
        let is_erased = operation["erasedAt"].is_string();
        let delivery = word(&operation["callback"]["status"]);
        let reason = word(&operation["reason"]);
        match self {
            Self::Acknowledge => {
                operation["status"] == "unknown" && !operation["acknowledged"].is_object()
            }
            Self::LegalExtend | Self::LegalPause | Self::LegalResume => {
                legal::is_possible(self, operation)
            }
            Self::Resume => ["deadline_passed", "monitor_gone"].contains(&reason) && !is_erased,
            Self::Redeliver => !is_open && delivery != "none",
            Self::Retarget => (is_open || delivery != "none") && !is_erased,
            Self::Cancel => is_open,
            Self::Erase => !is_open && !is_erased && !["pending", "retrying"].contains(&delivery),
        }
    }
}

/// Shows what an act will do.
pub(crate) async fn page(
    site: &Site<'_>,
    api: &Api<'_>,
    caller: &Caller,
    id: &str,
    act: &str,
) -> Result<Reply, Answer> {
    let Some(act) = Act::find(act) else {
        return Ok(problem::nothing_here(site, caller));
    };
    let operation = api.get(&operation_path(id)).await?.body;
    Ok(confirmation(
        site,
        caller,
        act,
        &operation,
        &Draft::default(),
        None,
    ))
}

fn confirmation(
    site: &Site<'_>,
    caller: &Caller,
    act: Act,
    operation: &Value,
    draft: &Draft,
    refused: Option<&Answer>,
) -> Reply {
    let shown: Vec<String> = draft
        .errors
        .iter()
        .map(|(place, _)| place.clone())
        .collect();
    let fields = html! {
        @for sentence in act.explained() { p { (sentence) } }
        @if let Some(refused) = refused { (problem::above_form(refused, &shown)) }
        @if act == Act::Acknowledge {
            (draft.lines(&Field { pointer: "/note", label: "Note", required: true, hint: "What you have found. It stays in the history." }, ""))
        }
        (legal::fields(act, draft))
        @if act == Act::Retarget {
            input type="hidden" name="step" value="preview";
            (callback_fields(draft, ""))
        }
    };
    let button = if act == Act::Retarget {
        "Preview"
    } else {
        act.label()
    };
    let content = asked(site, act, operation, &fields, button);
    let mut page = Page::new(caller, Place::Operations, act.label(), content);
    if let Some(refused) = refused {
        page.status = refused.status;
    }
    Reply::Page(Box::new(page))
}

/// Shows the operation, what is asked about it, and the button.
fn asked(site: &Site<'_>, act: Act, operation: &Value, fields: &Markup, button: &str) -> Markup {
    let path = site.link(&format!("/operations/{}", word(&operation["id"])));
    let kind = if act.is_dangerous() {
        "danger"
    } else {
        "primary"
    };
    html! {
        p.back { a href=(path) { (name(operation)) } }
        h1 { (act.label()) }
        p.under { (name(operation)) " · " (Text(word(&operation["operation"]))) " " (status(operation)) " " (callback(site, &operation["callback"])) }
        form.confirm method="post" action=(format!("{path}/{}", act.name())) {
            (fields)
            div.buttons {
                button class=(kind) { (button) }
                a href=(path) { "Leave it" }
            }
        }
    }
}

/// Does it.
pub(crate) async fn submit(
    site: &Site<'_>,
    api: &Api<'_>,
    caller: &Caller,
    id: &str,
    act: &str,
    request: &Request<Bytes>,
) -> Result<Reply, Answer> {
    let Some(act) = Act::find(act) else {
        return Ok(problem::nothing_here(site, caller));
    };
    let fields = Fields::of(request);
    let path = operation_path(id);
    if act == Act::Retarget && fields.get("step") == "preview" {
        let operation = api.get(&path).await?.body;
        return Ok(preview(site, caller, &operation, fields));
    }
    let (method, path_of_act, body) = match act {
        Act::Acknowledge => {
            let note = members(&fields, "", &["note"]);
            (Method::POST, format!("{path}/acknowledge"), Some(note))
        }
        Act::LegalExtend => {
            let told = members(&fields, "", &["reason", "toldAt"]);
            (Method::POST, format!("{path}/legal/extend"), Some(told))
        }
        Act::LegalPause => {
            let asked = members(&fields, "", &["reason", "at"]);
            (Method::POST, format!("{path}/legal/pause"), Some(asked))
        }
        Act::LegalResume => {
            let answered = members(&fields, "", &["at"]);
            (Method::POST, format!("{path}/legal/resume"), Some(answered))
        }
        Act::Resume => (Method::POST, format!("{path}/resume"), None),
        Act::Redeliver => (Method::POST, format!("{path}/callback/redeliver"), None),
        Act::Retarget => {
            let changed = members(&fields, "", &["url", "profile", "token"]);
            (Method::PATCH, format!("{path}/callback"), Some(changed))
        }
        Act::Cancel => (Method::POST, format!("{path}/cancel"), None),
        Act::Erase => (Method::DELETE, path.clone(), None),
    };
    match api.send(method, &path_of_act, &[], body.as_ref()).await {
        Ok(answer) => {
            let id = answer.body["id"].as_str().unwrap_or(id);
            Ok(Reply::See(format!("/operations/{id}?done={}", act.name())))
        }
        Err(answer) if body.is_some() && answer.status.as_u16() != 401 => {
            let operation = api.get(&path).await?.body;
            let errors = answer.errors();
            let draft = Draft { fields, errors };
            Ok(confirmation(
                site,
                caller,
                act,
                &operation,
                &draft,
                Some(&answer),
            ))
        }
        Err(answer) => Err(answer),
    }
}

/// Shows the receiver before and after a change, which is sent by the next form.
fn preview(site: &Site<'_>, caller: &Caller, operation: &Value, fields: Fields) -> Reply {
    let names = ["url", "profile", "token"].map(|name| format!("/{name}"));
    let changed = members(&fields, "", &["url", "profile", "token"]);
    if changed == json!({}) {
        let rule = (
            "/url".to_owned(),
            "must be filled in, or the profile, or the token".to_owned(),
        );
        let draft = Draft {
            fields,
            errors: vec![rule],
        };
        return confirmation(site, caller, Act::Retarget, operation, &draft, None);
    }
    let target = &operation["callback"];
    let new = Url::parse(word(&changed["url"])).ok();
    let origin = new.map(|url| url.origin().ascii_serialization());
    let rows = [
        ("Origin", target["origin"].as_str(), origin.as_deref()),
        (
            "Profile",
            target["profile"].as_str(),
            changed["profile"].as_str(),
        ),
    ];
    let at_once = match word(&target["status"]) {
        "undeliverable" | "retrying" => "The completion is sent there at once.",
        "delivered" => {
            "The completion was delivered already and is not sent again. Deliver it again afterwards if it is to go there."
        }
        _ => "The completion goes there when the operation ends.",
    };
    let shown = html! {
        div.frame role="region" tabindex="0" aria-label="The receiver now and then" {
            table.change {
                thead { tr { th scope="col" { "" } th scope="col" { "Now" } th scope="col" { "Then" } } }
                tbody {
                    @for (label, now, then) in rows {
                        tr {
                            th scope="row" { (label) }
                            td { (Text(now.unwrap_or("–"))) }
                            td { @if let Some(then) = then { strong { (Text(then)) } } @else { span.quiet { "stays" } } }
                        }
                    }
                    tr {
                        th scope="row" { "URL" }
                        td { span.quiet { "sealed" } }
                        td { @if let Some(url) = changed["url"].as_str() { (Text(url)) } @else { span.quiet { "stays" } } }
                    }
                    tr {
                        th scope="row" { "Token" }
                        td { span.quiet { "sealed" } }
                        td { span.quiet { @if changed["token"].is_null() { "stays" } @else { "a new one" } } }
                    }
                }
            }
        }
        p { (at_once) }
        (fields.hidden(&names.each_ref().map(String::as_str)))
    };
    let content = asked(
        site,
        Act::Retarget,
        operation,
        &shown,
        "Change the receiver",
    );
    let page = Page::new(caller, Place::Operations, "Change the receiver", content);
    Reply::Page(Box::new(page))
}
