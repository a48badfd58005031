//! The records and documents that survive every process.

use std::collections::{BTreeMap, BTreeSet};

use courier_core::operation::{OperationId, Record};
use courier_core::ports::Document;
use jiff::Timestamp;

#[derive(Default)]
pub(crate) struct Records {
    pub(crate) records: BTreeMap<OperationId, Record>,
    /// Due times that the sweep has moved, until the next write of the record.
    pub(crate) set_aside: BTreeMap<OperationId, Timestamp>,
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

    pub(crate) fn due(&self, record: &Record) -> Option<Timestamp> {
        let moved = self.set_aside.get(&record.id).copied();
        record.due_at.max(moved.filter(|_| record.due_at.is_some()))
    }

    pub(crate) fn open(&self) -> usize {
        self.all().filter(|record| record.due_at.is_some()).count()
    }
}
