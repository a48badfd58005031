//! The `Store` port. The thread that has written a record also puts the message that must follow it into the timetable.

use std::sync::Arc;

use async_trait::async_trait;
use courier_core::error_chain::chain;
use courier_core::operation::{OperationId, Record};
use courier_core::ports::{Document, Filter, Overdue, Page, Store, StoreError, Write};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use crate::sqlite::database::{Database, nanoseconds};
use crate::sqlite::failure::Failure;
use crate::sqlite::listing;
use crate::sqlite::retention;
use crate::timetable::{Carried, Timetable};

/// Upper bound of the records that one call returns.
const MAX_RECORDS_PER_CALL: usize = 1000;

const INSERT: &str = "INSERT INTO operations
    (id, client, operation, reference, status, created_at, due_at, ended_at, revision, record, open, deadline, person,
    legal_due)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
/// An update of an open record that stays open. A column that is not named leaves the indexes alone that have it.
const UPDATE_OPEN: &str = "UPDATE operations
    SET status = :status, due_at = :due, ended_at = :ended, revision = :revision, record = :record
    WHERE id = :id AND revision = :revision - 1 AND reference IS :reference AND open IS :open AND person IS :person
    AND legal_due IS :legal_due";
/// An update after which the record is closed.
const UPDATE_CLOSED: &str = "UPDATE operations
    SET status = :status, due_at = :due, ended_at = :ended, revision = :revision, record = :record, open = :open
    WHERE id = :id AND revision = :revision - 1 AND reference IS :reference AND person IS :person
    AND legal_due IS :legal_due";
/// Any update.
const UPDATE: &str = "UPDATE operations
    SET status = :status, due_at = :due, ended_at = :ended, revision = :revision, record = :record, open = :open,
    reference = :reference, person = :person, legal_due = :legal_due
    WHERE id = :id AND revision = :revision - 1";
const LOAD: &str = "SELECT id, record FROM operations WHERE id = ?";
const OVERDUE: &str = "SELECT id, record FROM operations INDEXED BY operations_open_newest
    WHERE open IS NOT NULL AND due_at < ? ORDER BY due_at LIMIT ?";
/// The record itself keeps its due time, so that it is unchanged for a newer program that can read it.
const SET_ASIDE: &str = "UPDATE operations SET due_at = ?2 WHERE id = ?1 AND due_at < ?2";

#[async_trait]
impl Store for Database {
    async fn insert(&self, record: &Record) -> Result<Write, StoreError> {
        self.put(record, Columns::insert, Timetable::inserted).await
    }

    async fn load(&self, id: &OperationId) -> Result<Option<Record>, StoreError> {
        let id = id.clone();
        Ok(self
            .read(move |connection| load(connection, id.as_str()))
            .await?)
    }

    async fn load_many(&self, ids: &[OperationId]) -> Result<Vec<Record>, StoreError> {
        let ids = ids.to_vec();
        let records = self.read(move |connection| {
            let found = ids
                .iter()
                .map(|id| load(connection, id.as_str()))
                .filter_map(Result::transpose);
            Ok(found.filter_map(Result::ok).collect())
        });
        Ok(records.await?)
    }

    async fn update(&self, record: &Record) -> Result<Write, StoreError> {
        self.put(record, Columns::update, Timetable::updated).await
    }

    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Overdue, StoreError> {
        let before = nanoseconds(before);
        let limit = sql_limit(limit.min(MAX_RECORDS_PER_CALL));
        let found = self.read(move |connection| {
            let mut statement = connection.prepare_cached(OVERDUE)?;
            let mut rows = statement.query(params![before, limit])?;
            let mut found = Overdue::default();
            while let Some(row) = rows.next()? {
                match decode(row) {
                    Ok(record) => found.records.push(record),
                    Err(Failure::Corrupt(id, _)) => found.unreadable.push(id),
                    Err(failure) => return Err(failure),
                }
            }
            Ok(found)
        });
        Ok(found.await?)
    }

