//! A mistake in a catalogue file, with the place where it stands.

use std::fmt;

/// A mistake in a catalogue file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub file: Option<String>,
    /// Number of the line, from 1; 0 if the key is not in the file.
    pub line: usize,
    /// The key with its tables, such as `start.monitor`.
    pub key: String,
    pub rule: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(formatter, "{file}:")?;
        }
        if self.line > 0 {
            write!(formatter, "{}:", self.line)?;
        }
        if self.file.is_some() || self.line > 0 {
            formatter.write_str(" ")?;
        }
        write!(formatter, "{}: {}", self.key, self.rule)
    }
}

impl Fault {
    pub(in crate::catalogue) fn new(text: &str, key: &str, rule: &str) -> Self {
        Self {
            file: None,
            line: line_of(text, key),
            key: key.to_owned(),
            rule: rule.to_owned(),
        }
    }

    pub(in crate::catalogue) fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(0, |before| before.matches('\n').count() + 1);
        let key = before.and_then(|_| key_at(text, line)).unwrap_or_default();
        Self {
            file: None,
            line,
            key,
            rule: error.message().to_owned(),
        }
    }

    pub(in crate::catalogue) fn in_file(mut self, file: &str) -> Self {
        self.file = Some(file.to_owned());
        self
    }
}

/// All mistakes in an operator's files.
#[derive(Debug)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(formatter, "the catalogue has {count} mistake(s):")?;
        self.0
            .iter()
            .try_for_each(|fault| write!(formatter, "\n{fault}"))
    }
}

impl std::error::Error for Faults {}

/// Returns the line of a key or, if it stands inside another value, of the nearest key around it.
fn line_of(text: &str, key: &str) -> usize {
    let mut around = key;
    loop {
        let lines = text.lines().count();
        let found = (1..=lines).find(|line| key_at(text, *line).as_deref() == Some(around));
        if let Some(line) = found {
            return line;
        }
        match around.rsplit_once('.') {
            Some((outer, _)) => around = outer,
            None => return 0,
        }
    }
}

/// Returns the key that the line begins, with the table that it is in.
fn key_at(text: &str, line: usize) -> Option<String> {
    let mut table = String::new();
    for (index, written) in text.lines().enumerate() {
        let written = written.trim();
        let is_header = written.starts_with('[') && !written.contains('=');
        if is_header {
            written.trim_matches(['[', ']']).clone_into(&mut table);
        }
        if index + 1 < line {
            continue;
        }
        if is_header {
            return Some(table);
        }
        let name = written.split_once('=')?.0.trim().trim_matches('"');
        return Some(if table.is_empty() {
            name.to_owned()
        } else {
            format!("{table}.{name}")
        });
    }
    None
}
