//! A request as its caller knows it, and an answer to it.

use courier_core::operation::OperationId;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// One operation as its caller wants it, and the ids under which it was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) client: &'static str,
    pub(crate) kind: &'static str,
    /// Container, view or team.
    pub(crate) resource: String,
    pub(crate) body: Value,
    pub(crate) idempotency: Option<String>,
    /// The ids it was acknowledged under: more than one only without a key.
    pub(crate) acknowledged: Vec<OperationId>,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}
