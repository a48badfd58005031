//! The catalogue of operations: what differs between Graph operations, as one TOML file each.

mod check;
mod directory;
pub(crate) mod places;
pub(crate) mod pointer;
pub mod sas;
pub mod schema;
mod specs;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

pub use self::check::{BUILT_IN_MONITOR_HOSTS, Fault, Faults, warnings};
pub use self::specs::{
    Absent, AlreadySpec, BudgetSpec, EarlySpec, FindSpec, ItemsSpec, MonitorSource, PollSpec,
    QueryRule, Restart, ResultSpec, StartSpec, StatusMap, Success, ThenSpec, TokenKind,
};
use crate::catalogue::schema::Schema;

// The shipped files, as `build.rs` lists them: `FILES`, pairs of name and text.
include!(concat!(env!("OUT_DIR"), "/catalogue_files.rs"));

const STAND_IN_FILE: &str = r#"
name = "removed"
summary = "An operation that is no longer in the catalogue"
restart = "never"
token = ["application"]
permissions = { application = ["none"] }
clouds = ["global"]
deadline_seconds = 3600
start = { method = "POST", version = "v1.0", path = "/removed", accepted = [202], monitor = ["location"] }
poll = { initial_seconds = 3600, max_seconds = 3600, status = ["/status"], words = { succeeded = ["succeeded"] } }
parameters = { type = "object" }
"#;

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
            let read = |(_, text): &(&str, &str)| {
                Operation::parse(text, &[]).expect("a shipped catalogue file is valid")
            };
            Catalogue(FILES.iter().map(read).collect())
        });
        &SHIPPED
    }

    /// Returns the shipped operations together with those of an operator's files, pairs of name and text.
    ///
    /// `monitor_hosts` are the hosts that the configuration permits besides the built-in ones. Every fault is returned,
    /// with the name of its file.
    pub fn with_files(
        files: &[(String, String)],
        monitor_hosts: &[String],
    ) -> Result<Self, Vec<Fault>> {
        let mut operations: Vec<Operation> = Vec::new();
        let mut faults = Vec::new();
        for (file, text) in files {
            match Operation::parse(text, monitor_hosts) {
                Ok(operation) => {
                    let shipped = Self::shipped().find(&operation.name).is_some();
                    let twice = operations.iter().any(|other| other.name == operation.name);
                    let rule = match (shipped, twice) {
                        (_, true) => Some("another file has this name"),
                        (true, false) if !operation.replaces => {
                            Some("is the name of a shipped operation: replaces = true overrides it")
                        }
                        (false, false) if operation.replaces => {
                            Some("no shipped operation has this name, so nothing is replaced")
                        }
                        (_, false) => None,
                    };
                    faults.extend(rule.map(|rule| Fault::new(text, "name", rule).in_file(file)));
                    operations.push(operation);
                }
                Err(found) => faults.extend(found.into_iter().map(|fault| fault.in_file(file))),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        for (_, text) in FILES {
            let shipped = Operation::parse(text, &[])?;
            if !operations.iter().any(|own| own.name == shipped.name) {
                operations.push(shipped);
            }
        }
        operations.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self(operations))
    }

    /// Returns an operation that stands for one that has left the catalogue: it only lets a record end, and its
    /// completion be delivered. It is in no catalogue, and nothing starts it.
    pub(crate) fn stand_in() -> &'static Operation {
        static STAND_IN: LazyLock<Operation> = LazyLock::new(|| {
            #[expect(clippy::expect_used, reason = "a constant that every test reads")]
            Operation::parse(STAND_IN_FILE, &[]).expect("the stand-in is valid")
        });
        &STAND_IN
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
    /// An operator's file overrides the shipped one of this name.
    #[serde(default)]
    pub replaces: bool,
    pub restart: Restart,
    /// Parameter whose value serializes starts: those with the same value are made one after the other.
    pub serialize_by: Option<String>,
    /// JSON Pointer, in the parameters, of the id or e-mail address of the person that the operation is about.
    pub person: Option<String>,
    /// The kinds of token that it works with. The first is used unless the tenant's configuration says otherwise.
    pub token: Vec<TokenKind>,
    /// The permissions that all its calls need together, for each kind of token.
    pub permissions: BTreeMap<TokenKind, Vec<String>>,
    /// What it needs besides, in words.
    pub needs: Option<String>,
    pub clouds: Vec<String>,
    pub deadline_seconds: u64,
    pub budget: Option<BudgetSpec>,
    pub start: StartSpec,
    pub find: Option<FindSpec>,
    pub poll: PollSpec,
    #[serde(default)]
    pub then: Vec<ThenSpec>,
    /// The fields of our `result`.
    #[serde(default)]
    pub result: BTreeMap<String, ResultSpec>,
    /// JSON Schema of the parameters, as the OpenAPI document shows it.
    pub parameters: Value,
    #[serde(skip)]
    schema: Option<Schema>,
}

impl Operation {
    /// Parses and checks one catalogue file. Every fault names the line, the key and the rule.
    pub fn parse(text: &str, monitor_hosts: &[String]) -> Result<Self, Vec<Fault>> {
        let mut operation: Self =
            toml::from_str(text).map_err(|error| vec![Fault::of_toml(text, &error)])?;
        let schema = Schema::parse(&operation.parameters)
            .map_err(|rule| vec![Fault::new(text, "parameters", &rule)])?;
        operation.schema = Some(schema);
        let faults = check::faults(&operation, text, monitor_hosts);
        if faults.is_empty() {
            Ok(operation)
        } else {
            Err(faults)
        }
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

    /// Returns the permissions for this kind of token.
    pub fn permissions_of(&self, kind: TokenKind) -> &[String] {
        self.permissions.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Returns the kind of token that is used where the configuration says nothing.
    pub fn default_token(&self) -> TokenKind {
        self.token
            .first()
            .copied()
            .unwrap_or(TokenKind::Application)
    }

    /// Reports whether a source of the start's monitor is `find`.
    pub(crate) fn may_be_found(&self) -> bool {
        self.find.is_some() && self.start.monitor.contains(&MonitorSource::Find)
    }

    /// Returns every call as method and path template, in the order in which they are made.
    pub fn calls(&self) -> Vec<(&str, &str)> {
        let mut calls = vec![(self.start.method.as_str(), self.start.path.as_str())];
        let find = self.find.as_ref();
        calls.extend(find.map(|find| ("GET", find.path.as_str())));
        let paths = self.start.monitor.iter().filter_map(|source| match source {
            MonitorSource::Path(path) => Some(path.as_str()),
            MonitorSource::Location
            | MonitorSource::Itself
            | MonitorSource::Answer(_)
            | MonitorSource::Target(_)
            | MonitorSource::Find => None,
        });
        calls.extend(paths.map(|path| ("GET", path)));
        calls.extend(find.map(|find| ("GET", find.monitor.as_str())));
        calls.extend(self.then.iter().map(|then| ("GET", then.path.as_str())));
        let mut seen = Vec::new();
        calls.retain(|call| {
            !seen.contains(call) && {
                seen.push(*call);
                true
            }
        });
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Outcome;

    #[test]
    fn every_shipped_file_is_valid_and_named_like_its_operation() {
        for (file, text) in FILES {
            let operation =
                Operation::parse(text, &[]).unwrap_or_else(|faults| panic!("{file}: {faults:?}"));
            assert_eq!(file, format!("{}.toml", operation.name));
        }
        assert_eq!(Catalogue::shipped().iter().count(), FILES.len());
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
