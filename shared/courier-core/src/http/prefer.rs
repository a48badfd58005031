//! The caller's preferences for the answer (RFC 7240), and the wait for the end of an operation that it may prefer.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::engine::app::App;
use crate::operation::Record;
use crate::time::{elapsed, later};

/// Longest time that a request waits for the end (`Prefer: wait`), within the 30 s limit of an HTTP API.
const MAX_WAIT: Duration = Duration::from_secs(25);
/// Time that is reserved for the answer before the host ends this process.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// When a request came, and when the host ends this process.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) received: Instant,
    pub(super) ends_at: Timestamp,
}

/// The preferences of a request that this program knows; it ignores all others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Preferences {
    pub(super) respond_async: bool,
    pub(super) wait: Option<Duration>,
    /// Whether a successful answer has a body (`return`, section 4.2), if the caller says so.
    pub(super) representation: Option<bool>,
}

impl Preferences {
    /// Reads all `Prefer` headers; of a preference that is sent several times, the first counts.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let lines = headers.get_all("prefer").iter();
        let lines = lines.filter_map(|value| value.to_str().ok());
        let all: Vec<(String, String)> = lines
            .flat_map(|line| split(line, ','))
            .filter_map(preference)
            .collect();
        let first = |name: &str| {
            let found = all.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        let representation = match first("return") {
            Some("representation") => Some(true),
            Some("minimal") => Some(false),
            Some(_) | None => None,
        };
        let wait = first("wait").filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
        Self {
            // An empty value is no value (RFC 7240, section 2).
            respond_async: first("respond-async") == Some(""),
            wait: wait
                .and_then(|digits| digits.parse().ok())
                .map(|seconds| Duration::from_secs(seconds).min(MAX_WAIT)),
            representation,
        }
    }

    /// Returns the value of `Preference-Applied`, or `None` if there was no known preference.
    pub(super) fn applied(&self) -> Option<String> {
        let wait = self.wait.map(|wait| format!("wait={}", wait.as_secs()));
        let body = self.representation.map(|has_body| match has_body {
            true => "return=representation".to_owned(),
            false => "return=minimal".to_owned(),
        });
        let respond_async = self.respond_async.then(|| "respond-async".to_owned());
        let parts = [respond_async, wait, body];
        let applied: Vec<String> = parts.into_iter().flatten().collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

/// Reads `name = value; parameters`; no preference that this program knows has parameters.
fn preference(text: &str) -> Option<(String, String)> {
    let text = split(text, ';').into_iter().next()?;
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let name = name.trim().to_ascii_lowercase();
    (!name.is_empty()).then(|| (name, unquoted(value.trim())))
}

/// Splits a text at each separator outside quoted strings (RFC 9110, section 5.6.4).
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut quoted, mut escaped) = (0, false, false);
    for (place, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == separator && !quoted => {
                parts.push(&text[begin..place]);
                begin = place + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// Returns the content of a quoted string, or a text without quotes as it is.
fn unquoted(text: &str) -> String {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else {
        return text.to_owned();
    };
    let mut escaped = false;
    let kept = inner.chars().filter(|letter| {
        escaped = *letter == '\\' && !escaped;
        !escaped
    });
    kept.collect()
}

/// Loads the record repeatedly until it has ended, `wait` has passed since the request came, or the host stops.
///
/// A failure to load it is ignored: what the request asked for has already been done.
pub(super) async fn await_end(
    app: &App,
    mut record: Record,
    wait: Duration,
    times: Times,
) -> Record {
    let rest = wait.saturating_sub(times.received.elapsed());
    let time_left = elapsed(later(app.now(), ANSWER_TIME), times.ends_at);
    let until = Instant::now() + rest.min(time_left);
    let mut pause = Duration::from_millis(50);
    while record.ended_at.is_none() && Instant::now() + pause <= until {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = app.shutting_down() => break,
        }
        pause = (pause * 2).min(Duration::from_millis(500));
        let current = tokio::time::timeout_at(until, app.store.load(&record.id)).await;
        if let Ok(Ok(Some(current))) = current {
            record = current;
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&str]) -> (bool, Option<u64>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("prefer", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let preferences = Preferences::read(&headers);
        let wait = preferences.wait.map(|wait| wait.as_secs());
        (preferences.respond_async, wait)
    }

    #[test]
    fn preferences_are_read_as_rfc_7240_writes_them() {
        for (lines, expected) in [
            (&["wait=7"][..], (false, Some(7))),
            (&["Wait = \"7\""], (false, Some(7))),
            (&["wait=\"\\7\""], (false, Some(7))),
            (&["respond-async, wait=10"], (true, Some(10))),
            (&["respond-async", "wait=10"], (true, Some(10))),
            (&["Respond-Async=\"\""], (true, None)),
            (&["wait=7; x=1; wait=9"], (false, Some(7))),
            (&["wait=7, wait=9"], (false, Some(7))),
            (&["wait=soon, wait=9"], (false, None)),
            (
                &["foo; bar=\"a, wait=3; \\\", wait=4\", wait=5"],
                (false, Some(5)),
            ),
            (&["foo=\"respond-async, wait=3\""], (false, None)),
            (&["foo; respond-async"], (false, None)),
            (
                &["handling=lenient,, return=minimal ,wait=0"],
                (false, Some(0)),
            ),
            (&["wait=3600"], (false, Some(25))),
            (&["wait=99999999999999999999999"], (false, None)),
            (&["wait=é", "wait=9"], (false, Some(9))),
            (&["wait=+9"], (false, None)),
            (&["wait=1.5"], (false, None)),
            (&["wait"], (false, None)),
            (&["respond-async=yes"], (false, None)),
            (&["\"wait=9"], (false, None)),
            (&[], (false, None)),
        ] {
            assert_eq!(read(lines), expected, "{lines:?}");
        }
    }
}
