//! The id of an operation.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::crypto::hmac::HmacAlgorithm;

/// A source of unique ids: for operations without an idempotency key, for calls to Graph, and for writers.
pub type Ids = Arc<dyn Fn() -> uuid::Uuid + Send + Sync>;

/// Returns a source of random ids.
pub fn random_ids() -> Ids {
    Arc::new(uuid::Uuid::new_v4)
}

/// The id of an operation: `op_` and 32 hexadecimal digits. Copies share one text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(Arc<str>);

impl OperationId {
    /// Returns what identifies the requests of this client with this idempotency key.
    ///
    /// It is the operation's id in records of the version before, and [`Self::for_deployment`] makes the id of it now.
    pub fn from_key(client: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"graph-courier operation id v1\0");
        hash.update(client.as_bytes());
        hash.update(b"\0");
        hash.update(key.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self::unique(uuid::Uuid::from_bytes(bytes))
    }

    /// Returns the id of the next operation with the same idempotency key, once this one's start was refused.
    pub fn next_generation(&self) -> Self {
        self.derived(b"graph-courier next generation v1\0")
    }

    /// Returns the id of the operation that goes on following the job of this one.
    pub fn resumed(&self) -> Self {
        self.derived(b"graph-courier resumed operation v1\0")
    }

    fn derived(&self, purpose: &[u8]) -> Self {
        let hash = Sha256::new()
            .chain_update(purpose)
            .chain_update(self.0.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self::unique(uuid::Uuid::from_bytes(bytes))
    }

    /// Returns the id that operations with this [`Self::from_key`] have in the deployment with this key.
    ///
    /// So no two deployments give out one id. As the id is derived, a replay is detected by the conditional insert of
    /// the record.
    pub fn for_deployment(&self, key: &[u8]) -> Self {
        let label: &[u8] = b"graph-courier operation id v2\0";
        let mac = HmacAlgorithm::Sha256.sign(key, &[label, self.0.as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&mac[..16]);
        Self::unique(uuid::Uuid::from_bytes(bytes))
    }

    pub fn random() -> Self {
        Self::unique(uuid::Uuid::new_v4())
    }

    /// Returns the id of a request without an idempotency key, from a unique id.
    pub fn unique(id: uuid::Uuid) -> Self {
        Self(format!("op_{}", id.simple()).into())
    }

    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("op_")?;
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == 32 && digits.bytes().all(hex)).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id without `op_`, for the `webhook-id`.
    pub fn bare(&self) -> &str {
        self.0.trim_start_matches("op_")
    }
}

impl TryFrom<String> for OperationId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| "not an operation id".to_owned())
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_depends_on_client_and_key_alone() {
        assert_eq!(
            OperationId::from_key("a", "k"),
            OperationId::from_key("a", "k")
        );
        assert_ne!(
            OperationId::from_key("a", "k"),
            OperationId::from_key("b", "k")
        );
        assert_ne!(
            OperationId::from_key("a", "bk"),
            OperationId::from_key("ab", "k")
        );
    }

    #[test]
    fn deployments_give_one_key_different_ids() {
        let id = OperationId::from_key("a", "k");
        assert_eq!(id.for_deployment(b"one"), id.for_deployment(b"one"));
        assert_ne!(id.for_deployment(b"one"), id.for_deployment(b"two"));
        assert_ne!(id.for_deployment(b"one"), id);
    }

    #[test]
    fn only_generated_ids_parse() {
        assert!(OperationId::parse(OperationId::random().as_str()).is_some());
        for bad in [
            "",
            "op_",
            "op_0123456789abcdef0123456789ABCDEF",
            "0123456789abcdef0123456789abcdef",
            "op_../../x",
        ] {
            assert_eq!(OperationId::parse(bad), None, "{bad}");
        }
    }
}
