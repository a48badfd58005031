//! The content of `NAME.sim.toml`: what Graph answers to the calls of one operation.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::path::Pattern;
use super::template::{Document, Template};

/// The content of `NAME.sim.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Simulation {
    /// The only kind of token that the operation works with.
    pub(crate) token: Option<TokenKind>,
    #[serde(default)]
    pub(crate) duplicate: Duplicate,
    /// Newer words of enumerations, by the name of the member: a client sees them only if it prefers to.
    #[serde(default)]
    pub(crate) evolvable: BTreeMap<String, Vec<String>>,
    pub(crate) limit: Option<Limit>,
    pub(crate) start: Start,
    #[serde(default)]
    pub(crate) example: Example,
    #[serde(default)]
    pub(crate) check: Vec<Check>,
    #[serde(default)]
    pub(crate) refuse: BTreeMap<String, Refusal>,
    pub(crate) poll: Poll,
    pub(crate) phase: Vec<Phase>,
    #[serde(default)]
    pub(crate) end: BTreeMap<String, Vec<Phase>>,
    pub(crate) find: Option<Find>,
    #[serde(default)]
    pub(crate) then: Vec<Then>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenKind {
    Application,
    Delegated,
}

/// A limit that the behaviour of the simulator can enforce.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    /// Operations with the same name share it.
    pub(crate) name: String,
    pub(crate) requests: usize,
    pub(crate) seconds: f64,
    /// The calls that count; all if not given.
    pub(crate) calls: Option<Vec<String>>,
}

/// The answer to a second start of the same thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Duplicate {
    #[default]
    New,
    Same,
    Refuse,
}

/// The way a job ends, in the words of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    Succeeded,
    PartiallySucceeded,
    Failed,
    Cancelled,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    pub(crate) status: u16,
    #[serde(default = "new_guid")]
    pub(crate) job: Template,
    /// What a second start must have in common with the first to be its duplicate.
    pub(crate) key: Option<Template>,
    /// A pointer that the body must have, where two operations share a path.
    pub(crate) when: Option<String>,
    #[serde(default = "json")]
    pub(crate) content_type: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Template>,
    pub(crate) document: Option<Document>,
    /// The body is the document that a poll would show.
    #[serde(default)]
    pub(crate) phase: bool,
    /// A document for a request without the value at this pointer.
    pub(crate) without: Option<Without>,
}

/// A request that starts the operation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Example {
    /// The keys in the path; a GUID where one is not given.
    pub(crate) variables: BTreeMap<String, String>,
    /// The body, as the documentation shows it.
    pub(crate) body: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Without {
    pub(crate) at: String,
    pub(crate) document: Document,
}

/// A rule of Graph for the request: what it refuses, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    /// One of these pointers is missing in the body.
    #[serde(default)]
    pub(crate) missing: Vec<String>,
    /// All of these pointers are in the body.
    #[serde(default)]
    pub(crate) present: Vec<String>,
    /// The token is of this kind. Of several conditions all must hold.
    pub(crate) token: Option<TokenKind>,
    #[serde(default = "bad_request")]
    pub(crate) status: u16,
    #[serde(default = "bad_request_code")]
    pub(crate) code: String,
    pub(crate) message: String,
}

/// A refusal of the start that a variant or a duplicate asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) document: Document,
    /// For how long after the first try it is refused; for ever if not given.
    pub(crate) for_seconds: Option<f64>,
    /// The job is started nevertheless.
    #[serde(default)]
    pub(crate) processed: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Poll {
    pub(super) path: Option<Pattern>,
    /// The headers of every answer before the end.
    pub(crate) headers: BTreeMap<String, Template>,
    /// A text that the query must contain to name the job.
    pub(crate) query: Option<Template>,
    /// The resource is a collection with rows of every job that the query names.
    pub(crate) log: bool,
    /// Where the status is, for the fault `word`; `/status` if not given.
    pub(crate) word: Option<String>,
    /// Members that come only when `$select` names them.
    pub(crate) only_selected: Vec<String>,
    /// Where a monitor redirects to under the variant `redirect`.
    pub(crate) redirect: Option<Template>,
}

/// A document, and from when on it is shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    /// Seconds since the start.
    pub(crate) seconds: f64,
    #[serde(default = "ok")]
    pub(crate) status: u16,
    /// Without one, a status from 400 on comes with Graph's error for it.
    pub(crate) document: Option<Document>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Template>,
    /// What the document means; without it the job goes on.
    pub(crate) outcome: Option<Ending>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    pub(super) path: Option<Pattern>,
    /// Where the elements of a collection are; without it the resource itself is found.
    pub(crate) items: Option<String>,
    /// A collection with elements of other jobs, or the resource while no job of ours is there.
    pub(crate) document: Option<Document>,
    pub(crate) page_size: Option<usize>,
    /// For how long after its start a job cannot be found.
    #[serde(default)]
    pub(crate) visible_after_seconds: f64,
    /// The properties that `$filter` may name; without it all.
    pub(crate) filters: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Then {
    pub(super) path: Option<Pattern>,
    /// Seconds after the success of the job.
    pub(crate) seconds: f64,
    pub(crate) document: Document,
}

fn new_guid() -> Template {
    Template::guid()
}

fn json() -> String {
    "application/json".to_owned()
}

fn bad_request() -> u16 {
    400
}

fn bad_request_code() -> String {
    "BadRequest".to_owned()
}

fn ok() -> u16 {
    200
}
