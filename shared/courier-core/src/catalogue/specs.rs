//! The keys of a catalogue file (`docs/reference/catalogue.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::operation::Outcome;

/// The restart class: what a second start would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// A second start would run a second job, so the start is sent to Graph at most once.
    Never,
    /// A second start is refused because the job or what it makes is there, which `start.already` describes.
    Adopt,
    /// A second start changes nothing, so it may be repeated.
    Idempotent,
}

/// The kind of a Graph token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    Application,
    Delegated,
}

impl TokenKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Delegated => "delegated",
        }
    }
}

/// A limit on requests of one tenant, which all operations with the same budget share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetSpec {
    pub name: String,
    /// Number of requests that may be made within `seconds`.
    pub requests: u32,
    pub seconds: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartSpec {
    pub method: String,
    pub version: String,
    /// Path below the version; placeholders are percent-encoded.
    pub path: String,
    /// Query parameters (name → template); one whose template finds nothing is left out.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Media type of the body; `application/json` if it is not given.
    pub content_type: Option<String>,
    /// Headers (name → template) of the start; one whose template finds nothing is left out.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Template of the body; `None` for a start without a body.
    pub body: Option<Value>,
    /// Documented success statuses. Another 2xx counts as started too, and is recorded in the history.
    pub accepted: Vec<u16>,
    /// Where the monitor's URL comes from; the first source that has one counts.
    pub monitor: Vec<MonitorSource>,
    /// Patterns of hosts besides Graph's that a `Location` may name. They are called without a token.
    #[serde(default)]
    pub monitor_hosts: Vec<String>,
    /// Refusals that mean "not yet".
    #[serde(default)]
    pub early: Vec<EarlySpec>,
    /// Refusals that mean "it is there already".
    #[serde(default)]
    pub already: Vec<AlreadySpec>,
}

/// A source of the monitor's URL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum MonitorSource {
    /// `location`: the `Location` (or `Operation-Location`) of the answer.
    Location,
    /// `self`: the URL of the start itself, or the resource below it whose `id` the answer to a POST names.
    Itself,
    /// `answer:/pointer`: a URL in the answer's body.
    Answer(String),
    /// `target:/path`: the resource of this collection whose key `error.target` of a refusal names.
    Target(String),
    /// `find`: the job is looked for.
    Find,
    /// A path template below the version.
    Path(String),
}

impl TryFrom<String> for MonitorSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.as_str() {
            "location" => Self::Location,
            "self" => Self::Itself,
            "find" => Self::Find,
            _ => match text.split_once(':') {
                Some(("answer", pointer)) => Self::Answer(pointer.to_owned()),
                Some(("target", path)) => Self::Target(path.to_owned()),
                _ if text.starts_with('/') => Self::Path(text),
                _ => {
                    return Err(format!(
                        "{text} is no source of a monitor: location, self, find, answer:/pointer, target:/path or a /path"
                    ));
                }
            },
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlySpec {
    pub status: u16,
    /// Error codes of the refusal; every one if none is named.
    #[serde(default)]
    pub codes: Vec<String>,
    /// Seconds from the acceptance of the request for which the start is sent again.
    pub for_seconds: u64,
    pub every_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlreadySpec {
    pub status: u16,
    /// Error codes of the refusal; every one if none is named.
    #[serde(default)]
    pub codes: Vec<String>,
    /// The operation ends like this at once.
    pub outcome: Option<Success>,
    /// Or the job that is there is followed at this URL.
    pub monitor: Option<Vec<MonitorSource>>,
}

/// The only outcome that something other than a status may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Success {
    Succeeded,
}

/// One GET that looks for the job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindSpec {
    pub path: String,
    /// The job is an element of an array; the newest that fits counts.
    pub items: Option<ItemsSpec>,
    /// The job is the document itself, if it has these values.
    #[serde(default, rename = "where")]
    pub conditions: BTreeMap<String, Value>,
    /// Pointer to a time that must not lie before the request.
    pub since: Option<String>,
    /// Path template of the monitor, in which `{item/…}` is what was found.
    pub monitor: String,
    /// What it means that there is no job once `settle_seconds` have passed since an answer was lost.
    pub absent: Absent,
    #[serde(default = "two_minutes")]
    pub settle_seconds: u64,
}

