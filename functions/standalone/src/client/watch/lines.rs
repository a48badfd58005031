//! News as lines, for a pipe and for programs: one for each change.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::client::document::{callback, progress, status, text};
use crate::output;
use crate::terminal::{Screen, json_line};

pub(super) struct Lines {
    screen: Screen,
    json: bool,
    /// The last line of each operation.
    last: HashMap<String, String>,
}

impl Lines {
    pub(super) fn new(screen: Screen, json: bool) -> Self {
        Self {
            screen,
            json,
            last: HashMap::new(),
        }
    }

    /// Writes a line, unless it would say what the last one said.
    pub(super) fn operation(&mut self, operation: &Value, now: Timestamp) -> anyhow::Result<()> {
        let id = text(&operation["id"]);
        let line = if self.json {
            json_line(operation)
        } else {
            let parts = [
                Some(status(operation)),
                at_graph(operation),
                of_callback(operation),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            format!("{id}  {}\n", parts.join(", "))
        };
        if self.last.get(&id) == Some(&line) {
            return Ok(());
        }
        if self.json {
            output::print(&line)?;
        } else {
            let time = now.strftime("%Y-%m-%dT%H:%M:%SZ");
            output::print(&self.screen.paint(&format!("{time}  {line}")))?;
        }
        self.last.insert(id, line);
        Ok(())
    }
}

fn at_graph(operation: &Value) -> Option<String> {
    let word = operation["graph"]["status"].as_str()?;
    let word = crate::terminal::shown(word);
    Some(match progress(operation) {
        Some(progress) => format!("Graph says {word}, {progress}"),
        None => format!("Graph says {word}"),
    })
}

fn of_callback(operation: &Value) -> Option<String> {
    let word = operation["callback"]["status"].as_str()?;
    (word != "none").then(|| format!("callback {}", callback(operation)))
}
