//! Looks at a declared operation: polls, searches for a job, and the resources that its success has made.

use http::StatusCode;
use http::header::{HeaderName, LOCATION};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::hole::Scope;
use super::job::{Job, View};
use super::path::Captured;
use super::service::{Aim, Declarations, Operation, Place, decoded};
use super::simulation::{Ending, Find};
use super::start::known;
use super::variant::{AtEnd, Shape};
use crate::answer::{Answer, Call, Content, Failure};
use crate::backend::Backend;
use crate::route::segments;

impl Declarations {
    pub(super) fn poll(
        &self,
        backend: &Backend,
        call: &Call<'_>,
        aim: &Aim,
    ) -> Result<Answer, Failure> {
        let operation = &self.operations[aim.operation];
        let job = aim.job.map(|job| &operation.jobs[job]);
        // A monitor is on one host and not on the other.
        let job = job.filter(|job| job.anonymous == (aim.place == Place::Anonymous));
        let Some(job) = job else {
            return Err(missing());
        };
        operation.look(backend, call, job)
    }

    pub(super) fn find(
        &self,
        backend: &Backend,
        call: &Call<'_>,
        aim: &Aim,
    ) -> Result<Answer, Failure> {
        let operation = &self.operations[aim.operation];
        let Some(find) = &operation.declared.simulation.find else {
            return Err(missing());
        };
        filterable(find, call.query)?;
        if find.items.is_some() {
            return self.list(backend, call, aim, find);
        }
        let visible = aim.job.map(|job| &operation.jobs[job]);
        let visible =
            visible.filter(|job| operation.age(backend, job, call) >= find.hidden_for(job));
        if let Some(job) = visible {
            return operation.look(backend, call, job);
        }
        let document = find.document.as_ref().ok_or_else(missing)?;
        let document = self.without_job(call, aim, |scope| document.render(scope));
        Ok(Answer::json(
            StatusCode::OK,
            selected(document, call.query, &[]),
        ))
    }

    /// Answers with a collection: the elements of others, then the jobs of every operation with the same collection.
    fn list(
        &self,
        backend: &Backend,
        call: &Call<'_>,
        aim: &Aim,
        find: &Find,
    ) -> Result<Answer, Failure> {
        let mut body = match &find.document {
            Some(document) => self.without_job(call, aim, |scope| document.render(scope)),
            None => json!({ "value": [] }),
        };
        let at = find.items.as_deref().unwrap_or("/value");
        let Some(Value::Array(elements)) = body.pointer_mut(at) else {
            return Err(missing());
        };
        let path = segments(&aim.path);
        for operation in &self.operations {
            let captured = operation.declared.find_path.as_ref();
            if let Some(captured) = captured.and_then(|pattern| pattern.captures(&path[1..])) {
                elements.extend(operation.elements(backend, call, &captured));
            }
        }
        if let Some(size) = find.page_size {
            let mut pairs = form_urlencoded::parse(call.query.as_bytes());
            let token = pairs.find_map(|(name, value)| (name == "$skiptoken").then_some(value));
            let skip: usize = token.and_then(|text| text.parse().ok()).unwrap_or(0);
            let rest = elements.split_off(skip.min(elements.len()));
            let more = rest.len() > size;
            *elements = rest.into_iter().take(size).collect();
            if more {
                let link = format!("{}{}?$skiptoken={}", call.origin, aim.path, skip + size);
                body["@odata.nextLink"] = link.into();
            }
        }
        Ok(Answer::json(StatusCode::OK, body))
    }

    pub(super) fn then(
        &self,
        backend: &Backend,
        call: &Call<'_>,
        aim: &Aim,
        stage: usize,
    ) -> Result<Answer, Failure> {
        let operation = &self.operations[aim.operation];
        let job = aim
            .job
            .map(|job| &operation.jobs[job])
            .ok_or_else(missing)?;
        let then = &operation.declared.simulation.then[stage];
        let view = operation.view(backend, job, call);
        match view.ended {
            Some((Ending::Succeeded | Ending::PartiallySucceeded, ago)) if ago >= then.seconds => {
                let document = then.document.render(&job.scope(call.now));
                let document = selected(document, call.query, &[]);
                Ok(Answer::json(StatusCode::OK, document).job(&job.id))
            }
            Some(_) | None => Err(missing()),
        }
    }