fn two_minutes() -> u64 {
    120
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absent {
    /// The lost start did nothing: it is sent again.
    Restart,
    /// Nobody knows: the operation ends as unknown.
    Unknown,
}

/// A choice of elements of an array.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemsSpec {
    /// Pointer to the array.
    pub at: String,
    /// Values that an element must have (pointer → value, template or list of them); texts are compared without case.
    #[serde(default, rename = "where")]
    pub conditions: BTreeMap<String, Value>,
    /// Pointer to the time of an element; older ones than the request do not count, and the newest is the last.
    pub since: Option<String>,
    /// Pointer to what tells elements apart: the newest of each counts. Without it only the newest of all does.
    pub key: Option<String>,
    /// Pointer into the parameters: each of the values that it finds must be the key of an element.
    pub expect: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollSpec {
    /// Seconds from the start to the first poll, if Graph sends no `Retry-After`.
    pub initial_seconds: u64,
    /// Longest pause between polls in seconds, unless `Retry-After` requests a longer one.
    pub max_seconds: u64,
    /// Headers (name → template) of every poll.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The status is that of an element of an array; `status` and `error_…` are then relative to the element.
    pub items: Option<ItemsSpec>,
    /// JSON pointers to the job's status; the first that finds a text counts.
    #[serde(default)]
    pub status: Vec<String>,
    pub progress: Option<String>,
    #[serde(default)]
    pub words: StatusMap,
    /// Values (pointer → value or template) that the answer must have besides, for a success to count.
    #[serde(default)]
    pub require: BTreeMap<String, Value>,
    /// An element of an array that means that the job has failed, whatever its status.
    pub failed_if: Option<ItemsSpec>,
    /// Every 2xx is the success.
    #[serde(default)]
    pub exists: bool,
    /// A redirect is the end of the job.
    pub redirect: Option<Success>,
    /// The monitor's absence, seen twice in a row, is the end of the job.
    pub absent: Option<Success>,
    /// Error codes of a 400 that mean that the operation resource does not exist (yet, or any more).
    #[serde(default)]
    pub missing_codes: Vec<String>,
    /// Statuses of an answer that mean that the job has failed.
    #[serde(default)]
    pub failed_statuses: Vec<u16>,
    #[serde(default)]
    pub error_code: Vec<String>,
    #[serde(default)]
    pub error_message: Vec<String>,
}

/// The terminal statuses of Graph's job, compared without case. A status that is not listed is never terminal.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusMap {
    #[serde(default)]
    pub succeeded: Vec<String>,
    #[serde(default)]
    pub partially_succeeded: Vec<String>,
    #[serde(default)]
    pub failed: Vec<String>,
    /// The job was cancelled at Graph.
    #[serde(default)]
    pub cancelled: Vec<String>,
}

impl StatusMap {
    /// Returns the outcome that a terminal status means; `None` while the job goes on.
    pub fn outcome(&self, word: &str) -> Option<Outcome> {
        let lists = self.lists();
        let found = lists
            .iter()
            .find(|(_, words)| words.iter().any(|known| known.eq_ignore_ascii_case(word)));
        found.map(|(outcome, _)| *outcome)
    }

    /// Returns the words of each outcome.
    pub fn lists(&self) -> [(Outcome, &[String]); 4] {
        [
            (Outcome::Succeeded, &self.succeeded),
            (Outcome::PartiallySucceeded, &self.partially_succeeded),
            (Outcome::Failed, &self.failed),
            (Outcome::Cancelled, &self.cancelled),
        ]
    }
}

/// A look after the success, until what the job has made can be seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThenSpec {
    pub path: String,
    /// Every 2xx ends the look; there is no other condition.
    pub exists: bool,
    /// Seconds after which the operation succeeds without having seen it, with `verified = false` in its result.
    pub within_seconds: u64,
    pub every_seconds: u64,
}

/// Where one field of our `result` comes from.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultSpec {
    /// Pointer into the job's document, else into the documents of `then`.
    pub at: Option<String>,
    /// Pointer into the newest element that `poll.items` chose.
    pub item: Option<String>,
    /// One object for each element that `poll.items` chose (field → pointer into the element).
    pub items: Option<BTreeMap<String, String>>,
    /// Path template of an address at Graph, which is passed on and never called.
    pub url: Option<String>,
    /// Name of a parameter of the request. Beside `at` it counts where that finds nothing; of a SAS it is the container's URL.
    pub parameter: Option<String>,
    /// Pointer into the answer to the start.
    pub start: Option<String>,
    /// Fields of the objects in an array that are passed on.
    #[serde(default)]
    pub fields: Vec<String>,
    /// What becomes of the query of a URL.
    pub query: Option<QueryRule>,
    /// The value is a secret.
    #[serde(default)]
    pub secret: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryRule {
    Keep,
    Drop,
    /// The URL with its query is a secret; without it, it is not.
    Secret,
}

impl ResultSpec {
    pub(crate) fn is_secret(&self) -> bool {
        self.secret || self.query == Some(QueryRule::Secret)
    }
}
