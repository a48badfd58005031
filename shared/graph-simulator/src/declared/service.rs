//! The declared operations while they run: their jobs, and which of them a request is about.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::evolvable;
use super::file::Declared;
use super::hole::Scope;
use super::job::{Hosts, Job};
use super::limits::Limits;
use super::path::{Captured, Pattern};
use super::variant::Variant;
use crate::answer::{Answer, Call, Failure, Payload};
use crate::backend::Backend;
use crate::fault::ScriptError;
use crate::route::segments;
use crate::tokens::Kind;
use crate::version::Version;

/// The declared operations and their jobs.
pub(crate) struct Declarations {
    pub(super) operations: Vec<Operation>,
    limits: Limits,
    /// The origin of the host that takes no token.
    pub(crate) anonymous: String,
}

pub(super) struct Operation {
    pub(super) declared: Arc<Declared>,
    /// The number of its last start among all that were asked for, even in vain.
    asked: u64,
    pub(super) jobs: Vec<Job>,
    pub(super) by_id: HashMap<String, usize>,
    /// When each thing was asked for first.
    pub(super) first_try: HashMap<String, Timestamp>,
    /// The variant of the jobs that start from now on.
    pub(super) variant: Variant,
}

/// The host at which a request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Graph,
    Anonymous,
}

/// A request to a declared operation.
#[derive(Debug)]
pub(crate) struct Aim {
    /// The name of the call in the journal.
    pub(crate) call: String,
    pub(crate) version: Version,
    pub(super) place: Place,
    pub(super) operation: usize,
    pub(super) verb: Verb,
    pub(super) job: Option<usize>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Then(usize),
    Find,
    Poll,
    Start,
}

impl Declarations {
    /// Takes the operations; a later one replaces an earlier one of the same name.
    pub(crate) fn new(
        declared: Vec<Arc<Declared>>,
        variants: &BTreeMap<String, String>,
        anonymous: String,
    ) -> Result<Self, ScriptError> {
        let mut operations: Vec<Operation> = Vec::new();
        for declared in declared {
            operations.retain(|operation| operation.declared.name() != declared.name());
            operations.push(Operation {
                declared,
                asked: 0,
                jobs: Vec::new(),
                by_id: HashMap::new(),
                first_try: HashMap::new(),
                variant: Variant::default(),
            });
        }
        // Where two share a path, the one with a condition is asked first.
        operations.sort_by_key(|operation| operation.declared.simulation.start.when.is_none());
        let mut declarations = Self {
            operations,
            limits: Limits::default(),
            anonymous,
        };
        for (operation, variant) in variants {
            declarations.set_variant(operation, variant)?;
        }
        Ok(declarations)
    }

    /// Chooses how the jobs of an operation go that start from now on.
    pub(crate) fn set_variant(
        &mut self,
        operation: &str,
        variant: &str,
    ) -> Result<(), ScriptError> {
        let wrong = || ScriptError::Variant {
            operation: operation.to_owned(),
            variant: variant.to_owned(),
        };
        let mut operations = self.operations.iter_mut();
        let found = operations.find(|one| one.declared.name() == operation);
        let found = found.ok_or_else(wrong)?;
        found.variant = Variant::parse(variant, &found.declared).ok_or_else(wrong)?;
        Ok(())
    }

    /// Returns the place that a host stands for.
    pub(crate) fn place(&self, host: Option<&str>) -> Place {
        let anonymous = self.anonymous.split_once("://").map(|(_, host)| host);
        if host.is_some() && host == anonymous {
            Place::Anonymous
        } else {
            Place::Graph
        }
    }

    pub(crate) fn knows(&self, operation: &str) -> bool {
        let mut names = self.operations.iter().map(|one| one.declared.name());
        names.any(|name| name == operation)
    }

    /// Finds out what a request is about; `None` if no declared operation has such a path.
    pub(crate) fn aim(
        &mut self,
        place: Place,
        method: &Method,
        path: &str,
        query: &str,
        payload: &Payload,
    ) -> Option<Aim> {
        let whole = segments(path);
        let version = whole.first().and_then(|first| version(first));
        let (version, segments) = match (version, place) {
            (Some(version), _) => (version, &whole[1..]),
            // The other host has no versions.
            (None, Place::Anonymous) => (Version::V1, whole.as_slice()),
            (None, Place::Graph) => return None,
        };
        let query = decoded(query);
        let request = Request {
            place,
            method,
            version,
            segments,
            payload,
            query: &query,
        };
        let candidates = self.operations.iter().enumerate();
        let candidates = candidates.flat_map(|(index, operation)| {
            let found = operation.candidates(&request);
            found.into_iter().map(move |candidate| (index, candidate))
        });
        // The first of equals wins, which is the one with a condition.
        let (operation, candidate) = candidates.reduce(|best, next| {
            if next.1.rank > best.1.rank {
                next
            } else {
                best
            }
        })?;
        if candidate.verb == Verb::Start {
            let last = self.operations.iter().map(|one| one.asked).max();
            self.operations[operation].asked = last.unwrap_or(0) + 1;
        }
        let name = self.operations[operation].declared.name();
        let verb = match candidate.verb {
            Verb::Start => "start",
            Verb::Poll => "poll",
            Verb::Find => "find",
            Verb::Then(_) => "then",
        };
        Some(Aim {
            call: format!("{name}.{verb}"),
            version,
            place,
            operation,
            verb: candidate.verb,
            job: candidate.job,
            variables: candidate.variables,
            path: path.to_owned(),
        })
    }

