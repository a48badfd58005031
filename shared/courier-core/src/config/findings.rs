//! What is wrong with a configuration, or surely unwanted: where it stands, and which rule it breaks.

use std::fmt;
use std::ops::Range;

/// The byte order mark, which an editor may put before the first line and does not count as a column.
const BOM: char = '\u{feff}';

/// One mistake or warning, with its place in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line and column of the key or value, counted from 1.
    pub line: usize,
    pub column: usize,
    /// The dotted name of the key and the rule, such as `graph.cloud: must be global`. Contains no value that could be
    /// a secret.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.line, self.column, self.text)
    }
}

/// All mistakes in a configuration, in the order of the document.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file or other source of the document, once it is known.
    pub document: Option<String>,
    pub mistakes: Vec<Finding>,
}

impl ConfigErrors {
    /// Adds the name of the document, which the parser does not know.
    pub fn of(self, document: impl Into<String>) -> Self {
        Self {
            document: Some(document.into()),
            ..self
        }
    }

    /// Returns the key and rule of each mistake, without its place.
    pub fn texts(self) -> Vec<String> {
        let mistakes = self.mistakes.into_iter();
        mistakes.map(|mistake| mistake.text).collect()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.mistakes.len();
        write!(formatter, "the configuration has {count} mistake(s):")?;
        for mistake in &self.mistakes {
            match &self.document {
                Some(document) => write!(formatter, "\n{document}:{mistake}")?,
                None => write!(formatter, "\n{mistake}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A finding whose place is still an offset in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) offset: usize,
    pub(super) text: String,
}

impl Found {
    /// Creates a finding about the key of this dotted name.
    pub(super) fn new(offset: usize, name: &str, rule: &str) -> Self {
        let text = if name.is_empty() {
            rule.to_owned()
        } else {
            format!("{name}: {rule}")
        };
        Self { offset, text }
    }

    /// Creates a finding from the TOML parser's error.
    ///
    /// Only its message is used: the full error quotes the line, which may contain a secret.
    fn syntax(error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |Range { start, .. }| start);
        Self::new(offset, "", &format!("not TOML: {}", error.message()))
    }
}

/// Collects the mistakes of a document that is not TOML.
///
/// The parser goes on after a mistake. What it finds after an array or inline table that is not closed follows from that.
pub(super) fn syntax(errors: &[toml::de::Error]) -> Vec<Found> {
    let unclosed = ["unclosed array", "unclosed inline table"];
    let is_unclosed = |error: &toml::de::Error| {
        let message = error.message();
        unclosed.iter().any(|start| message.starts_with(start))
    };
    let mut found: Vec<Found> = errors.iter().map(Found::syntax).collect();
    found.sort_by_key(|found| found.offset);
    if errors.iter().any(is_unclosed) {
        found.truncate(1);
    }
    found
}

/// Finds the line and column of each finding, and puts them in the order of the document.
pub(super) fn placed(text: &str, found: Vec<Found>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = found
        .into_iter()
        .map(|found| {
            let before = text.get(..found.offset).unwrap_or(text);
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            Finding {
                line: before.matches('\n').count() + 1,
                column: before[line_start..].trim_start_matches(BOM).chars().count() + 1,
                text: found.text,
            }
        })
        .collect();
    // The order within one place is that of reading.
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings.dedup();
    findings
}

/// Returns the candidate that was probably meant by `word`: one that differs in at most a third of its letters, or of
/// which one contains the other.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = word.chars().count().max(3) / 3;
    let lower = word.to_lowercase();
    let close = candidates.into_iter().filter_map(|candidate| {
        let other = candidate.to_lowercase();
        let distance = strsim::osa_distance(&lower, &other);
        let is_part =
            lower.len() > 2 && other.contains(&lower) || other.len() > 2 && lower.contains(&other);
        (distance <= most || is_part).then_some((distance, candidate))
    });
    close.min().map(|(_, candidate)| candidate)
}

/// Returns the end of a rule about `word`: a question if a candidate is similar to it, else nothing.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    nearest(word, candidates).map_or_else(String::new, |meant| format!("; did you mean {meant}?"))
}
