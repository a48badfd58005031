//! Reads a statement that somebody hands in. Its form is checked here, what it says elsewhere.

use serde::Deserialize;
use serde_json::Value;

use super::statement::{ChainView, Entry, PREDICATE_TYPE, STATEMENT_TYPE, SUBJECT_PREFIX};
use crate::operation::{Hash, OperationId};
use crate::strict_json;

/// A statement of the right form.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) id: OperationId,
    /// The digest of the subject.
    pub(super) subject: Hash,
    pub(super) predicate: Predicate,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Predicate {
    pub(super) observer: Observed,
    pub(super) stated_at: String,
    pub(super) operation: OperationView,
    pub(super) chain: ChainView,
    pub(super) history: Vec<Entry>,
}

/// Who says that it has observed this.
#[derive(Debug, Deserialize)]
pub(super) struct Observed {
    pub(super) program: String,
    pub(super) version: String,
    pub(super) deployment: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OperationView {
    pub(super) id: OperationId,
    pub(super) name: String,
    pub(super) client: String,
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) ended_at: Option<String>,
    pub(super) erased_at: Option<String>,
}

impl Statement {
    /// Reads the payload of an envelope. The error names the broken rule.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, String> {
        let mut document = strict_json::parse(payload).map_err(|error| error.to_string())?;
        for (name, wanted) in [("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)] {
            if document.get(name).and_then(Value::as_str) != Some(wanted) {
                return Err(format!("its {name} is not {wanted}"));
            }
        }
        let subjects = document.get("subject").and_then(Value::as_array);
        let Some([subject]) = subjects.map(Vec::as_slice) else {
            return Err("it has not exactly one subject".to_owned());
        };
        let name = subject["name"].as_str().unwrap_or_default();
        let id = name.strip_prefix(SUBJECT_PREFIX);
        let id = id.and_then(OperationId::parse);
        let digest = subject["digest"]["sha256"].as_str().unwrap_or_default();
        let (Some(id), Some(subject)) = (id, Hash::from_hex(digest)) else {
            return Err("its subject is not an operation with a SHA-256 digest".to_owned());
        };
        let predicate = document["predicate"].take();
        let predicate = serde_json::from_value(predicate).map_err(|error| {
            format!("its predicate has not the form of {PREDICATE_TYPE}: {error}")
        })?;
        Ok(Self {
            id,
            subject,
            predicate,
        })
    }
}
