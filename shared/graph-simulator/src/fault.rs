//! Faults: the calls they match, their effect, and the order in which they are used up.

use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::retry_after;
use crate::route::CALLS;

/// A fault that occurs once or several times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The calls it matches: one (`export.start`, `team.create.find`), all of an operation (`goals.*`, `team.create.*`),
    /// one verb (`*.poll`) or all (`*`).
    pub on: String,
    /// Number of matching calls that are let through first.
    #[serde(default)]
    pub skip: u32,
    /// Number of calls that it hits; 0 for all.
    #[serde(default = "once")]
    pub times: u32,
    /// A text that the path or query must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_contains: Option<String>,
    pub action: Action,
}

/// The effect on the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Sends another answer. Unless `processed`, the request has no effect.
    Status(Box<StatusAction>),
    /// Closes the connection; the request had no effect.
    LostBefore,
    /// Lets the request have its effect, then closes the connection without an answer.
    LostAfter,
    /// As `lost_before`, with a TCP reset.
    ResetBefore,
    /// As `lost_after`, with a TCP reset.
    ResetAfter,
    /// Sends no answer until the client gives up.
    Hang {
        #[serde(default)]
        processed: bool,
    },
    /// Sends the right answer late.
    Delay { ms: u64 },
    /// Sends the right answer byte by byte.
    Drip { ms_per_byte: u64 },
    /// Sends half of the answer's body, then closes the connection.
    HalfBody,
    /// Sends another Location.
    ///
    /// `{location}`, `{origin}` and `{path}` stand for the parts of the right one; without `value` the header is
    /// missing; with `twice` it comes twice, the right one first.
    Location {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        #[serde(default)]
        twice: bool,
    },
    /// Answers the poll with this status.
    Word { value: String },
    /// Answers with a redirect; the request had no effect. The placeholders of `location` work here too.
    Redirect { status: u16, location: String },
    /// Sends the right answer with another `Retry-After`, or with none.
    RetryAfter {
        #[serde(with = "retry_after")]
        value: Option<String>,
    },
    /// Sends the right answer, enlarged to at least this size.
    BigBody { bytes: usize },
}

/// The answer of [`Action::Status`]: by default an error in the format of Graph or Entra.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusAction {
    pub status: u16,
    #[serde(with = "retry_after")]
    pub retry_after: Option<String>,
    pub code: Option<String>,
    pub message: Option<String>,
    pub inner_code: Option<String>,
    /// Sends an HTML page, as a proxy in between would.
    pub html: bool,
    /// Sends this text, labelled as JSON.
    pub body: Option<String>,
    pub empty: bool,
    /// Lets the request have its effect nevertheless.
    pub processed: bool,
}

