//! Times as people read them: how long ago or how soon, with the exact time beside it.

use jiff::Timestamp;
use jiff::fmt::strtime;
use maud::{Markup, html};
use serde_json::Value;

/// Returns the time of an API document's field.
pub(crate) fn read(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Shows how far away a time is: `3 h ago`, `in 2 d`.
pub(crate) fn relative(now: Timestamp, at: Timestamp) -> Markup {
    let exact = exact_text(at);
    html! { time datetime=(at) title=(exact) { (relative_words(now, at)) } }
}

/// Shows a time exactly, and how far away it is.
pub(crate) fn both(now: Timestamp, at: Timestamp) -> Markup {
    html! {
        time datetime=(at) { (exact_text(at)) }
        " " span.quiet { "(" (relative_words(now, at)) ")" }
    }
}

/// Shows a time exactly: `2026-11-27 18:44:22 UTC`.
pub(crate) fn exact(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (exact_text(at)) } }
}

fn exact_text(at: Timestamp) -> String {
    strtime::format("%Y-%m-%d %H:%M:%S UTC", at).unwrap_or_else(|_| at.to_string())
}

pub(crate) fn relative_words(now: Timestamp, at: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(seconds)),
        _ => format!("{} ago", span(-seconds)),
    }
}

/// Returns a duration in one or two units: `40 s`, `1 h 20 min`, `12 d`.
pub(crate) fn span(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = UNITS.iter().position(|(unit, _)| seconds >= *unit);
    let Some(first) = first else {
        return "0 s".to_owned();
    };
    let (unit, name) = UNITS[first];
    let (count, rest) = (seconds / unit, seconds % unit);
    match UNITS.get(first + 1) {
        // Seconds beside minutes would change at every look.
        Some((smaller, small)) if count < 10 && *smaller > 1 && rest >= *smaller => {
            format!("{count} {name} {} {small}", rest / smaller)
        }
        _ => format!("{count} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_one_or_two_units() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min"),
            (3_599, "59 min"),
            (4_800, "1 h 20 min"),
            (36_000 + 1_800, "10 h"),
            (90_000, "1 d 1 h"),
            (86_400 * 31, "31 d"),
        ] {
            assert_eq!(span(seconds), words);
        }
        let now = Timestamp::from_second(1_000).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(relative_words(now, at(1_000)), "now");
        assert_eq!(relative_words(now, at(940)), "1 min ago");
        assert_eq!(relative_words(now, at(1_005)), "in 5 s");
    }
}
