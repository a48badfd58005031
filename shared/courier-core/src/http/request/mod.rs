//! `POST /v1/operations`: turns untrusted bytes into a new record, or into a list of all mistakes.

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::auth::Caller;
use crate::catalogue::sas;
use crate::catalogue::schema::Violation;
use crate::catalogue::{Catalogue, Operation};
use crate::config::Client;
use crate::crypto::seal::Sealer;
use crate::crypto::secret::Secret;
use crate::http::problem::Problem;
use crate::legal::Receipt;
use crate::operation::Ids;
use crate::operation::trace_context::TraceContext;
use crate::operation::{
    Delivery, GraphView, HistoryEntry, LegalClock, OperationId, Record, SealedField, State,
    Unknown, person_hash,
};
use crate::outbound::address::Allowed;
use crate::strict_json;

mod callback;
mod deadline;
mod fingerprint;
mod idempotency;
mod legal;
pub(super) mod placeholder;
mod storage;

pub(crate) use callback::{RequestedCallback, Target};
use deadline::deadline;
use fingerprint::Asked;
use idempotency::{idempotency_key, signed_key};
pub(crate) use legal::rfc3339;
use storage::unknown_storage;

/// The largest body that a request may have.
pub const BODY_BYTES: usize = 64 * 1024;
/// Revision of a record that has not been changed since it was inserted.
pub(crate) const FIRST_REVISION: u64 = 1;

/// A request that keeps every rule, except perhaps rules about time.
pub struct NewOperation<'a> {
    /// The id. One that `is_derived` from an idempotency key is not yet that of the deployment.
    pub id: OperationId,
    pub(crate) is_derived: bool,
    pub fingerprint: String,
    /// The fingerprint that the version before would have stored for this request.
    pub former_fingerprint: String,
    /// The broken rules about time, which do not matter if this is a replay.
    pub late: Vec<Violation>,
    /// The operation with the same key that was refused before.
    pub previous: Option<OperationId>,
    operation: &'a Operation,
    client: &'a Client,
    parameters: Map<String, Value>,
    secrets: Map<String, Value>,
    callback: Option<Target>,
    reference: Option<String>,
    deadline: Timestamp,
    receipt: Option<Receipt>,
    legal: Option<LegalClock>,
    /// The operator who asks on behalf of the client.
    by: Option<String>,
    trace: Option<TraceContext>,
}

/// Parses the body and headers of a request of `caller`.
pub fn parse<'a>(
    body: &[u8],
    headers: &HeaderMap,
    caller: impl Into<Caller<'a>>,
    catalogue: &'a Catalogue,
    allowed: &Allowed,
    ids: &Ids,
    now: Timestamp,
) -> Result<NewOperation<'a>, Problem> {
    let Caller {
        client,
        signed,
        expires,
    } = caller.into();
    let value = strict_json::parse(body).map_err(Problem::BadJson)?;
    let mut errors = Vec::new();
    let fields = Fields::read(value, &mut errors);
    let operation = fields
        .operation
        .as_deref()
        .and_then(|name| catalogue.find(name));
    if fields.operation.is_some() && operation.is_none() {
        errors.push(Violation::new("/operation", "is not a known operation"));
    }
    let Some(operation) = operation else {
        return Err(Problem::InvalidRequest(errors));
    };
    if !client.operations.contains(&operation.name) {
        return Err(Problem::OperationForbidden);
    }
    let mut late = Vec::new();
    let deadline = deadline(
        (fields.deadline.as_deref(), expires),
        operation,
        now,
        &mut errors,
        &mut late,
    );
    let receipt = legal::receipt(fields.legal, now, &mut errors, &mut late);
    let mut parameters = fields.parameters.unwrap_or_default();
    errors.extend(
        operation
            .schema()
            .validate(&Value::Object(parameters.clone()), "/parameters"),
    );
    late.extend(unknown_storage(&parameters, operation, client));
    let requested = fields.callback;
    let fingerprint_callback = requested
        .as_ref()
        .map_or(Value::Null, RequestedCallback::payload);
    let reference = fields.reference.as_deref();
    let callback = match requested.map(|requested| (requested.url.clone(), requested)) {
        Some((Some(url), requested)) => {
            requested.target(&url, reference, client, allowed, &mut errors)?
        }
        Some((None, _)) | None => None,
    };
    let secrets = if errors.is_empty() {
        let times = sas::Times {
            now,
            deadline,
            deadline_is_default: fields.deadline.is_none() && expires != Some(deadline),
        };
        take_secrets(&mut parameters, operation, times, &mut errors, &mut late)
    } else {
        Map::new()
    };
    if !errors.is_empty() {
        return Err(Problem::InvalidRequest(errors));
    }
    let reference = fields.reference.as_deref();
    let key = match &signed {
        Some(signed) => signed_key(headers, operation, reference, signed).map(Some)?,
        None => idempotency_key(headers, operation, reference)?,
    };
    let asked = Asked {
        operation,
        parameters: &parameters,
        callback: fingerprint_callback,
        reference,
        legal: receipt.as_ref().map(legal::canonical),
    };
    Ok(NewOperation {
        is_derived: key.is_some(),
        id: match key {
            Some(key) => OperationId::from_key(&client.name, &key),
            None => OperationId::unique(ids()),
        },
        fingerprint: asked.fingerprint(),
        former_fingerprint: asked.former_fingerprint(fields.deadline.as_deref()),
        late,
        previous: None,
        operation,
        client,
        parameters,
        secrets,
        callback,
        reference: fields.reference,
        deadline,
        receipt,
        legal: None,
        by: None,
        trace: TraceContext::read(headers),
    })
}