    async fn set_aside(&self, ids: &[String], until: Timestamp) -> Result<(), StoreError> {
        let (ids, until) = (ids.to_vec(), nanoseconds(until));
        let moved = self.write(move |connection| {
            let mut statement = connection.prepare_cached(SET_ASIDE)?;
            for id in &ids {
                statement.execute(params![id, until])?;
            }
            Ok(())
        });
        Ok(moved.await?)
    }

    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError> {
        let limit = filter.limit.clamp(1, MAX_RECORDS_PER_CALL);
        let (client, filter) = (client.to_owned(), filter.clone());
        let page = self.read(move |connection| listing::page(connection, &client, &filter, limit));
        Ok(page.await?)
    }

    async fn count_open(&self, client: &str, at_most: usize) -> Result<usize, StoreError> {
        let client = client.to_owned();
        let count = self.read(move |connection| listing::count_open(connection, &client, at_most));
        Ok(count.await?)
    }

    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let (before, limit) = (nanoseconds(before), sql_limit(limit));
        let forgotten = self.write(move |connection| retention::forget(connection, before, limit));
        let forgotten = forgotten.await?;
        if let Err(error) = self.write(retention::give_back).await {
            tracing::warn!(error = %chain(&error), "could not shorten the data file; the next sweep tries again");
        }
        Ok(forgotten)
    }

    async fn load_document(&self, key: &str) -> Result<Option<Document>, StoreError> {
        let key = key.to_owned();
        let document = self.read(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT revision, body FROM documents WHERE key = ?")?;
            let document = statement.query_row([&key], |row| {
                Ok(Document {
                    revision: row.get::<_, i64>(0)?.unsigned_abs(),
                    body: row.get(1)?,
                })
            });
            Ok(document.optional()?)
        });
        Ok(document.await?)
    }

    async fn swap_document(
        &self,
        key: &str,
        expected: u64,
        body: &str,
    ) -> Result<bool, StoreError> {
        let (key, body, expected) = (key.to_owned(), body.to_owned(), expected.cast_signed());
        let swapped = self.write(move |connection| {
            let changed = if expected == 0 {
                let sql = "INSERT INTO documents (key, revision, body) VALUES (?, 1, ?) ON CONFLICT DO NOTHING";
                connection.prepare_cached(sql)?.execute(params![key, body])?
            } else {
                let sql = "UPDATE documents SET revision = revision + 1, body = ? WHERE key = ? AND revision = ?";
                connection.prepare_cached(sql)?.execute(params![body, key, expected])?
            };
            Ok(changed == 1)
        });
        Ok(swapped.await?)
    }
}

impl Database {
    /// Returns the number of operations that are not closed.
    pub async fn count_open(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM operations WHERE open IS NOT NULL";
        let count = self.read(move |connection| {
            let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        });
        Ok(count.await?)
    }

    /// Writes a record by `statement`; once it is durable, the timetable takes note of it by `note`, and so does the census.
    async fn put(
        &self,
        record: &Record,
        statement: fn(&Columns, &Connection) -> rusqlite::Result<usize>,
        note: fn(&Timetable, Carried),
    ) -> Result<Write, StoreError> {
        let columns = Columns::of(record)?;
        let work = move |connection: &Connection| match statement(&columns, connection)? {
            0 => refusing(connection, &columns.id).map(Some),
            _ => Ok(None),
        };
        let (carried, timetable) = (Carried::of(record), Arc::clone(self.timetable()));
        let noted = self.noted(record);
        let (revision, writer) = (record.revision, record.writer.clone());
        let written = move |refusing: &Option<Record>| {
            let is_written = |current: &Record| current.is_write(revision, &writer);
            if refusing.as_ref().is_none_or(is_written) {
                note(&timetable, carried);
                noted();
            }
        };
        let refusing = self.write_then(work, written).await?;
        self.announce_owed(record);
        Ok(refusing.map_or(Write::Applied, |current| Write::settle(record, current)))
    }

    /// Returns what notes the record in the census, once it is written.
    fn noted(&self, record: &Record) -> impl FnOnce() + Send + 'static {
        let census = Arc::clone(self.census());
        let (id, facts) = (record.id.clone(), census.facts(record));
        move || census.note(&id, facts)
    }

    fn announce_owed(&self, record: &Record) {
        if let Some(due) = record.due_at {
            self.announce(due);
        }
    }
}

/// A record in its stored form, encoded outside the writer thread.
struct Columns {
    id: OperationId,
    client: String,
    operation: String,
    reference: Option<String>,
    person: Option<String>,
    deadline: i64,
    legal_due: Option<i64>,
    status: &'static str,
    created: i64,
    due: Option<i64>,
    ended: Option<i64>,
    revision: i64,
    record: String,
}

