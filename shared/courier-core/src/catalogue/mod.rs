//! The catalogue of operations: what differs between Graph operations, as one TOML file each.

pub mod sas;
pub mod schema;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::catalogue::schema::Schema;
use crate::operation::Outcome;

const FILES: [&str; 3] = [
    include_str!("../../catalogue/user.exportPersonalData.toml"),
    include_str!("../../catalogue/goals.exportJob.toml"),
    include_str!("../../catalogue/team.schedule.toml"),
];

/// Every operation graph-courier can run.
#[derive(Debug)]
pub struct Catalogue(Vec<Operation>);

impl Catalogue {
    /// Returns the operations shipped with this program. A test parses every file, so this cannot fail in production.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Catalogue> = LazyLock::new(|| {
            #[expect(
                clippy::expect_used,
                reason = "the files are compiled in and read by a test"
            )]
            let read =
                |text: &&str| Operation::parse(text).expect("a shipped catalogue file is valid");
            Catalogue(FILES.iter().map(read).collect())
        });
        &SHIPPED
    }

    pub fn find(&self, name: &str) -> Option<&Operation> {
        self.0.iter().find(|operation| operation.name == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.0.iter()
    }
}

/// One row of the catalogue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    pub name: String,
    pub summary: String,
    pub restart: Restart,
    /// Parameter whose value serializes starts: those with the same value are made one after the other.
    pub serialize_by: Option<String>,
    pub token: TokenKind,
    pub permissions: Vec<String>,
    pub clouds: Vec<String>,
    pub deadline_seconds: u64,
    /// Maximum number of Graph requests per hour and tenant, where Graph publishes a limit.
    pub budget_per_hour: Option<u32>,
    pub start: StartSpec,
    pub poll: PollSpec,
    /// JSON Schema of the parameters, as the OpenAPI document shows it.
    pub parameters: Value,
    #[serde(skip)]
    schema: Option<Schema>,
}

/// The restart class: what a second start would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// A second start would run a second job, so the start is sent to Graph at most once.
    Never,
    /// A second start is refused with the name of the running job, which is then followed.
    Adopt,
    /// A second start changes nothing, so it may be repeated.
    Idempotent,
}