/// Returns an operation that nobody asked for, for an example of its completion.
pub(crate) fn example<'a>(
    client: &'a Client,
    operation: &'a Operation,
    target: Target,
    reference: &str,
    (id, now): (uuid::Uuid, Timestamp),
) -> NewOperation<'a> {
    NewOperation {
        id: OperationId::unique(id),
        is_derived: false,
        fingerprint: String::new(),
        former_fingerprint: String::new(),
        late: Vec::new(),
        previous: None,
        operation,
        client,
        parameters: Map::new(),
        secrets: Map::new(),
        callback: Some(target),
        reference: Some(reference.to_owned()),
        deadline: crate::time::later(now, operation.default_deadline()),
        receipt: None,
        legal: None,
        trace: None,
        by: None,
    }
}

impl<'a> NewOperation<'a> {
    pub(crate) fn client(&self) -> &'a Client {
        self.client
    }

    /// Has the history say which operator has asked for the operation on behalf of the client.
    pub(crate) fn asked_by(&mut self, by: String) {
        self.by = Some(by);
    }

    pub fn operation(&self) -> &Operation {
        self.operation
    }

    /// Returns the hash of the person that the operation is about.
    fn person(&self) -> Option<String> {
        let pointer = self.operation.person.as_deref()?;
        let mut names = pointer.split('/').skip(1);
        let first = self.parameters.get(names.next()?)?;
        let person = names.try_fold(first, |value, name| value.get(name))?;
        person.as_str().map(person_hash)
    }

    /// Takes the id after the one of `refused`, whose start was refused so that its key is free again.
    pub(crate) fn follow(&mut self, refused: &Record) {
        self.id = refused.id.next_generation();
        self.previous = Some(refused.id.clone());
    }

    /// Returns the record of this request, ready to be inserted under its id.
    pub fn record(&self, sealer: &Sealer, due_at: Timestamp, now: Timestamp) -> Record {
        let id = self.id.clone();
        let sealed_parameters = (!self.secrets.is_empty()).then(|| {
            let text = Secret::new(Value::Object(self.secrets.clone()).to_string());
            sealer.seal(&SealedField::Parameters.seal_context(&id), &text)
        });
        let callback = self.callback.clone();
        let callback = callback.map(|target| target.sealed(&id, sealer));
        let accepted = HistoryEntry {
            by: self.by.clone(),
            ..HistoryEntry::new(now, "accepted", "accepted", None)
        };
        Record {
            id,
            revision: FIRST_REVISION,
            writer: String::new(),
            client: self.client.name.clone(),
            tenant: self.client.tenant.clone(),
            operation: self.operation.name.clone(),
            reference: self.reference.clone(),
            person: self.person(),
            fingerprint: self.fingerprint.clone(),
            parameters: self.parameters.clone(),
            sealed_parameters,
            callback,
            traceparent: self.trace.as_ref().map(|trace| trace.parent.clone()),
            tracestate: self.trace.as_ref().and_then(|trace| trace.state.clone()),
            created_at: now,
            deadline: self.deadline,
            due_at: Some(due_at),
            state: State::Accepted { not_before: now },
            attempt: 0,
            maybe_started: false,
            token_refused: false,
            epoch: 0,
            step_crashes: 0,
            started_at: None,
            ended_at: None,
            adopted: false,
            reason: None,
            forecast: None,
            graph: GraphView::default(),
            last_monitor: None,
            previous: self.previous.clone(),
            resumed_from: None,
            resumed_as: None,
            result: None,
            sealed_result: None,
            follow_up: None,
            error: None,
            event: None,
            delivery: Delivery::default(),
            announcement: None,
            history: vec![accepted],
            chain: None,
            shelved_until: None,
            acknowledged: None,
            legal: self.legal.clone(),
            erased_at: None,
            unknown: Unknown::new(),
        }
    }
}

