//! News on a terminal: a picture that is drawn anew in its place.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::Value;

use crate::client::document::{callback, lines, next_look, progress, status, text, time};
use crate::client::show::more;
use crate::client::watch::Watched;
use crate::output;
use crate::terminal::{Screen, Tone, shown, toned};

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
/// Between the two a terminal that knows them shows no half picture (synchronized output, mode 2026).
const BEGIN_PICTURE: &str = "\x1b[?2026h";
const END_PICTURE: &str = "\x1b[?2026l";
const TURNS: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Cells of a bar that shows progress.
const BAR: u32 = 24;

pub(super) struct Live {
    screen: Screen,
    /// The number of lines of the last picture.
    drawn: usize,
    turn: usize,
    pub(super) trouble: Option<String>,
}

impl Live {
    pub(super) fn begin(screen: Screen) -> Self {
        Self {
            screen,
            drawn: 0,
            turn: 0,
            trouble: None,
        }
    }

    /// Draws how all stand, over what was drawn before.
    pub(super) fn draw(&mut self, watched: &[Watched], now: Timestamp) -> anyhow::Result<()> {
        self.turn = (self.turn + 1) % TURNS.len();
        let (_, height) = self.screen.size();
        let room = usize::from(height).saturating_sub(1);
        let mut picture = match watched {
            [one] => self.one(one, now, room),
            many => self.many(many, now),
        };
        if let Some(trouble) = &self.trouble {
            let row = vec![toned(Tone::Warning, &shown(trouble))];
            picture.push_str(&self.screen.table(&[], vec![row]));
        }
        let lines = picture.lines().count();
        if lines > room {
            let kept: Vec<&str> = picture.lines().take(room.saturating_sub(1)).collect();
            let left_out = lines - kept.len();
            picture = format!("{}\n… and {left_out} more lines\n", kept.join("\n"));
        }
        let mut text = format!("{BEGIN_PICTURE}{HIDE_CURSOR}");
        if self.drawn > 0 {
            let _ = write!(text, "\x1b[{}A", self.drawn);
        }
        self.drawn = picture.lines().count();
        let _ = write!(text, "\r\x1b[J{picture}{END_PICTURE}");
        output::print(&text)
    }

    /// Draws the last picture, which stays.
    pub(super) fn end(mut self, watched: &[Watched], now: Timestamp) -> anyhow::Result<()> {
        self.trouble = None;
        self.draw(watched, now)
    }

    fn one(&self, one: &Watched, now: Timestamp, room: usize) -> String {
        let Some(operation) = &one.operation else {
            return self.waiting(one);
        };
        let mut rows = lines(operation, now);
        if operation["endedAt"].is_null() {
            rows.insert(0, vec![self.sign(one), self.head(operation)]);
        }
        let mut picture = self.screen.table(&[], rows);
        let used = picture.lines().count() + 2;
        let fits = room.saturating_sub(used).min(12);
        let newest = one.history.len().saturating_sub(fits);
        let entries = one.history.iter().skip(newest);
        let rows: Vec<Vec<String>> = entries.map(entry).collect();
        if !rows.is_empty() {
            picture.push('\n');
            picture.push_str(&self.screen.table(&[], rows));
        }
        picture
    }

    /// Returns a bar with what Graph says of the progress, or what goes on without it.
    fn head(&self, operation: &Value) -> String {
        let part = operation["graph"]["progress"].as_f64();
        let part = part.map(|part| if part > 1.0 { part / 100.0 } else { part });
        match (part, progress(operation)) {
            (Some(part), Some(percent)) => {
                let is_done = |cell: &u32| f64::from(*cell) + 0.5 <= part * f64::from(BAR);
                let done: String = (0..BAR).filter(is_done).map(|_| '━').collect();
                let rest: String = (0..BAR)
                    .filter(|cell| !is_done(cell))
                    .map(|_| '─')
                    .collect();
                let (done, rest) = (toned(Tone::Busy, &done), toned(Tone::Dim, &rest));
                format!("{done}{rest} {percent}")
            }
            (Some(_) | None, _) => {
                let text = match operation["graph"]["nextPollAt"].is_null() {
                    true => "Graph is asked",
                    false => "waits for the next look",
                };
                toned(Tone::Dim, text)
            }
        }
    }

    fn many(&self, watched: &[Watched], now: Timestamp) -> String {
        let head = [
            "",
            "ID",
            "OPERATION",
            "REFERENCE",
            "STATUS",
            "NEXT LOOK",
            "DEADLINE",
            "CALLBACK",
        ];
        let row = |one: &Watched| {
            let Some(operation) = &one.operation else {
                return vec![self.sign(one), one.id.clone()];
            };
            let is_open = operation["endedAt"].is_null();
            let mut state = status(operation);
            if let Some(progress) = progress(operation).filter(|_| is_open) {
                state = format!("{state} {progress}");
            }
            let last = match is_open {
                true => time(&operation["deadline"], now),
                false => format!("ended {}", time(&operation["endedAt"], now)),
            };
            vec![
                self.sign(one),
                one.id.clone(),
                text(&operation["operation"]),
                text(&operation["reference"]),
                state,
                next_look(operation, now),
                last,
                callback(operation),
            ]
        };
        self.screen.table(&head, watched.iter().map(row).collect())
    }

    fn waiting(&self, one: &Watched) -> String {
        let row = vec![self.sign(one), one.id.clone()];
        self.screen.table(&[], vec![row])
    }

    /// Returns a sign that turns while the operation is open, and then says how it ended.
    fn sign(&self, one: &Watched) -> String {
        if one.failure.is_some() {
            return toned(Tone::Bad, "!");
        }
        let status = one.operation.as_ref().map(|operation| &operation["status"]);
        let ended = one
            .operation
            .as_ref()
            .is_some_and(|operation| operation["endedAt"].is_string());
        match status.and_then(Value::as_str) {
            Some("succeeded") => toned(Tone::Good, "✔"),
            Some("unknown") => toned(Tone::Warning, "?"),
            Some(_) if ended => toned(Tone::Bad, "✘"),
            Some(_) | None => toned(Tone::Busy, TURNS[self.turn]),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Nothing is left to do when the terminal is gone.
        let _ = output::print(SHOW_CURSOR);
    }
}

fn entry(entry: &Value) -> Vec<String> {
    let at = entry["at"].as_str().unwrap_or_default();
    let at = at.parse::<Timestamp>().map_or_else(
        |_| text(&entry["at"]),
        |at| at.strftime("%H:%M:%S").to_string(),
    );
    vec![
        toned(Tone::Dim, &at),
        text(&entry["event"]),
        toned(Tone::Dim, &more(entry)),
    ]
}
