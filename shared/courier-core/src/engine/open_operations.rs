//! How many operations each client has open, so that one client cannot fill the queue for all.
//!
//! The store is asked once a minute at most while there is room, so several processes together may exceed a limit by what
//! they accept within a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::config::Client;
use crate::error_chain::chain;
use crate::ports::Store;

/// Age at which a count that leaves room is renewed.
const MAX_AGE: SignedDuration = SignedDuration::from_secs(60);
/// Age at which a count that leaves no room is renewed, so that a client soon sees that some of its operations have ended.
const MAX_AGE_WHEN_FULL: SignedDuration = SignedDuration::from_secs(5);

#[derive(Default)]
pub(crate) struct OpenOperations(Mutex<BTreeMap<String, Count>>);

/// The open operations of one client: those that the store counted, and those accepted here since.
#[derive(Clone, Copy)]
struct Count {
    open: usize,
    counted_at: Timestamp,
}

impl OpenOperations {
    /// Reports whether the client may have one more open operation.
    ///
    /// A store that fails to count does not keep anybody from starting.
    pub(crate) async fn has_room(
        &self,
        store: &dyn Store,
        client: &Client,
        now: Timestamp,
    ) -> bool {
        let limit = client.max_open_operations as usize;
        let known = self.counts().get(&client.name).copied();
        if let Some(count) = known {
            let has_room = count.open < limit;
            let max_age = if has_room { MAX_AGE } else { MAX_AGE_WHEN_FULL };
            if now.duration_since(count.counted_at) < max_age {
                return has_room;
            }
        }
        let open = match store.count_open(&client.name, limit).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(client = client.name, error = %chain(&error), "could not count the open operations; the limit is not applied");
                return true;
            }
        };
        let count = Count {
            open,
            counted_at: now,
        };
        self.counts().insert(client.name.clone(), count);
        open < limit
    }

    /// Counts an operation that has just been accepted.
    pub(crate) fn add(&self, client: &Client) {
        if let Some(count) = self.counts().get_mut(&client.name) {
            count.open += 1;
        }
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
