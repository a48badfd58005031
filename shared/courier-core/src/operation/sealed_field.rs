//! The fields of a record that are sealed, and what each is bound to.

use super::OperationId;

/// A sealed field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedField {
    /// The secret parameters of the request, as one JSON object.
    Parameters,
    CallbackUrl,
    /// The token of a task that waits for the completion (`callback.token`).
    TaskToken,
    /// The URL of a monitor on another host than Graph's.
    Monitor,
    /// A secret of the result.
    Result,
}

impl SealedField {
    /// Returns the additional authenticated data of this field.
    ///
    /// It makes sealed text open for its own operation and field only.
    pub fn seal_context(self, id: &OperationId) -> String {
        let field = match self {
            Self::Parameters => "parameters",
            Self::CallbackUrl => "callback",
            Self::TaskToken => "token",
            Self::Monitor => "monitor",
            Self::Result => "result",
        };
        format!("{id}/{field}")
    }
}