impl Columns {
    fn of(record: &Record) -> Result<Self, Failure> {
        let text =
            serde_json::to_string(record).map_err(|error| Failure::Unstorable(Arc::new(error)))?;
        Ok(Self {
            id: record.id.clone(),
            client: record.client.clone(),
            operation: record.operation.clone(),
            reference: record.reference.clone(),
            person: record.person.clone(),
            deadline: nanoseconds(record.deadline),
            legal_due: record.legal.as_ref().map(|clock| nanoseconds(clock.due_at)),
            status: record.state.status(),
            created: nanoseconds(record.created_at),
            due: record.due_at.map(nanoseconds),
            ended: record.ended_at.map(nanoseconds),
            revision: record.revision.cast_signed(),
            record: text,
        })
    }

    fn insert(&self, connection: &Connection) -> rusqlite::Result<usize> {
        connection.prepare_cached(INSERT)?.execute(params![
            self.id.as_str(),
            self.client,
            self.operation,
            self.reference,
            self.status,
            self.created,
            self.due,
            self.ended,
            self.revision,
            self.record,
            self.open(),
            self.deadline,
            self.person,
            self.legal_due,
        ])
    }

    fn update(&self, connection: &Connection) -> rusqlite::Result<usize> {
        let sql = match self.open() {
            Some(_) => UPDATE_OPEN,
            None => UPDATE_CLOSED,
        };
        match self.execute(connection, sql)? {
            0 => self.execute(connection, UPDATE),
            changed => Ok(changed),
        }
    }

    fn execute(&self, connection: &Connection, sql: &str) -> rusqlite::Result<usize> {
        connection.prepare_cached(sql)?.execute(named_params! {
            ":id": self.id.as_str(),
            ":reference": self.reference,
            ":person": self.person,
            ":status": self.status,
            ":due": self.due,
            ":ended": self.ended,
            ":revision": self.revision,
            ":record": self.record,
            ":open": self.open(),
            ":legal_due": self.legal_due,
        })
    }

    fn open(&self) -> Option<i64> {
        self.due.map(|_| 1)
    }
}

/// Returns the record because of which a write changed nothing.
fn refusing(connection: &Connection, id: &OperationId) -> Result<Record, Failure> {
    load(connection, id.as_str())?.ok_or_else(|| Failure::Missing(id.clone()))
}

pub(super) fn load(connection: &Connection, id: &str) -> Result<Option<Record>, Failure> {
    let mut statement = connection.prepare_cached(LOAD)?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(decode).transpose()
}

fn decode(row: &Row<'_>) -> Result<Record, Failure> {
    let text = row
        .get_ref(1)?
        .as_bytes_or_null()
        .map_err(rusqlite::Error::from)?;
    match serde_json::from_slice(text.unwrap_or_default()) {
        Ok(record) => Ok(record),
        Err(error) => Err(Failure::Corrupt(row.get(0)?, error.into())),
    }
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    /// An index that an update opens for writing has its pages written for each change of an operation.
    #[test]
    fn an_update_of_an_open_record_touches_no_index_that_every_record_is_in() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let touched = |sql: &str| {
            let mut names = Vec::new();
            let mut program = connection.prepare(&format!("EXPLAIN {sql}")).unwrap();
            let mut steps = program.raw_query();
            while let Some(step) = steps.next().unwrap() {
                if step.get::<_, String>(1).unwrap() == "OpenWrite" {
                    let root: i64 = step.get(3).unwrap();
                    let sql =
                        "SELECT name FROM sqlite_schema WHERE rootpage = ? AND type = 'index'";
                    let name = connection.query_row(sql, [root], |row| row.get::<_, String>(0));
                    names.extend(name.optional().unwrap());
                }
            }
            names.sort();
            names
        };
        // The one by id is only looked up; the other two have only closed records.
        let by_id = "sqlite_autoindex_operations_1";
        let touched_while_open = ["operations_closed", "operations_closed_by_group", by_id];
        assert_eq!(touched(UPDATE_OPEN), touched_while_open);
        assert!(touched(UPDATE_CLOSED).contains(&"operations_open_newest".to_owned()));
    }
}
