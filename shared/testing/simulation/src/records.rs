//! The records and documents that survive every process.

use std::collections::{BTreeMap, BTreeSet};

use courier_core::operation::{OperationId, Record};
use courier_core::ports::Document;

#[derive(Default)]
pub(crate) struct Records {
    pub(crate) records: BTreeMap<OperationId, Record>,
    pub(crate) documents: BTreeMap<String, Document>,
    /// Who has ever followed a monitor, by its path.
    pub(crate) followers: BTreeMap<String, BTreeSet<OperationId>>,
}

impl Records {
    pub(crate) fn get(&self, id: &OperationId) -> Option<&Record> {
        self.records.get(id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    pub(crate) fn open(&self) -> usize {
        self.all().filter(|record| record.due_at.is_some()).count()
    }
}