/// An error that makes a script invalid.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(
        "the body must be JSON, one fault or a list of faults (TOML is for the file of --script): {0}"
    )]
    NotJson(#[source] serde_json::Error),
    #[error("`on` names no call of the simulator: {on}")]
    UnknownCall { on: String },
    #[error("`status` is not an HTTP status: {status}")]
    Status { status: u16 },
    #[error("the operation {operation} has no variant {variant}, or is not there")]
    Variant { operation: String, variant: String },
    #[error("`{key}` cannot be sent as a header")]
    Header { key: &'static str },
}

impl Fault {
    /// Returns a fault that hits the next matching call.
    pub fn new(on: &str, action: Action) -> Self {
        Self {
            on: on.to_owned(),
            skip: 0,
            times: 1,
            path_contains: None,
            action,
        }
    }

    pub fn skip(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    pub fn path_contains(self, text: &str) -> Self {
        Self {
            path_contains: Some(text.to_owned()),
            ..self
        }
    }

    /// Reads one fault, or a list, from JSON.
    pub(crate) fn from_json(text: &[u8]) -> Result<Vec<Self>, ScriptError> {
        let value: serde_json::Value =
            serde_json::from_slice(text).map_err(ScriptError::NotJson)?;
        let faults: Vec<Self> = if value.is_array() {
            serde_json::from_value(value)?
        } else {
            vec![serde_json::from_value(value)?]
        };
        faults.iter().try_for_each(Self::check)?;
        Ok(faults)
    }

    /// Refuses faults that could never occur: an unknown call, a status that HTTP does not have. The name of an operation
    /// that files declare is looked up by whoever knows them.
    pub(crate) fn check(&self) -> Result<(), ScriptError> {
        if self.declared().is_none() && !CALLS.iter().any(|call| matches(&self.on, call)) {
            let on = self.on.clone();
            return Err(ScriptError::UnknownCall { on });
        }
        if let Some(status) = self.action.status()
            && (status < 200 || StatusCode::from_u16(status).is_err())
        {
            return Err(ScriptError::Status { status });
        }
        if let Some((key, text)) = self.action.header_text()
            && HeaderValue::from_str(text).is_err()
        {
            return Err(ScriptError::Header { key });
        }
        Ok(())
    }

    /// Returns the name of the declared operation that the fault is for, as `team.create` in `team.create.poll`.
    pub(crate) fn declared(&self) -> Option<&str> {
        let (operation, verb) = self.on.rsplit_once('.')?;
        let is_verb = ["start", "poll", "find", "then", "*"].contains(&verb);
        (is_verb && operation.contains('.')).then_some(operation)
    }

    /// Refuses a fault for a declared operation that is not there.
    pub(crate) fn check_name(&self, knows: impl Fn(&str) -> bool) -> Result<(), ScriptError> {
        match self.declared() {
            Some(operation) if !knows(operation) => {
                let on = self.on.clone();
                Err(ScriptError::UnknownCall { on })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn hits(&self, call: &str, path: &str) -> bool {
        let wanted = self.path_contains.as_deref();
        matches(&self.on, call) && wanted.is_none_or(|text| path.contains(text))
    }
}

impl Action {
    /// Returns another status with Graph's own error body for it.
    pub fn status_only(status: u16) -> Self {
        Self::Status(Box::new(StatusAction {
            status,
            ..StatusAction::default()
        }))
    }

    /// Returns a 429 or 503 with, or without, a `Retry-After`.
    pub fn throttled(status: u16, retry_after: Option<&str>) -> Self {
        Self::Status(Box::new(StatusAction {
            status,
            retry_after: retry_after.map(str::to_owned),
            ..StatusAction::default()
        }))
    }

    /// Returns a 200 whose body is this text.
    pub fn body(text: &str) -> Self {
        Self::Status(Box::new(StatusAction {
            status: 200,
            body: Some(text.to_owned()),
            ..StatusAction::default()
        }))
    }

    /// Returns the name of the action in the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::LostBefore => "lost_before",
            Self::LostAfter => "lost_after",
            Self::ResetBefore => "reset_before",
            Self::ResetAfter => "reset_after",
            Self::Hang { .. } => "hang",
            Self::Delay { .. } => "delay",
            Self::Drip { .. } => "drip",
            Self::HalfBody => "half_body",
            Self::Location { .. } => "location",
            Self::Word { .. } => "word",
            Self::Redirect { .. } => "redirect",
            Self::RetryAfter { .. } => "retry_after",
            Self::BigBody { .. } => "big_body",
        }
    }

    /// Reports whether the request has its effect in spite of the fault.
    pub fn processes(&self) -> bool {
        match self {
            Self::Status(status) => status.processed,
            Self::Hang { processed } => *processed,
            Self::LostBefore | Self::ResetBefore | Self::Redirect { .. } => false,
            Self::LostAfter
            | Self::ResetAfter
            | Self::Delay { .. }
            | Self::Drip { .. }
            | Self::HalfBody
            | Self::Location { .. }
            | Self::Word { .. }
            | Self::RetryAfter { .. }
            | Self::BigBody { .. } => true,
        }
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Status(action) => Some(action.status),
            Self::Redirect { status, .. } => Some(*status),
            Self::LostBefore
            | Self::LostAfter
            | Self::ResetBefore
            | Self::ResetAfter
            | Self::Hang { .. }
            | Self::Delay { .. }
            | Self::Drip { .. }
            | Self::HalfBody
            | Self::Location { .. }
            | Self::Word { .. }
            | Self::RetryAfter { .. }
            | Self::BigBody { .. } => None,
        }
    }

    /// Returns the text of the action that becomes a header, and its key in the script.
    fn header_text(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Status(action) => Some(("retry_after", action.retry_after.as_deref()?)),
            Self::RetryAfter { value } | Self::Location { value, .. } => {
                Some(("value", value.as_deref()?))
            }
            Self::Redirect { location, .. } => Some(("location", location)),
            Self::LostBefore
            | Self::LostAfter
            | Self::ResetBefore
            | Self::ResetAfter
            | Self::Hang { .. }
            | Self::Delay { .. }
            | Self::Drip { .. }
            | Self::HalfBody
            | Self::Word { .. }
            | Self::BigBody { .. } => None,
        }
    }
}

/// The faults that are not used up yet, in the order of the script.
#[derive(Default)]
pub(crate) struct Script {
    waiting: Vec<Fault>,
}

impl Script {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self { waiting: faults }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.waiting.push(fault);
    }

    /// Returns the scripted faults that have not occurred as often as they should.
    pub(crate) fn unused(&self) -> Vec<Fault> {
        let limited = self.waiting.iter().filter(|fault| fault.times > 0);
        limited.cloned().collect()
    }

    /// Returns the action for this call, if any. A call that one fault takes does not count for the later ones.
    pub(crate) fn take(&mut self, call: &str, path: &str) -> Option<Action> {
        for index in 0..self.waiting.len() {
            let fault = &mut self.waiting[index];
            if !fault.hits(call, path) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            match fault.times {
                0 => return Some(fault.action.clone()),
                1 => return Some(self.waiting.remove(index).action),
                _ => fault.times -= 1,
            }
            return Some(fault.action.clone());
        }
        None
    }
}

fn matches(pattern: &str, call: &str) -> bool {
    if pattern == "*" || pattern == call {
        return true;
    }
    match (pattern.rsplit_once('.'), call.rsplit_once('.')) {
        (Some((operation, "*")), Some((of, _))) => operation == of,
        (Some(("*", verb)), Some((_, of))) => verb == of,
        (Some(_) | None, Some(_) | None) => false,
    }
}

fn once() -> u32 {
    1
}
