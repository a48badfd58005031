//! What a caller without a good credential is told.

use super::Problem;
use crate::auth::Denied;

impl From<Denied<'_>> for Problem {
    fn from(denied: Denied<'_>) -> Self {
        match denied {
            Denied::Unproven => Self::Unauthenticated,
            Denied::Several => Self::CredentialRefused {
                rule: "more than one credential was sent: send exactly one Authorization or X-Api-Key header",
            },
            Denied::Proven { rule, .. } => Self::CredentialRefused { rule },
            Denied::NotGranted { rule, .. } => Self::InsufficientScope { rule },
            Denied::Unreachable => Self::Unavailable,
        }
    }
}
