//! What the API has refused, said to a person.

use http::StatusCode;
use maud::{Markup, html};

use crate::answer::Reply;
use crate::api::{Answer, Caller, word};
use crate::layout::{Page, Place, Site, notice};
use crate::text::Text;

/// Returns the page for an answer of the API that is a problem.
pub(crate) fn reply(site: &Site<'_>, caller: Option<&Caller>, answer: &Answer) -> Reply {
    if answer.status == StatusCode::UNAUTHORIZED {
        return Reply::LoggedOut;
    }
    let content = html! {
        section.problem {
            p.code { (answer.status.as_u16()) }
            h1 { (title(answer)) }
            (explained(answer))
            p {
                a.button href="" { "Try again" } " "
                a href=(site.home()) { "All operations" }
            }
        }
    };
    let mut page = Page::new(&Caller::default(), Place::Elsewhere, title(answer), content);
    page.status = answer.status;
    page.retry_after = answer.header("retry-after").map(str::to_owned);
    page.caller = caller.map(|caller| (caller.name.clone(), caller.is_operator, caller.read_only));
    Reply::Page(Box::new(page))
}

/// Returns the page for a path that the console does not have.
pub(crate) fn nothing_here(site: &Site<'_>, caller: &Caller) -> Reply {
    reply(site, Some(caller), &Answer::none(StatusCode::NOT_FOUND))
}

/// Shows a problem above a form that stays, so that it can be mended and sent again.
///
/// The errors of `shown` pointers stand at their fields already.
pub(crate) fn above_form(answer: &Answer, shown: &[String]) -> Markup {
    let others = answer.errors().into_iter();
    let others: Vec<_> = others.filter(|(place, _)| !shown.contains(place)).collect();
    let at_fields = answer.errors().len() - others.len();
    notice(
        "bad",
        &html! {
            p { strong { (title(answer)) "." } }
            @if at_fields > 0 {
                p { "Nothing was done. See the " @if at_fields == 1 { "field that is" } @else { "fields that are" } " marked below." }
            }
            @for (place, rule) in &others {
                p { @if !place.is_empty() { code { (Text(place)) } " " } (Text(rule)) }
            }
            @if others.is_empty() && at_fields == 0 { (explained(answer)) }
        },
    )
}

/// Says in a few words what the API has refused.
pub(crate) fn title(answer: &Answer) -> &str {
    match (answer.problem(), answer.status) {
        ("read-only", _) => "This operator may only look",
        ("rate-limited", _) => "Too many requests",
        ("unavailable", _) => "Not available just now",
        ("conflict", _) => "Not possible now",
        ("", StatusCode::NOT_FOUND) | ("not-found", _) => "There is nothing here",
        ("", _) => "Something went wrong",
        _ => word(&answer.body["title"]),
    }
}

fn explained(answer: &Answer) -> Markup {
    let wait = answer.header("retry-after").unwrap_or("a few");
    let detail = answer.body["detail"].as_str();
    html! {
        @match answer.problem() {
            "read-only" => p { "Its key shows everything and changes nothing. Ask for another key." },
            "rate-limited" => p { "This key has asked too often within a minute. Try again in " (wait) " seconds." },
            "unavailable" => p {
                "The store cannot be reached. Operations go on by themselves as soon as it can. Try again in " (wait) " seconds."
            },
            "unreadable-record" => p { "The operation was written by a newer version, or is damaged. The log says more." },
            "" | "not-found" if answer.status == StatusCode::NOT_FOUND => p {
                "The operation does not exist, was deleted after its retention, or belongs to somebody else."
            },
            _ => @if let Some(detail) = detail { p { (Text(detail)) } },
        }
    }
}
