//! The identity of a deployment: a random key that is kept sealed in the store.
//!
//! Ids of operations are derived from it, so that no two deployments give out one id. As it is sealed, it also shows at
//! the start whether the configured seal key is the one that this store was sealed with.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::crypto::hmac::{Encoding, HmacAlgorithm};
use crate::crypto::seal::{Sealed, Sealer};
use crate::crypto::secret::Secret;
use crate::operation::{Ids, OperationId, SealedField};
use crate::ports::{Filter, Store, StoreError};

/// The document's key in the store, and what its sealed text is bound to.
pub const DOCUMENT: &str = "deployment";

pub struct Deployment {
    key: Secret,
    /// The store has records whose ids the version before derived without this key.
    has_older_records: bool,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    key: Sealed,
    has_older_records: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    #[error("the deployment's document cannot be read or written now")]
    Store(#[from] StoreError),
    #[error(
        "seal.key: the data here was sealed with another key{}; the configured key has the id {configured}. Configure the \
         other key again, or add it as the second one of seal.keys",
        .stored.as_ref().map_or_else(String::new, |id| format!(", which has the id {id}"))
    )]
    WrongSealKey {
        /// The id of the key that is needed, unless the version before sealed the data.
        stored: Option<String>,
        configured: String,
    },
    #[error("the deployment's document in the store is damaged")]
    Damaged,
}

impl Deployment {
    /// Reads the deployment's key, and creates it in a store that has none.
    ///
    /// An existing one costs one read. A store that was in use before there were such keys must not be sealed with a
    /// wrong key from now on, so one record of each client is looked at before the key is created.
    pub(crate) async fn load(
        store: &dyn Store,
        config: &Config,
        ids: &Ids,
    ) -> Result<Self, DeploymentError> {
        let sealer = &config.sealer;
        if let Some(document) = store.load_document(DOCUMENT).await? {
            return Self::open(store, sealer, document.revision, &document.body).await;
        }
        let has_older_records = has_older_records(store, config).await?;
        let random = [ids(), ids()].map(uuid::Uuid::into_bytes).concat();
        let key = Secret::new(Encoding::Hex.encode(&random));
        if write(store, sealer, 0, &key, has_older_records).await? {
            return Ok(Self {
                key,
                has_older_records,
            });
        }
        // Another process was first.
        let document = store.load_document(DOCUMENT).await?;
        let document = document.ok_or(DeploymentError::Damaged)?;
        Self::open(store, sealer, document.revision, &document.body).await
    }

    async fn open(
        store: &dyn Store,
        sealer: &Sealer,
        revision: u64,
        body: &str,
    ) -> Result<Self, DeploymentError> {
        let Stored {
            key: sealed,
            has_older_records,
        } = serde_json::from_str(body).map_err(|_| DeploymentError::Damaged)?;
        let key = sealer
            .open(DOCUMENT, &sealed)
            .map_err(|_| wrong_key(sealer, sealed.key_id()))?;
        if !sealer.is_current(&sealed) {
            // After a rotation the old key must not be needed for this document. If the write is lost or another
            // process makes it, the next start tries again.
            let written = write(store, sealer, revision, &key, has_older_records).await;
            if written.is_err() {
                tracing::warn!("could not seal the deployment's key with the new seal key yet");
            }
        }
        Ok(Self {
            key,
            has_older_records,
        })
    }

    /// Returns the id of this deployment: 32 hexadecimal digits.
    pub fn id(&self) -> String {
        let label: &[u8] = b"graph-courier deployment id v1";
        let mac = HmacAlgorithm::Sha256.sign(self.key.expose().as_bytes(), &[label]);
        Encoding::Hex.encode(&mac[..16])
    }

    /// Returns the id of the operation that belongs to this idempotency key.
    ///
    /// A record of the version before, which has `unkeyed` as its id, stays the operation of its key.
    pub(crate) async fn operation_id(
        &self,
        store: &dyn Store,
        unkeyed: &OperationId,
    ) -> Result<OperationId, StoreError> {
        if self.has_older_records && store.load(unkeyed).await?.is_some() {
            return Ok(unkeyed.clone());
        }
        Ok(unkeyed.for_deployment(self.key.expose().as_bytes()))
    }
}

async fn write(
    store: &dyn Store,
    sealer: &Sealer,
    revision: u64,
    key: &Secret,
    has_older_records: bool,
) -> Result<bool, DeploymentError> {
    let stored = Stored {
        key: sealer.seal(DOCUMENT, key),
        has_older_records,
    };
    let body = serde_json::to_string(&stored).map_err(|_| DeploymentError::Damaged)?;
    Ok(store.swap_document(DOCUMENT, revision, &body).await?)
}

/// Reports whether a store without a deployment's key has records. None of their sealed texts opening is an error.
async fn has_older_records(store: &dyn Store, config: &Config) -> Result<bool, DeploymentError> {
    let newest = Filter {
        limit: 1,
        ..Filter::default()
    };
    let (mut found, mut opened, mut unreadable) = (false, false, false);
    for client in config.clients.keys() {
        for record in store.list(client, &newest).await?.records {
            found = true;
            let Some(callback) = &record.callback else {
                continue;
            };
            let place = SealedField::CallbackUrl.seal_context(&record.id);
            match config.sealer.open(&place, &callback.url) {
                Ok(_) => opened = true,
                Err(_) => unreadable = true,
            }
        }
    }
    if unreadable && !opened {
        return Err(wrong_key(&config.sealer, None));
    }
    Ok(found)
}

fn wrong_key(sealer: &Sealer, stored: Option<&str>) -> DeploymentError {
    DeploymentError::WrongSealKey {
        stored: stored.map(str::to_owned),
        configured: sealer.key_ids().join(" and "),
    }
}
