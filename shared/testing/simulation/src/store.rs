//! The store: records and documents that survive every process, and a watch over each write.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use courier_core::operation::{OperationId, Record, State};
use courier_core::ports::{
    Document, Filter, Overdue, Page, Position, Shelved, Store, StoreError, Write,
};
use jiff::Timestamp;

use crate::checks;
use crate::looks;
use crate::plan::Sabotage;
use crate::world::{GRAPH, Life, lock};

/// What of a monitor's URL Graph's journal has.
fn path(monitor: &str) -> &str {
    monitor.strip_prefix(GRAPH).unwrap_or(monitor)
}

/// The store as one process sees it.
pub(crate) struct SimulatedStore(pub(crate) Arc<Life>);

impl SimulatedStore {
    async fn before(&self, what: &str) -> Result<(), StoreError> {
        self.0.moment(what).await;
        if self.0.world.strikes(self.0.world.plan.store_refuses) {
            self.0.report(format_args!("{what}: refused"));
            return Err(unavailable());
        }
        Ok(())
    }

    /// After a write, whose answer may be lost.
    async fn after(&self, what: &str) -> Result<(), StoreError> {
        self.0.moment(what).await;
        if self.0.world.strikes(self.0.world.plan.store_ambiguous) {
            self.0.report(format_args!("{what}: answer lost"));
            return Err(unavailable());
        }
        Ok(())
    }

    fn replace(&self, record: &Record) -> Result<Write, StoreError> {
        let world = &self.0.world;
        let mut records = lock(&world.records);
        let Some(current) = records.records.get_mut(&record.id) else {
            return Err(StoreError::Missing(record.id.clone()));
        };
        let unguarded = world.plan.sabotage == Some(Sabotage::Unguarded);
        if current.revision + 1 != record.revision && !unguarded {
            return Ok(Write::settle(record, current.clone()));
        }
        let broken = broken_promise(current, record)
            .or_else(|| checks::chained(Some(current), record))
            .or_else(|| looks::broken_follow_up(current, record))
            .or_else(|| looks::broken_restart(world, current, record));
        self.0.report(format_args!(
            "{} {} -> {} r{} a{} h{}",
            world.name(&record.id),
            state_name(current),
            state_name(record),
            record.revision,
            record.attempt,
            record.epoch
        ));
        let mut effort = lock(&world.effort);
        effort.writes += 1;
        effort.moved += u64::from(current.due_at != record.due_at);
        drop(effort);
        *current = record.clone();
        records.set_aside.remove(&record.id);
        if let State::Running { monitor } = &record.state {
            let path = path(monitor).to_owned();
            let followers = records.followers.entry(path).or_default();
            followers.insert(record.id.clone());
        }
        drop(records);
        if let Some(promise) = broken {
            world.broken(format_args!("{promise}: {}", record.id));
        }
        Ok(Write::Applied)
    }
}

/// Checks what no write may do (I3, I4, I6).
fn broken_promise(before: &Record, after: &Record) -> Option<&'static str> {
    let ended = before.state.outcome();
    if ended.is_some() && ended != after.state.outcome() {
        return Some("I3: a second write into Ended");
    }
    if ended.is_some() && before.event != after.event {
        return Some("I4: the frozen event changed");
    }
    if before.maybe_started && !after.maybe_started {
        return Some("I6: a lost answer was forgotten");
    }
    if before.attempt > after.attempt || before.epoch > after.epoch {
        return Some("a fence went down");
    }
    let closed = matches!(after.state, State::Closed { .. });
    (closed != after.due_at.is_none()).then_some("I5: an open record that nobody looks at")
}

fn state_name(record: &Record) -> &'static str {
    match record.state {
        State::Accepted { .. } => "accepted",
        State::Starting { .. } => "starting",
        State::StartUnknown { .. } => "startUnknown",
        State::Locating { .. } => "locating",
        State::Running { .. } => "running",
        State::Ended { .. } => "ended",
        State::Closed { .. } => "closed",
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("refused by the simulation".into())
}

#[async_trait]
impl Store for SimulatedStore {
    async fn insert(&self, record: &Record) -> Result<Write, StoreError> {
        self.before("record.insert").await?;
        let world = &self.0.world;
        let current = lock(&world.records).get(&record.id).cloned();
        let written = match current {
            Some(current) => Write::settle(record, current),
            None => {
                self.0
                    .report(format_args!("{} inserted", world.name(&record.id)));
                let id = record.id.clone();
                lock(&world.records).records.insert(id, record.clone());
                if let Some(promise) = checks::chained(None, record) {
                    world.broken(format_args!("{promise}: {}", record.id));
                }
                Write::Applied
            }
        };
        self.after("record.insert").await?;
        Ok(written)
    }

    async fn load(&self, id: &OperationId) -> Result<Option<Record>, StoreError> {
        self.before("record.load").await?;
        Ok(lock(&self.0.world.records).get(id).cloned())
    }