/// The kind of Graph token that an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartSpec {
    pub method: String,
    pub version: String,
    /// Path below the version; `{name}` is replaced by the parameter.
    pub path: String,
    pub body: BodySpec,
    /// Documented success statuses. Another 2xx counts as started too, and is recorded in the history.
    pub accepted: Vec<u16>,
    pub monitor: MonitorSource,
    /// Headers (name → parameter) that are sent with the start and every poll if the parameter is given.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub adopt: Option<AdoptSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodySpec {
    /// The body is an object of these parameters.
    Fields(Vec<String>),
    /// The body is the value of this parameter.
    Parameter(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MonitorSource {
    /// The monitor is the `Location` (or `Operation-Location`) of the answer.
    Location,
    /// The monitor is the URL of the start itself.
    SameUrl,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptSpec {
    /// Status of the refusal that names the running job.
    pub status: u16,
    /// Path of the collection in which `error.target` names the running job.
    pub target_path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollSpec {
    /// Seconds from the start to the first poll, if Graph sends no `Retry-After`.
    pub initial_seconds: u64,
    /// Longest pause between polls in seconds, unless `Retry-After` requests a longer one.
    pub max_seconds: u64,
    /// JSON pointers to the job's status; the first that finds a string counts.
    pub status: Vec<String>,
    pub progress: Option<String>,
    pub words: StatusMap,
    /// Condition that the answer must meet besides, for a success status to count.
    pub done_when: Option<Condition>,
    /// Error codes that mean that the operation resource does not exist (yet, or any more).
    pub missing_codes: Vec<String>,
    pub error_code: Vec<String>,
    pub error_message: Vec<String>,
    /// Fields of our `result` (name → pointer into Graph's answer, or into its `value` envelope).
    pub result: BTreeMap<String, ResultField>,
}

/// The terminal statuses of Graph's job, compared without case. A status that is not listed is never terminal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusMap {
    #[serde(default)]
    pub succeeded: Vec<String>,
    #[serde(default)]
    pub partially_succeeded: Vec<String>,
    #[serde(default)]
    pub failed: Vec<String>,
}

impl StatusMap {
    /// Returns the outcome that a terminal status means; `None` while the job goes on.
    pub fn outcome(&self, word: &str) -> Option<Outcome> {
        let has = |words: &[String]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
        if has(&self.succeeded) {
            Some(Outcome::Succeeded)
        } else if has(&self.partially_succeeded) {
            Some(Outcome::PartiallySucceeded)
        } else if has(&self.failed) {
            Some(Outcome::Failed)
        } else {
            None
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// JSON pointer into Graph's answer.
    pub pointer: String,
    /// JSON pointer into the parameters of the request: what the answer must equal.
    pub parameter: String,
    /// The value that the answer must have where the request has no such parameter.
    pub default: Value,
}

impl Condition {
    /// Reports whether Graph's answer has what the request asked for.
    pub fn holds(&self, answer: &Value, parameters: &Map<String, Value>) -> bool {
        let path = self.parameter.trim_start_matches('/');
        let (name, rest) = path.split_once('/').unwrap_or((path, ""));
        let rest = if rest.is_empty() {
            String::new()
        } else {
            format!("/{rest}")
        };
        let requested = parameters.get(name).and_then(|value| value.pointer(&rest));
        answer.pointer(&self.pointer) == Some(requested.unwrap_or(&self.default))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultField {
    pub pointer: String,
    /// Only the text before `?` is kept, because the URL may carry a SAS.
    #[serde(default)]
    pub without_query: bool,
}

impl Operation {
    /// Parses one catalogue file. The error names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut operation: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let schema =
            Schema::parse(&operation.parameters).map_err(|rule| format!("parameters: {rule}"))?;
        operation.schema = Some(schema);
        Ok(operation)
    }

    pub fn schema(&self) -> &Schema {
        #[expect(
            clippy::expect_used,
            reason = "parse is the only constructor and sets it"
        )]
        self.schema
            .as_ref()
            .expect("a parsed operation has its schema")
    }

    pub fn default_deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_operation_is_consistent() {
        for operation in Catalogue::shipped().iter() {
            let properties = operation.parameters["properties"].as_object().unwrap();
            for name in operation
                .start
                .headers
                .values()
                .chain(&operation.serialize_by)
            {
                assert!(properties.contains_key(name), "{}: {name}", operation.name);
            }
            let fields = match &operation.start.body {
                BodySpec::Fields(fields) => fields.clone(),
                BodySpec::Parameter(name) => vec![name.clone()],
            };
            for name in &fields {
                assert!(properties.contains_key(name), "{}: {name}", operation.name);
            }
            assert!(
                operation.poll.initial_seconds <= operation.poll.max_seconds,
                "{}",
                operation.name
            );
            assert_eq!(
                operation.start.adopt.is_some(),
                operation.restart == Restart::Adopt,
                "{}",
                operation.name
            );
        }
    }

    /// Reports whether this schema, or one below it, refuses fields that it does not name.
    fn is_closed(schema: &Value) -> bool {
        let below = schema["properties"].as_object().into_iter().flatten();
        schema["additionalProperties"] == false || below.map(|(_, one)| one).any(is_closed)
    }

    #[test]
    fn entities_of_graph_are_open_to_fields_that_graph_may_add() {
        for operation in Catalogue::shipped().iter() {
            assert_eq!(operation.parameters["additionalProperties"], false);
            for (name, parameter) in operation.parameters["properties"].as_object().unwrap() {
                assert!(!is_closed(parameter), "{}: {name}", operation.name);
            }
        }
    }

    #[test]
    fn unknown_key_is_refused() {
        let text = FILES[0].replace("restart =", "restrat =");
        assert!(Operation::parse(&text).unwrap_err().contains("restrat"));
    }

    #[test]
    fn statuses_are_compared_without_case_and_unknown_ones_are_not_terminal() {
        let catalogue = Catalogue::shipped();
        let words = &catalogue.find("team.schedule").unwrap().poll.words;
        assert_eq!(words.outcome("COMPLETED"), Some(Outcome::Succeeded));
        assert_eq!(words.outcome("Failed"), Some(Outcome::Failed));
        for word in ["", "running", "unknownFutureValue", "complete", "succeeded"] {
            assert_eq!(words.outcome(word), None, "{word}");
        }
    }
}
