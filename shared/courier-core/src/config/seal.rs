//! Reads `[seal]`: the keys that seal secrets on disk.

use std::collections::BTreeSet;

use super::reader::Reader;
use crate::crypto::seal::Sealer;
use crate::crypto::secret::Secret;

/// Reads the key, or the keys of which the first one seals and all open.
pub(super) fn seal(table: &mut Reader<'_>) -> Option<Sealer> {
    let keys = match (table.has("key"), table.has("keys")) {
        (true, true) => {
            table.error("keys", "either key or keys, not both");
            table.excuse(&["key", "keys"]);
            return None;
        }
        (_, true) => {
            table.excuse(&["key"]);
            let well_formed = |secret: &Secret| {
                Sealer::new(secret)
                    .map(|_| secret.clone())
                    .map_err(|error| error.to_string())
            };
            let keys = table.secrets("keys", well_formed);
            table.require_items("keys", "at least one key is needed");
            keys
        }
        (true, false) => {
            table.excuse(&["keys"]);
            table.secret("key").into_iter().collect()
        }
        (false, false) => {
            table.excuse(&["key", "keys"]);
            table.missing("key", &["keys"], "is missing");
            return None;
        }
    };
    let (first, others) = keys.split_first()?;
    let sealer = Sealer::new(first).and_then(|mut sealer| {
        others.iter().try_for_each(|key| sealer.add(key))?;
        Ok(sealer)
    });
    let sealer = sealer.map_err(|error| table.error("key", &error.to_string()));
    let mut ids = sealer.iter().flat_map(Sealer::key_ids);
    let mut seen = BTreeSet::new();
    if !ids.all(|id| seen.insert(id)) {
        table.warn("keys", "one key stands here twice");
    }
    sealer.ok()
}
