//! The start of a declared operation: what is refused, what is a duplicate, and the answer to a new job.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, LOCATION};
use serde_json::Value;

use super::file::Declared;
use super::hole::{Hole, Scope};
use super::job::{Hosts, Job, ending, timeline};
use super::service::{Aim, Declarations, Operation, body};
use super::simulation::{Check, Duplicate, Ending, TokenKind};
use super::variant::{Form, Variant};
use crate::answer::{Answer, Call, Content, Failure, OPERATION_LOCATION};
use crate::backend::Backend;
use crate::behaviour::Outcome;
use crate::instant;
use crate::jobs::Start;
use crate::tokens::Kind;

impl Declarations {
    pub(super) fn start(
        &mut self,
        backend: &mut Backend,
        call: &Call<'_>,
        token: Kind,
        aim: &Aim,
    ) -> Result<Answer, Failure> {
        let hosts = self.hosts(call);
        let operation = &mut self.operations[aim.operation];
        permitted(&operation.declared, call, token)?;
        let variant = operation.variant_of(backend, call, aim);
        let job = operation.describe(call, aim, hosts, variant);
        let factor = backend.durations.catalogue_factor;
        if let Some(refusal) = operation.refused(&job, call, factor) {
            if refusal.processed {
                operation.take(backend, call, job);
            }
            return Ok(refusal.answer);
        }
        if let Some(index) = operation.duplicate(backend, &job, call) {
            let first = &operation.jobs[index];
            return Ok(match operation.declared.simulation.duplicate {
                Duplicate::New | Duplicate::Same => operation.accepted(backend, first, call),
                Duplicate::Refuse => operation.refusal("duplicate", first, call),
            });
        }
        let index = operation.take(backend, call, job);
        Ok(operation.accepted(backend, &operation.jobs[index], call))
    }
}

/// A refusal, and whether the job is started in spite of it.
struct Refused {
    answer: Answer,
    processed: bool,
}

impl Operation {
    /// Returns the variant of a new job: the one named in the request, else the operation's, else failure for what the
    /// behaviour lets fail.
    fn variant_of(&self, backend: &Backend, call: &Call<'_>, aim: &Aim) -> Variant {
        let text = format!("{} {}", aim.path, body(call.payload));
        if let Some(variant) = Variant::named_in(&text, &self.declared) {
            return variant;
        }
        let mut variant = self.variant.clone();
        let mut failing = backend.behaviour.failing.iter();
        if failing.any(|key| text.contains(key.as_str())) {
            variant.end = Some("failed".to_owned());
        }
        variant
    }

    /// Returns the job that the request asks for, which is not among the jobs yet.
    fn describe(&self, call: &Call<'_>, aim: &Aim, hosts: Hosts, variant: Variant) -> Job {
        let start = &self.declared.simulation.start;
        let mut job = Job {
            id: String::new(),
            run: usize::MAX,
            key: String::new(),
            variables: aim.variables.clone(),
            body: body(call.payload).clone(),
            started: call.now,
            anonymous: match variant.location {
                Some(Form::Anonymous) => true,
                Some(Form::OnGraph) => false,
                Some(Form::Absolute | Form::Relative) | None => {
                    let mut headers = start.headers.values();
                    headers.any(|text| text.holes().any(|hole| *hole == Hole::Anonymous))
                }
            },
            variant,
            hosts,
        };
        job.id = start.job.text(&job.scope(call.now));
        job.key = match &start.key {
            Some(key) => key.text(&job.scope(call.now)),
            None if job.variables.is_empty() => job.body.to_string(),
            None => job
                .variables
                .values()
                .cloned()
                .collect::<Vec<_>>()
                .join("/"),
        };
        job
    }

    fn refused(&mut self, job: &Job, call: &Call<'_>, factor: f64) -> Option<Refused> {
        let first = *self.first_try.entry(job.key.clone()).or_insert(call.now);
        let name = job.variant.refusal.as_deref()?;
        let refusal = self.declared.simulation.refuse.get(name)?;
        let seconds = refusal.for_seconds.unwrap_or(f64::INFINITY);
        let there = self.jobs.iter().any(|known| known.key == job.key);
        let over = call.now >= instant::after(first, seconds * factor);
        if over || there {
            return None;
        }
        let processed = refusal.processed;
        Some(Refused {
            answer: self.refusal(name, job, call),
            processed,
        })
    }

    /// Returns the job that makes a new one of this key a duplicate.
    fn duplicate(&self, backend: &Backend, job: &Job, call: &Call<'_>) -> Option<usize> {
        if self.declared.simulation.duplicate == Duplicate::New {
            return None;
        }
        let factor = backend.durations.catalogue_factor;
        let last = self
            .jobs
            .iter()
            .rposition(|known| known.key.eq_ignore_ascii_case(&job.key))?;
        let known = &self.jobs[last];
        let view = known.view(
            &self.declared,
            backend.jobs.run(known.run),
            call.now,
            factor,
        );
        // What has failed may be tried again.
        match view.ended.map(|(ending, _)| ending) {
            Some(Ending::Failed | Ending::Cancelled) => None,
            Some(Ending::Succeeded | Ending::PartiallySucceeded) | None => Some(last),
        }
    }

