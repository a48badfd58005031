//! An operation as people read it, and the exit code that tells a program how it stands.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::Value;

use crate::terminal::{Tone, relative, shown, toned};

/// How an operation stands, as exit codes tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Succeeded,
    /// Ended otherwise: failed, partially succeeded, expired or cancelled.
    Failed,
    /// Ended, and a person has to find out how.
    Unknown,
    Open,
}

impl Standing {
    pub(crate) fn of(operation: &Value) -> Self {
        match operation["status"].as_str().unwrap_or_default() {
            "succeeded" => Self::Succeeded,
            "unknown" => Self::Unknown,
            _ if operation["endedAt"].is_string() => Self::Failed,
            _ => Self::Open,
        }
    }

    /// Returns the standing of several operations together: open if one is, else that of the one that needs most care.
    pub(crate) fn worst(standings: impl IntoIterator<Item = Self>) -> Self {
        standings.into_iter().max().unwrap_or(Self::Succeeded)
    }

    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Succeeded => 0,
            Self::Failed => 3,
            Self::Unknown => 4,
            Self::Open => 5,
        })
    }
}

/// Returns a text of the document, safe to show, or nothing.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => shown(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            shown(&value.to_string())
        }
    }
}

/// Returns a time of the document, as seen from `now`.
pub(crate) fn time(value: &Value, now: Timestamp) -> String {
    let Some(written) = value.as_str() else {
        return String::new();
    };
    match written.parse::<Timestamp>() {
        Ok(at) => relative(at, now),
        Err(_) => shown(written),
    }
}

/// Returns a time as seen from `now`, and the time itself.
fn full_time(value: &Value, now: Timestamp) -> String {
    let Some(Ok(at)) = value.as_str().map(str::parse::<Timestamp>) else {
        return text(value);
    };
    let exact = toned(Tone::Dim, &at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    format!("{}  {exact}", relative(at, now))
}

/// Returns the status in its colour, with the reason where there is one.
pub(crate) fn status(operation: &Value) -> String {
    let word = text(&operation["status"]);
    let tone = match word.as_str() {
        "succeeded" => Tone::Good,
        "failed" | "expired" => Tone::Bad,
        "unknown" | "partiallySucceeded" => Tone::Warning,
        "cancelled" => Tone::Dim,
        _ => Tone::Busy,
    };
    let reason = text(&operation["reason"]);
    let word = toned(tone, &word);
    if reason.is_empty() {
        word
    } else {
        format!("{word} ({reason})")
    }
}

/// Returns how far Graph has come, as in `40 %`.
pub(crate) fn progress(operation: &Value) -> Option<String> {
    let part = operation["graph"]["progress"].as_f64()?;
    // Operations of the catalogue may give percent or parts of one.
    let percent = if part > 1.0 { part } else { part * 100.0 };
    Some(format!("{percent:.0} %"))
}

/// Returns the state of the callback in a few words.
pub(crate) fn callback(operation: &Value) -> String {
    let callback = &operation["callback"];
    let word = text(&callback["status"]);
    let tone = match word.as_str() {
        "delivered" => Tone::Good,
        "undeliverable" => Tone::Bad,
        "retrying" => Tone::Warning,
        _ => Tone::Dim,
    };
    toned(tone, &word)
}

/// Returns when the answer is due by law, and what is left; nothing without a legal clock.
pub(crate) fn due(operation: &Value) -> String {
    let clock = &operation["legal"];
    if !clock.is_object() {
        return String::new();
    }
    let day = text(&clock["dueOn"]);
    let at_risk = clock["atRisk"] == true;
    let (tone, words) = match (clock["met"].as_bool(), clock["daysLeft"].as_i64()) {
        (Some(true), _) => (Tone::Good, "met".to_owned()),
        (Some(false), _) => (Tone::Bad, "missed".to_owned()),
        (None, None) => (Tone::Warning, "stopped".to_owned()),
        (None, Some(0)) => (Tone::Warning, "last day".to_owned()),
        (None, Some(days)) if days < 0 => (Tone::Bad, format!("overdue by {} d", -days)),
        (None, Some(days)) if at_risk => (Tone::Warning, format!("{days} d left")),
        (None, Some(days)) => (Tone::Dim, format!("{days} d left")),
    };
    format!("{day} {}", toned(tone, &words))
}

/// Returns everything that the document says, in lines of a name and a text.
pub(crate) fn lines(operation: &Value, now: Timestamp) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(vec![toned(Tone::Dim, name), value]);
        }
    };
    let graph = &operation["graph"];
    line("id", text(&operation["id"]));
    line("client", text(&operation["client"]));
    line("operation", text(&operation["operation"]));
    line("reference", text(&operation["reference"]));
    line("status", status(operation));
    for (name, field) in [
        ("created", "createdAt"),
        ("started", "startedAt"),
        ("ended", "endedAt"),
        ("erased", "erasedAt"),
    ] {
        line(name, full_time(&operation[field], now));
    }
    if operation["endedAt"].is_null() {
        line("expected by", full_time(&operation["expectedBy"], now));
        line("deadline", full_time(&operation["deadline"], now));
    }
    let clock = &operation["legal"];
    if clock.is_object() {
        let by = text(&clock["regulation"]);
        line("due by law", format!("{} ({by})", due(operation)));
        let notes = clock["notes"].as_array().into_iter().flatten();
        notes.for_each(|note| line("note", text(note)));
    }
    line("at Graph", at_graph(graph, operation, now));
    line("Graph's request id", text(&graph["requestId"]));
    if operation["adopted"] == true {
        line("adopted", "a job that ran already is followed".to_owned());
    }
    line("previous", text(&operation["previous"]));
    line("resumed from", text(&operation["resumedFrom"]));
    line("resumed as", text(&operation["resumedAs"]));
    line("result", text(&operation["result"]));
    let error = &operation["error"];
    if error.is_object() {
        let code = text(&error["code"]);
        line(
            "error",
            format!("{} {}", toned(Tone::Bad, &code), text(&error["message"])),
        );
    }
    let acknowledged = &operation["acknowledged"];
    if acknowledged.is_object() {
        let by = text(&acknowledged["by"]);
        let at = time(&acknowledged["at"], now);
        line(
            "acknowledged",
            format!("{at}, by {by}: {}", text(&acknowledged["note"])),
        );
    }
    line("callback", callback_line(operation, now));
    line("event id", text(&operation["callback"]["eventId"]));
    lines
}

