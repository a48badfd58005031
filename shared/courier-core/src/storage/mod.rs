//! The containers that graph-courier makes for operations, and the right to write into them, which it signs itself.
//!
//! Only the account's key and what it signs are secrets here: a container has its name from the operation's id.

mod call;
mod sas;
mod shared_key;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::call::{Made, StorageError, account_kind, make_container};
pub use self::sas::container_sas;
use crate::config::Storage;
use crate::crypto::secret::Secret;
use crate::graph::unavailable::{Cause, NotReady};
use crate::operation::{OperationId, Reason};
use crate::outbound::Transport;
use crate::outbound::holds::Holds;
use crate::time::Clock;

/// The version of the blob service whose rules hold; every cloud has it.
const SERVICE_VERSION: &str = "2024-11-04";
/// Calls of one account that may be under way in this process.
const MAX_IN_FLIGHT: usize = 16;
/// Pause of an account after the first failure; it doubles with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Pause of an operation while so many others ask the same account.
const TURN_PAUSE: Duration = Duration::from_secs(2);

/// A container that is there, and the right to write into it.
pub(crate) struct Container {
    /// Its URL, which is no secret.
    pub(crate) url: String,
    pub(crate) sas: Secret,
}

/// Makes containers in the storages of all tenants.
///
/// An account that is slow, down or refuses is asked rarely, and never by more than a few operations at once.
pub(crate) struct Storages {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) timeout: Duration,
    pub(crate) clock: Clock,
    accounts: Arc<Mutex<HashMap<String, Account>>>,
    holds: Arc<Holds>,
    refused: AtomicBool,
}

/// What is known of an account in this process.
struct Account {
    calls: Arc<Semaphore>,
    /// Number of pauses in a row.
    failures: u32,
    /// Why the last call failed; this is what all operations are told that need the account meanwhile.
    failure: Option<NotReady>,
}

/// Returns the name of the operation's container: its id, with the hyphen that Azure permits.
pub fn container_name(id: &OperationId) -> String {
    format!("op-{}", id.bare())
}

impl Storages {
    pub(crate) fn new(transport: Arc<dyn Transport>, timeout: Duration, clock: Clock) -> Self {
        Self {
            transport,
            timeout,
            clock,
            accounts: Arc::default(),
            holds: Arc::default(),
            refused: AtomicBool::new(false),
        }
    }

    /// Returns these with the pauses of `former`, except those of accounts whose key has changed since.
    pub(crate) fn succeeding(mut self, former: &Self) -> Self {
        self.accounts = Arc::clone(&former.accounts);
        self.holds = Arc::clone(&former.holds);
        self
    }

    /// Reports whether an account has refused its key since the last call of this function.
    pub(crate) fn refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }

    /// Makes the operation's container, or finds the one that an earlier attempt made, and signs the right to write into
    /// it until `deadline`.
    pub(crate) async fn container(
        &self,
        storage: &Storage,
        id: &OperationId,
        deadline: Timestamp,
    ) -> Result<Container, NotReady> {
        let account = identity(storage);
        let _call = self.begin(&account)?;
        let name = container_name(id);
        let now = (self.clock)();
        let made = make_container(&*self.transport, storage, &name, self.timeout, now).await;
        match made {
            Ok(Made::New | Made::Found) => {
                self.with(&account, |account| account.failures = 0);
                Ok(Container {
                    url: storage.container(&name),
                    sas: container_sas(storage, &name, (self.clock)(), deadline),
                })
            }
            Err(error) => Err(self.failed(storage, &account, &error)),
        }
    }

    /// Lets one more call of the account begin, unless the account has failed just now or is busy.
    fn begin(&self, identity: &str) -> Result<OwnedSemaphorePermit, NotReady> {
        let left = self.holds.left(identity, (self.clock)());
        self.with(identity, |account| {
            if let (Some(left), Some(failure)) = (left, &account.failure) {
                return Err(NotReady {
                    retry_after: Some(left),
                    ..failure.clone()
                });
            }
            let call = Arc::clone(&account.calls).try_acquire_owned();
            call.map_err(|_| NotReady {
                reason: None,
                detail: None,
                retry_after: Some(TURN_PAUSE),
                cause: Cause::Turn,
            })
        })
    }

    fn with<T>(&self, identity: &str, act: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(identity.to_owned());
        act(account.or_insert_with(|| Account {
            calls: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            failures: 0,
            failure: None,
        }))
    }

    /// Holds the account for a while, unless another of its calls has failed just before.
    fn failed(&self, storage: &Storage, identity: &str, error: &StorageError) -> NotReady {
        let (name, account) = (&storage.name, &storage.account);
        let needs_mending = error.needs_mending();
        let mut failure = NotReady {
            reason: needs_mending.then_some(Reason::AuthorizationLost),
            detail: Some(format!("the storage {name} made no container: {error}")),
            retry_after: None,
            cause: Cause::Trouble,
        };
        if needs_mending {
            self.refused.store(true, Ordering::Relaxed);
        }
        let now = (self.clock)();
        if self.holds.left(identity, now).is_none() {
            let failures = self.with(identity, |account| {
                account.failures += 1;
                account.failure = Some(failure.clone());
                account.failures
            });
            let own = FIRST_PAUSE * 2_u32.pow((failures - 1).min(8));
            let asked = match error {
                StorageError::Refused { retry_after, .. } => retry_after.unwrap_or_default(),
                StorageError::Unanswered(_) => Duration::ZERO,
            };
            self.holds
                .hold(identity, asked.max(own.min(MAX_PAUSE)), now);
            tracing::warn!(storage = name, account, %error, "a storage made no container; the operations that need one wait");
        }
        failure.retry_after = self.holds.left(identity, now);
        failure
    }
}

/// Tells accounts apart, and an account with another key: that may be asked at once.
fn identity(storage: &Storage) -> String {
    let key = storage.key.sign("graph-courier account key v1");
    format!("{} {key}", storage.endpoint)
}
