//! The legal clock of an operation: when the answer is due by law, what is left, and the forms of the acts on it.

use maud::{Markup, html};
use serde_json::Value;

use crate::acts::Act;
use crate::api::word;
use crate::form::{Draft, Field};
use crate::layout::Site;
use crate::list::Risk;
use crate::text::Text;
use crate::times;

/// Shows the due date and the days that are left, in a few words; nothing without a legal clock.
pub(crate) fn due(operation: &Value) -> Markup {
    let clock = &operation["legal"];
    html! {
        @if clock.is_object() {
            time datetime=(word(&clock["dueOn"])) { (Text(word(&clock["dueOn"]))) }
            @if let Some(met) = clock["met"].as_bool() {
                @if met { " " span.quiet { "met" } } @else { " " span.badge.overdue { "missed" } }
            } @else if clock["pausedAt"].is_string() {
                " " span.badge.waits { "stopped" }
            } @else if let Some(days) = clock["daysLeft"].as_i64() {
                @match risk(operation) {
                    Some(risk) => {
                        " " span class=(format!("badge {}", risk.class())) { (left(risk, days)) }
                    }
                    None => { " " span.quiet { (counted(days)) } }
                }
            }
        }
    }
}

/// Returns whether the answer may come too late, or does: only while the operation is open and its clock goes on.
pub(crate) fn risk(operation: &Value) -> Option<Risk> {
    let clock = &operation["legal"];
    let goes_on = clock["met"].is_null() && !clock["pausedAt"].is_string();
    let days = clock["daysLeft"].as_i64().filter(|_| goes_on)?;
    match clock["atRisk"].as_bool().unwrap_or_default() {
        _ if days < 0 => Some(Risk::Overdue),
        true => Some(Risk::Late),
        false => None,
    }
}

/// Says the risk in words, so that nobody has to see its colour, and how many days are left from today.
fn left(risk: Risk, days: i64) -> String {
    match risk {
        Risk::Overdue if days == -1 => "overdue by 1 day".to_owned(),
        Risk::Overdue => format!("overdue by {} days", -days),
        Risk::Late | Risk::Waits => format!("{}: {}", risk.label(), counted(days)),
    }
}

fn counted(days: i64) -> String {
    match days {
        0 => "last day".to_owned(),
        1 => "1 day left".to_owned(),
        _ => format!("{days} days left"),
    }
}

/// Shows everything about the clock of one operation.
pub(crate) fn section(site: &Site<'_>, operation: &Value) -> Markup {
    let clock = &operation["legal"];
    let time = |name: &str| times::read(&clock[name]).map(|at| times::both(site.now, at));
    let text = |name: &str| clock[name].as_str().map(|text| html! { (Text(text)) });
    let facts = [
        ("Regulation", text("regulation")),
        ("Received", time("receivedAt")),
        ("Time zone", text("timeZone")),
        ("Holidays", text("holidays")),
        ("Due", Some(due(operation))),
        ("Until", time("dueAt")),
        ("Extended", time("extendedAt")),
        ("Person told", time("toldAt")),
        ("Stopped", time("pausedAt")),
        (
            "Days not counted",
            clock["pausedDays"].as_u64().map(|days| html! { (days) }),
        ),
    ];
    let notes = clock["notes"].as_array().into_iter().flatten();
    html! {
        @if clock.is_object() {
            section aria-labelledby="legal" {
                h2 #legal { "Legal clock" }
                dl.facts {
                    @for (label, value) in facts {
                        @if let Some(value) = value { div { dt { (label) } dd { (value) } } }
                    }
                }
                @for note in notes { p.quiet { (Text(word(note))) } }
            }
        }
    }
}

/// Reports whether the state of the clock allows the act, as far as the document says. The regulation may still refuse it.
pub(crate) fn is_possible(act: Act, operation: &Value) -> bool {
    let clock = &operation["legal"];
    let runs = clock.is_object() && operation["endedAt"].is_null();
    let is_stopped = clock["pausedAt"].is_string();
    match act {
        Act::LegalExtend => runs && !clock["extendedAt"].is_string(),
        Act::LegalPause => runs && !is_stopped,
        Act::LegalResume => runs && is_stopped,
        Act::Acknowledge
        | Act::Resume
        | Act::Redeliver
        | Act::Retarget
        | Act::Cancel
        | Act::Erase => false,
    }
}

/// Shows the fields of an act on the clock.
pub(crate) fn fields(act: Act, draft: &Draft) -> Markup {
    let line = |pointer, label, required, hint, example| {
        let field = Field {
            pointer,
            label,
            required,
            hint,
        };
        draft.line(&field, "text", example)
    };
    let reason = || {
        let field = Field {
            pointer: "/reason",
            label: "Reason",
            required: true,
            hint: "It stays in the history.",
        };
        draft.lines(&field, "")
    };
    html! {
        @match act {
            Act::LegalExtend => {
                (reason())
                (line("/toldAt", "Person told at", true, "When the person was told of the extension and its reasons, within the first period.", "2026-02-20T09:12:00+01:00"))
            }
            Act::LegalPause => {
                (reason())
                (line("/at", "Asked at", false, "When the person was asked. Without it: now.", "2026-02-10T09:12:00+01:00"))
            }
            Act::LegalResume => {
                (line("/at", "Answered at", false, "When the person's answer was received. Without it: now.", "2026-02-17T09:12:00+01:00"))
            }
            Act::Acknowledge | Act::Resume | Act::Redeliver | Act::Retarget | Act::Cancel | Act::Erase => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_due_date_is_shown_with_what_is_left_or_became_of_it() {
        let shown = |clock: Value| due(&json!({ "legal": clock })).into_string();
        assert_eq!(shown(Value::Null), "");
        let day = |days: i64, at_risk: bool| {
            shown(json!({ "dueOn": "2026-03-02", "daysLeft": days, "atRisk": at_risk }))
        };
        assert!(day(20, false).ends_with("<span class=\"quiet\">20 days left</span>"));
        assert!(day(20, false).contains("datetime=\"2026-03-02\">"));
        assert!(day(1, true).contains("badge risk\">at risk: 1 day left"));
        assert!(day(0, true).contains("badge risk\">at risk: last day"));
        assert!(day(-1, true).contains("badge overdue\">overdue by 1 day"));
        assert!(day(-2, true).contains("badge overdue\">overdue by 2 days"));
        assert!(shown(json!({ "dueOn": "2026-03-02", "met": false })).contains("missed"));
        assert!(shown(json!({ "dueOn": "2026-03-02", "pausedAt": "x" })).contains("stopped"));
    }

    #[test]
    fn a_clock_that_is_stopped_or_has_ended_is_no_risk() {
        let of = |clock: Value| risk(&json!({ "legal": clock }));
        assert_eq!(
            of(json!({ "daysLeft": -1, "atRisk": true })),
            Some(Risk::Overdue)
        );
        assert_eq!(
            of(json!({ "daysLeft": 0, "atRisk": true })),
            Some(Risk::Late)
        );
        assert_eq!(of(json!({ "daysLeft": 9, "atRisk": false })), None);
        assert_eq!(
            of(json!({ "daysLeft": -1, "atRisk": true, "pausedAt": "x" })),
            None
        );
        assert_eq!(
            of(json!({ "daysLeft": -1, "atRisk": true, "met": false })),
            None
        );
        assert_eq!(of(Value::Null), None);
    }
}