    async fn load_many(&self, ids: &[OperationId]) -> Result<Vec<Record>, StoreError> {
        self.before("record.load").await?;
        let wanted: BTreeSet<_> = ids.iter().collect();
        let records = lock(&self.0.world.records);
        let found = wanted.into_iter().filter_map(|id| records.get(id).cloned());
        Ok(found.collect())
    }

    async fn update(&self, record: &Record) -> Result<Write, StoreError> {
        self.before("record.update").await?;
        checks::not_silent(&self.0.world, record);
        let written = self.replace(record)?;
        self.after("record.update").await?;
        Ok(written)
    }

    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Overdue, StoreError> {
        self.before("record.overdue").await?;
        let world = &self.0.world;
        let mut found: Vec<(Option<Timestamp>, Record)> = {
            let records = lock(&world.records);
            let dues = records.all().map(|record| (records.due(record), record));
            let overdue = dues.filter(|(due, _)| due.is_some_and(|due| due < before));
            overdue.map(|(due, record)| (due, record.clone())).collect()
        };
        found.retain(|_| !world.strikes(world.plan.index_stale));
        found.sort_by_key(|(due, _)| *due);
        found.truncate(limit);
        Ok(Overdue {
            records: found.into_iter().map(|(_, record)| record).collect(),
            unreadable: Vec::new(),
        })
    }

    async fn shelved(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Shelved>, StoreError> {
        self.before("record.shelved").await?;
        let world = &self.0.world;
        let records = lock(&world.records);
        let shelved = records.all().filter(|record| record.is_shelved());
        let due = shelved.filter(|record| record.due_at.is_some_and(|due| from <= due && due < to));
        let mut found: Vec<Shelved> = due
            .filter_map(|record| {
                Some(Shelved {
                    id: record.id.clone(),
                    epoch: record.epoch,
                    due: record.due_at?,
                })
            })
            .collect();
        drop(records);
        found.retain(|_| !world.strikes(world.plan.index_stale));
        Ok(found)
    }

    async fn set_aside(&self, ids: &[String], until: Timestamp) -> Result<(), StoreError> {
        self.before("record.set_aside").await?;
        let mut records = lock(&self.0.world.records);
        for id in ids.iter().filter_map(|id| OperationId::parse(id)) {
            records.set_aside.insert(id, until);
        }
        Ok(())
    }

    async fn count_open(&self, client: &str, at_most: usize) -> Result<usize, StoreError> {
        self.before("record.count").await?;
        let records = lock(&self.0.world.records);
        let open = records
            .all()
            .filter(|record| record.client == client && record.due_at.is_some());
        Ok(open.count().min(at_most))
    }

    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError> {
        self.before("record.list").await?;
        let records = lock(&self.0.world.records);
        let after = filter.start();
        let mut found: Vec<Record> = records
            .all()
            .filter(|record| record.client == client && filter.matches(record))
            .filter(|record| filter.precedes(&after, &Position::of(record, filter)))
            .cloned()
            .collect();
        found.sort_by_key(|record| std::cmp::Reverse(Position::of(record, filter)));
        if filter.order.is_by_urgency() {
            found.reverse();
        }
        let is_over = found.len() <= filter.limit;
        found.truncate(filter.limit);
        let last = found.last().filter(|_| !is_over);
        let next = last.map(|record| Position::of(record, filter));
        Ok(Page {
            records: found,
            next,
            unreadable: 0,
        })
    }

    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.before("record.forget").await?;
        let mut records = lock(&self.0.world.records);
        let old = records.all().filter(|record| {
            record.due_at.is_none() && record.ended_at.is_some_and(|ended| ended < before)
        });
        let ids: Vec<OperationId> = old.take(limit).map(|record| record.id.clone()).collect();
        for id in &ids {
            records.records.remove(id);
        }
        Ok(ids.len())
    }

    async fn load_document(&self, key: &str) -> Result<Option<Document>, StoreError> {
        self.before("document.load").await?;
        Ok(lock(&self.0.world.records).documents.get(key).cloned())
    }

    async fn swap_document(
        &self,
        key: &str,
        expected: u64,
        body: &str,
    ) -> Result<bool, StoreError> {
        self.before("document.swap").await?;
        let swapped = {
            let mut records = lock(&self.0.world.records);
            let stored = records.documents.get(key);
            let matches = stored.map_or(0, |document| document.revision) == expected;
            if matches {
                let document = Document {
                    revision: expected + 1,
                    body: body.to_owned(),
                };
                records.documents.insert(key.to_owned(), document);
            }
            matches
        };
        self.0.report(format_args!(
            "{} r{} {}",
            key.split('/').next().unwrap_or_default(),
            expected + 1,
            if swapped { "written" } else { "refused" }
        ));
        self.after("document.swap").await?;
        Ok(swapped)
    }
}