/// Returns when Graph is asked again; a time that has come is now.
pub(crate) fn next_look(operation: &Value, now: Timestamp) -> String {
    let next = &operation["graph"]["nextPollAt"];
    let at = next
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok());
    match at {
        Some(at) if at <= now => "now".to_owned(),
        Some(_) | None => time(next, now),
    }
}

fn at_graph(graph: &Value, operation: &Value, now: Timestamp) -> String {
    let mut parts = vec![text(&graph["status"])];
    parts.extend(progress(operation));
    if let Some(polls) = graph["polls"].as_u64().filter(|polls| *polls > 0) {
        parts.push(format!("{polls} look{}", if polls == 1 { "" } else { "s" }));
    }
    let next = next_look(operation, now);
    if !next.is_empty() {
        parts.push(format!("next {next}"));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

fn callback_line(operation: &Value, now: Timestamp) -> String {
    let state = &operation["callback"];
    let mut line = callback(operation);
    let origin = text(&state["origin"]);
    if !origin.is_empty() {
        line.push_str(&format!(" at {origin}"));
    }
    let profile = text(&state["profile"]);
    if !profile.is_empty() {
        line.push_str(&format!(" as {profile}"));
    }
    if let Some(attempts) = state["attempts"].as_u64().filter(|attempts| *attempts > 0) {
        line.push_str(&format!(
            ", {attempts} attempt{}",
            if attempts == 1 { "" } else { "s" }
        ));
    }
    let last = text(&state["lastStatus"]);
    if !last.is_empty() {
        line.push_str(&format!(", last answer {last}"));
    }
    let next = time(&state["nextAttemptAt"], now);
    if !next.is_empty() {
        line.push_str(&format!(", next {next}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn several_stand_as_the_one_that_needs_most_care_does_and_are_open_while_one_is() {
        let ended = |status: &str| json!({ "status": status, "endedAt": "2026-11-21T20:00:00Z" });
        let of =
            |words: &[&str]| Standing::worst(words.iter().map(|word| Standing::of(&ended(word))));
        assert_eq!(of(&["succeeded"]), Standing::Succeeded);
        for word in [
            "failed",
            "partiallySucceeded",
            "expired",
            "cancelled",
            "new-word",
        ] {
            assert_eq!(of(&["succeeded", word]), Standing::Failed, "{word}");
        }
        assert_eq!(of(&["failed", "unknown"]), Standing::Unknown);
        let open = json!({ "status": "running", "endedAt": null });
        assert_eq!(
            Standing::worst([Standing::Unknown, Standing::of(&open)]),
            Standing::Open
        );
    }
}