    /// Answers a request to a declared operation, whose token was accepted already.
    pub(crate) fn serve(
        &mut self,
        backend: &mut Backend,
        call: &Call<'_>,
        token: Kind,
        aim: &Aim,
    ) -> Result<Answer, Failure> {
        if backend.behaviour.limits {
            self.limit(call, aim)?;
        }
        let mut answer = match aim.verb {
            Verb::Start => self.start(backend, call, token, aim),
            Verb::Poll => self.poll(backend, call, aim),
            Verb::Find => self.find(backend, call, aim),
            Verb::Then(stage) => self.then(backend, call, aim, stage),
        }?;
        let simulation = &self.operations[aim.operation].declared.simulation;
        evolvable::conceal(&mut answer, call.headers, &simulation.evolvable);
        Ok(answer)
    }

    fn limit(&mut self, call: &Call<'_>, aim: &Aim) -> Result<(), Failure> {
        let simulation = &self.operations[aim.operation].declared.simulation;
        let Some(limit) = &simulation.limit else {
            return Ok(());
        };
        let verb = aim.call.rsplit('.').next().unwrap_or_default();
        match &limit.calls {
            Some(calls) if !calls.iter().any(|name| name == verb) => Ok(()),
            Some(_) | None => self.limits.count(limit, call.now),
        }
    }

    pub(super) fn hosts(&self, call: &Call<'_>) -> Hosts {
        Hosts {
            origin: call.origin.to_owned(),
            root: format!("{}/{}", call.origin, call.version.segment()),
            anonymous: self.anonymous.clone(),
        }
    }
}

/// What is compared with the patterns.
pub(super) struct Request<'r> {
    place: Place,
    method: &'r Method,
    version: Version,
    segments: &'r [String],
    query: &'r str,
    payload: &'r Payload,
}

struct Candidate {
    verb: Verb,
    job: Option<usize>,
    variables: BTreeMap<String, String>,
    /// A job that there is, the newest; then the call that fits best, of the operation that was asked for last.
    rank: (Option<usize>, bool, u64, Verb),
}

impl Operation {
    /// Returns the calls of this operation that the request may be.
    fn candidates(&self, request: &Request<'_>) -> Vec<Candidate> {
        let declared = &self.declared;
        let mut found = Vec::new();
        if request.version != declared.version {
            return found;
        }
        let mut add = |verb, pattern: &Pattern| {
            if let Some(captured) = pattern.captures(request.segments) {
                found.push(self.candidate(verb, &captured, request));
            }
        };
        if *request.method == declared.method && request.place == Place::Graph {
            let condition = declared.simulation.start.when.as_deref();
            if condition.is_none_or(|pointer| body(request.payload).pointer(pointer).is_some()) {
                add(Verb::Start, &declared.start_path);
            }
        }
        if *request.method == Method::GET {
            add(Verb::Poll, &declared.poll_path);
            if request.place == Place::Graph {
                if let Some(path) = &declared.find_path {
                    add(Verb::Find, path);
                }
                for (stage, path) in declared.then_paths.iter().enumerate() {
                    add(Verb::Then(stage), path);
                }
            }
        }
        found
    }

    fn candidate(&self, verb: Verb, captured: &Captured<'_>, request: &Request<'_>) -> Candidate {
        let job = match verb {
            Verb::Start => None,
            Verb::Poll => self.job(captured, Some(request.query)),
            Verb::Find | Verb::Then(_) => self.job(captured, None),
        };
        let variables = captured.iter().filter_map(|(hole, key)| {
            let name = hole.variable()?;
            Some((name.to_owned(), (*key).to_owned()))
        });
        let search = &self.declared.find_query;
        let fits =
            verb == Verb::Find && !search.is_empty() && request.query.starts_with(search.as_str());
        // Two starts of one path are told apart by their condition.
        let asked = if verb == Verb::Start { 0 } else { self.asked };
        Candidate {
            verb,
            job,
            variables: variables.collect(),
            rank: (job.map(|job| self.jobs[job].run), fits, asked, verb),
        }
    }

    /// Returns the newest job with these keys, of those that the query names if it must name one.
    fn job(&self, captured: &Captured<'_>, query: Option<&str>) -> Option<usize> {
        if let Some((_, id)) = captured.iter().find(|(hole, _)| hole.is_job()) {
            let index = *self.by_id.get(*id)?;
            return self
                .fits(&self.jobs[index], captured, query)
                .then_some(index);
        }
        let mut newest_first = (0..self.jobs.len()).rev();
        newest_first.find(|index| self.fits(&self.jobs[*index], captured, query))
    }

    pub(super) fn fits(&self, job: &Job, captured: &Captured<'_>, query: Option<&str>) -> bool {
        let scope = job.scope(job.started);
        let mut keys = captured.iter();
        keys.all(|(hole, key)| hole.text(&scope).eq_ignore_ascii_case(key))
            && query.is_none_or(|query| self.named(&scope, query))
    }

    /// Reports whether a query names the job of this scope, if it has to.
    pub(super) fn named(&self, scope: &Scope<'_>, query: &str) -> bool {
        let Some(text) = &self.declared.simulation.poll.query else {
            return true;
        };
        let wanted = text.text(scope).to_ascii_lowercase();
        query.to_ascii_lowercase().contains(&wanted)
    }
}

/// Returns the body of a request, or null if it has none that is JSON.
pub(super) fn body(payload: &Payload) -> &Value {
    match payload {
        Payload::Json(value) => value,
        Payload::Empty | Payload::Text(_) => &Value::Null,
    }
}

/// Returns a query without its percent signs and plus signs.
pub(super) fn decoded(query: &str) -> String {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn version(segment: &str) -> Option<Version> {
    [Version::V1, Version::Beta]
        .into_iter()
        .find(|version| version.segment().eq_ignore_ascii_case(segment))
}