/// The six fields of the body, each with the right type.
#[derive(Default)]
struct Fields {
    operation: Option<String>,
    parameters: Option<Map<String, Value>>,
    callback: Option<RequestedCallback>,
    reference: Option<String>,
    deadline: Option<String>,
    legal: Option<Map<String, Value>>,
}

impl Fields {
    fn read(value: Value, errors: &mut Vec<Violation>) -> Self {
        let mut fields = Self::default();
        let Value::Object(object) = value else {
            errors.push(Violation::new("", "must be an object"));
            return fields;
        };
        for (name, value) in object {
            let pointer = strict_json::child("", &name);
            match (name.as_str(), value) {
                ("operation", Value::String(text)) => fields.operation = Some(text),
                ("deadline", Value::String(text)) => fields.deadline = Some(text),
                ("reference", Value::String(text)) => {
                    let rule = reference_rule(&text);
                    errors.extend(rule.map(|rule| Violation::new(pointer, rule)));
                    fields.reference = Some(text);
                }
                ("parameters", Value::Object(object)) => fields.parameters = Some(object),
                ("callback", Value::Object(object)) => {
                    let requested = RequestedCallback::read(object, "/callback", errors);
                    requested.require_url(errors);
                    fields.callback = Some(requested);
                }
                ("legal", Value::Object(object)) => fields.legal = Some(object),
                ("callback" | "reference" | "deadline" | "legal", Value::Null) => {}
                ("operation" | "deadline" | "reference", _) => {
                    errors.push(Violation::new(pointer, "must be a string"));
                }
                ("parameters" | "callback" | "legal", _) => {
                    errors.push(Violation::new(pointer, "must be an object"));
                }
                _ => errors.push(Violation::new(pointer, "is not a known field")),
            }
        }
        for (name, missing) in [
            ("/operation", fields.operation.is_none()),
            ("/parameters", fields.parameters.is_none()),
        ] {
            if missing && !errors.iter().any(|error| error.pointer == name) {
                errors.push(Violation::new(name, "is required"));
            }
        }
        fields
    }
}

/// Returns the rule that a reference breaks.
pub(super) fn reference_rule(text: &str) -> Option<&'static str> {
    let length = text.chars().count();
    if length == 0 || length > 256 || text.chars().any(char::is_control) {
        return Some("must have 1 to 256 characters, none of them a control");
    }
    placeholder::is_in(text).then_some(placeholder::RULE)
}

/// Moves secret parameters out of `parameters` and leaves the part of each that may be stored.
fn take_secrets(
    parameters: &mut Map<String, Value>,
    operation: &Operation,
    times: sas::Times,
    errors: &mut Vec<Violation>,
    late: &mut Vec<Violation>,
) -> Map<String, Value> {
    let mut secrets = Map::new();
    for name in operation.schema().secrets() {
        let Some(Value::String(text)) = parameters.get(&name) else {
            continue;
        };
        if !operation.schema().is_container_sas(&name) {
            secrets.extend(parameters.remove(&name).map(|secret| (name, secret)));
            continue;
        }
        let pointer = format!("/parameters/{name}");
        let violations = |rules: Vec<String>| {
            let violation = |rule| Violation::new(&pointer, rule);
            rules.into_iter().map(violation).collect::<Vec<_>>()
        };
        match sas::check(text, times) {
            Ok(sas) => {
                late.extend(violations(sas.late));
                secrets.insert(name.clone(), Value::from(sas.secret.expose()));
                parameters.insert(name, Value::from(sas::fingerprint_form(&sas.container)));
            }
            Err(rules) => errors.extend(violations(rules)),
        }
    }
    secrets
}