    fn take(&mut self, backend: &mut Backend, call: &Call<'_>, mut job: Job) -> usize {
        let (end, outcome) = ending(&timeline(
            &self.declared.simulation,
            job.variant.end.as_deref(),
        ));
        let seconds = if job.variant.terminal_at_once {
            0.0
        } else {
            end.seconds * backend.durations.catalogue_factor
        };
        let start = Start {
            operation: self.declared.name(),
            id: job.id.clone(),
            key: job.key.clone(),
            outcome: if job.variant.endless {
                Outcome::Endless
            } else {
                Outcome::Succeeded
            },
            seconds,
            now: call.now,
            client_request_id: call.client_request_id,
        };
        job.run = backend
            .jobs
            .start(start, &backend.durations, &backend.behaviour);
        if !job.variant.endless {
            backend.jobs.end_as(job.run, outcome.as_str());
        }
        let index = self.jobs.len();
        self.by_id.insert(job.id.clone(), index);
        self.jobs.push(job);
        index
    }

    fn refusal(&self, name: &str, job: &Job, call: &Call<'_>) -> Answer {
        let refusal = &self.declared.simulation.refuse[name];
        let document = refusal.document.render(&job.scope(call.now));
        Answer::json(known(refusal.status), document).job(&job.id)
    }

    fn accepted(&self, backend: &Backend, job: &Job, call: &Call<'_>) -> Answer {
        let start = &self.declared.simulation.start;
        let scope = job.scope(call.now);
        if job.variant.no_content {
            return Answer::new(StatusCode::NO_CONTENT, Content::Empty).job(&job.id);
        }
        let mut answer = Answer::new(known(start.status), Content::Empty).job(&job.id);
        let without = start.without.as_ref();
        let without = without.filter(|without| job.body.pointer(&without.at).is_none());
        let shows_phase = start.phase || job.variant.terminal_at_once;
        if shows_phase && answer.status != StatusCode::NO_CONTENT {
            let factor = backend.durations.catalogue_factor;
            let view = job.view(&self.declared, backend.jobs.run(job.run), call.now, factor);
            let document = view.phase.document.as_ref();
            answer.content = document.map_or(Content::Empty, |document| {
                Content::Json(document.render(&scope))
            });
        } else if let Some(document) = without
            .map(|without| &without.document)
            .or(start.document.as_ref())
        {
            answer.content = Content::Json(document.render(&scope));
        }
        for (name, text) in &start.headers {
            if let Ok(name) = name.parse::<HeaderName>() {
                let text = self.relocated(&name, text.text(&scope), job, &scope);
                if let Some(text) = text {
                    answer.set(name, &text);
                }
            }
        }
        answer
    }

    /// Returns the value of a header, which the variant may move elsewhere or leave out.
    fn relocated(
        &self,
        name: &HeaderName,
        text: String,
        job: &Job,
        scope: &Scope<'_>,
    ) -> Option<String> {
        if *name != LOCATION && *name != OPERATION_LOCATION {
            return Some(text);
        }
        if job.variant.no_location {
            return None;
        }
        let Some(form) = job.variant.location else {
            return Some(text);
        };
        let path = text
            .strip_prefix(scope.root)
            .or_else(|| text.strip_prefix(scope.anonymous));
        let path = path.unwrap_or(&text);
        Some(match form {
            Form::Absolute | Form::OnGraph => format!("{}{path}", scope.root),
            Form::Relative => path.to_owned(),
            Form::Anonymous => format!(
                "{}/{}{path}",
                scope.anonymous,
                self.declared.version.segment()
            ),
        })
    }
}

/// Refuses what the simulation says that Graph refuses.
fn permitted(declared: &Declared, call: &Call<'_>, token: Kind) -> Result<(), Failure> {
    let simulation = &declared.simulation;
    if simulation.token.is_some_and(|wanted| !is(token, wanted)) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "Insufficient privileges to complete the operation.",
        ));
    }
    let members = body(call.payload);
    let given = call
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let given = given
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if !members.is_null()
        && !given
            .trim()
            .eq_ignore_ascii_case(&simulation.start.content_type)
    {
        return Err(Failure::bad_request("BadRequest", "Invalid Data Format"));
    }
    match simulation
        .check
        .iter()
        .find(|check| check.hits(members, token))
    {
        Some(check) => Err(Failure::new(
            known(check.status),
            &check.code,
            check.message.clone(),
        )),
        None => Ok(()),
    }
}

impl Check {
    fn hits(&self, body: &Value, token: Kind) -> bool {
        let there = |pointer: &String| body.pointer(pointer).is_some_and(|value| !value.is_null());
        let missing = self.missing.is_empty() || !self.missing.iter().all(there);
        missing
            && self.present.iter().all(there)
            && self.token.is_none_or(|wanted| is(token, wanted))
    }
}

fn is(token: Kind, wanted: TokenKind) -> bool {
    match token {
        Kind::Application => wanted == TokenKind::Application,
        Kind::Delegated => wanted == TokenKind::Delegated,
    }
}

/// Returns a status of the simulation, which was found to be one when it was read.
pub(super) fn known(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