    /// Renders what is there without a job of ours.
    fn without_job<T>(
        &self,
        call: &Call<'_>,
        aim: &Aim,
        render: impl FnOnce(&Scope<'_>) -> T,
    ) -> T {
        let hosts = self.hosts(call);
        render(&Scope {
            job: "",
            variables: &aim.variables,
            body: &Value::Null,
            started: call.now,
            now: call.now,
            origin: &hosts.origin,
            root: &hosts.root,
            anonymous: &hosts.anonymous,
            each: None,
        })
    }
}

impl Operation {
    fn view(&self, backend: &Backend, job: &Job, call: &Call<'_>) -> View<'_> {
        let factor = backend.durations.catalogue_factor;
        job.view(&self.declared, backend.jobs.run(job.run), call.now, factor)
    }

    fn age(&self, backend: &Backend, job: &Job, call: &Call<'_>) -> f64 {
        self.view(backend, job, call).age
    }

    /// Answers with what is to be seen of a job.
    fn look(&self, backend: &Backend, call: &Call<'_>, job: &Job) -> Result<Answer, Failure> {
        let view = self.view(backend, job, call);
        if view.age < job.variant.lag {
            return Err(missing());
        }
        if let Some(gone) = job.variant.gone {
            let over = match gone.seconds {
                Some(seconds) => view.age >= seconds,
                None => view.ended.is_some_and(|(_, ago)| ago >= 60.0),
            };
            if over {
                return Err(failure(known(gone.status)));
            }
        }
        let succeeded = view
            .ended
            .is_some_and(|(ending, _)| ending == Ending::Succeeded);
        let mut answer = match job.variant.at_end.filter(|_| succeeded) {
            Some(AtEnd::Redirect) => self.redirect(job, call),
            Some(AtEnd::BadRequest) => return Err(failure(StatusCode::BAD_REQUEST)),
            None => self.document(backend, call, job, &view)?,
        }
        .job(&job.id);
        let scope = job.scope(call.now);
        let poll = &self.declared.simulation.poll;
        let running = poll.headers.iter().filter(|_| view.ended.is_none());
        for (name, text) in running.chain(&view.phase.headers) {
            if let Ok(name) = name.parse::<HeaderName>() {
                answer.set(name, &text.text(&scope));
            }
        }
        answer.word_at = poll.word.clone();
        Ok(answer)
    }

    fn redirect(&self, job: &Job, call: &Call<'_>) -> Answer {
        let mut answer = Answer::new(StatusCode::SEE_OTHER, Content::Empty);
        let target = self.declared.simulation.poll.redirect.as_ref();
        let location = target.map_or_else(
            || format!("{}/redirected/{}", job.hosts.root, job.id),
            |target| target.text(&job.scope(call.now)),
        );
        answer.set(LOCATION, &location);
        answer
    }

    fn document(
        &self,
        backend: &Backend,
        call: &Call<'_>,
        job: &Job,
        view: &View<'_>,
    ) -> Result<Answer, Failure> {
        let poll = &self.declared.simulation.poll;
        let status = known(view.phase.status);
        let Some(document) = &view.phase.document else {
            return if status.is_success() {
                Ok(Answer::new(status, Content::Empty))
            } else {
                Err(failure(status))
            };
        };
        let mut document = document.render(&job.scope(call.now));
        if let Some(word) = &view.word {
            let pointer = poll.word.as_deref().unwrap_or("/status");
            if let Some(status) = document.pointer_mut(pointer) {
                *status = word.as_str().into();
            }
        }
        if poll.log {
            self.add_rows(backend, call, job, &mut document);
        }
        if status.is_success() {
            document = selected(document, call.query, &poll.only_selected);
            document = shaped(document, job.variant.shape);
        }
        Ok(Answer::json(status, document))
    }

    /// Adds the rows of the other jobs in the same log.
    fn add_rows(&self, backend: &Backend, call: &Call<'_>, shown: &Job, document: &mut Value) {
        let query = decoded(call.query);
        for job in &self.jobs {
            if job.run == shown.run || !self.named(&job.scope(call.now), &query) {
                continue;
            }
            let view = self.view(backend, job, call);
            let rows = view
                .phase
                .document
                .as_ref()
                .map(|rows| rows.render(&job.scope(call.now)));
            let rows = rows.as_ref().and_then(|rows| rows["value"].as_array());
            if let (Some(rows), Some(all)) = (rows, document["value"].as_array_mut()) {
                all.extend(rows.iter().cloned());
            }
        }
    }

    /// Returns the jobs with these keys as elements of a collection.
    fn elements(&self, backend: &Backend, call: &Call<'_>, captured: &Captured<'_>) -> Vec<Value> {
        let find = self.declared.simulation.find.as_ref();
        let mut elements = Vec::new();
        for job in self
            .jobs
            .iter()
            .filter(|job| self.fits(job, captured, None))
        {
            let view = self.view(backend, job, call);
            if find.is_none_or(|find| view.age < find.hidden_for(job))
                || !known(view.phase.status).is_success()
            {
                continue;
            }
            if let Some(document) = &view.phase.document {
                let document = document.render(&job.scope(call.now));
                let mut element = shaped(document, Some(Shape::Bare));
                if let Some(members) = element.as_object_mut() {
                    members.remove("@odata.context");
                }
                elements.push(element);
            }
        }
        elements
    }
}

impl Find {
    /// Returns the seconds after its start for which a job cannot be found.
    fn hidden_for(&self, job: &Job) -> f64 {
        self.visible_after_seconds.max(job.variant.lag)
    }
}

/// Refuses a filter by a property that cannot be filtered by.
fn filterable(find: &Find, query: &str) -> Result<(), Failure> {
    let Some(allowed) = &find.filters else {
        return Ok(());
    };
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let filter = pairs.find_map(|(name, value)| (name == "$filter").then_some(value));
    for part in filter.iter().flat_map(|filter| filter.split(" and ")) {
        let property = part.split_whitespace().next().unwrap_or_default();
        if !allowed.iter().any(|name| name == property) {
            let message = format!("Filtering by the property '{property}' is not supported.");
            return Err(Failure::bad_request("BadRequest", message));
        }
    }
    Ok(())
}

/// Keeps what `$select` names; without it, leaves out what comes only when it is named.
fn selected(mut document: Value, query: &str, only_selected: &[String]) -> Value {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let select = pairs.find_map(|(name, value)| (name == "$select").then_some(value));
    if let Some(members) = document.as_object_mut() {
        match select {
            Some(select) => {
                let wanted: Vec<&str> = select.split(',').map(str::trim).collect();
                members.retain(|name, _| name.starts_with('@') || wanted.contains(&name.as_str()));
            }
            None => members.retain(|name, _| !only_selected.contains(name)),
        }
    }
    document
}

fn shaped(document: Value, shape: Option<Shape>) -> Value {
    let wrapped = document["value"].is_object();
    match shape {
        Some(Shape::Envelope) if !wrapped => json!({ "value": document }),
        Some(Shape::Bare) if wrapped => document["value"].clone(),
        Some(Shape::Envelope | Shape::Bare) | None => document,
    }
}

fn missing() -> Failure {
    failure(StatusCode::NOT_FOUND)
}

/// Returns Graph's error for a status that the simulation has no document for.
fn failure(status: StatusCode) -> Failure {
    match status {
        StatusCode::NOT_FOUND => Failure::new(
            status,
            "ResourceNotFound",
            "The resource could not be found.",
        ),
        StatusCode::GONE => Failure::new(
            status,
            "Gone",
            "The requested resource is no longer available.",
        ),
        StatusCode::BAD_REQUEST => Failure::new(status, "invalidRequest", "Invalid request."),
        other => Failure::new(other, "UnknownError", "An unexpected error occurred."),
    }
}
