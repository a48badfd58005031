//! Reads `[evidence]`: the keys that sign what was observed of an operation.

use std::collections::BTreeSet;

use super::reader::Reader;
use crate::crypto::evidence_keys::{EvidenceKeys, ListedKey};

/// Reads the table; `None` after a mistake.
pub(super) fn evidence(table: &mut Reader<'_>) -> Option<EvidenceKeys> {
    let keys = table.secrets("keys", ListedKey::parse);
    table.require_items("keys", "at least one key is needed");
    let is_whole = keys.len() == table.count_items("keys");
    let may_sign = matches!(keys.first(), None | Some(ListedKey::Private(_)));
    if is_whole && !may_sign {
        table.error("keys", "the first key must be a private one: it signs");
    }
    let ring = EvidenceKeys::new(keys)?;
    let mut seen = BTreeSet::new();
    if !ring.public().all(|key| seen.insert(key.id())) {
        table.warn("keys", "one key stands here twice");
    }
    Some(ring)
}
