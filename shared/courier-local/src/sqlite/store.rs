//! The `Store` port. A record and the message that must follow it are written in the same transaction.

use std::sync::Arc;

use async_trait::async_trait;
use courier_core::operation::message::Message;
use courier_core::operation::{OperationId, Record, State};
use courier_core::ports::{Document, Filter, Page, Store, StoreError, Write};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use crate::sqlite::database::{Database, nanoseconds};
use crate::sqlite::failure::Failure;
use crate::sqlite::queue::{self, Entry};

/// Upper bound of the records that one call returns.
const MAX_RECORDS_PER_CALL: usize = 1000;

const INSERT: &str = "INSERT INTO operations
    (id, client, operation, reference, status, created_at, due_at, ended_at, revision, record)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
const UPDATE: &str = "UPDATE operations
    SET status = :status, due_at = :due, ended_at = :ended, revision = :revision, record = :record
    WHERE id = :id AND revision = :revision - 1";
const LOAD: &str = "SELECT id, record FROM operations WHERE id = ?";
const OVERDUE: &str = "SELECT id, record FROM operations WHERE due_at < ? ORDER BY due_at";
const FORGET: &str = "DELETE FROM operations WHERE id IN
    (SELECT id FROM operations WHERE due_at IS NULL AND ended_at < ? ORDER BY ended_at LIMIT ?) RETURNING id";
/// The clause about `callback` repeats `Record::matches_callback` for a stored record.
macro_rules! list {
    ($reference:literal) => {
        concat!(
            "SELECT id, record FROM operations WHERE client = :client ",
            $reference,
            " AND (created_at, id) < (:created, :id)
            AND (:status IS NULL OR status = :status) AND (:operation IS NULL OR operation = :operation)
            AND (:callback IS NULL OR :callback = CASE
                WHEN record ->> '$.callback' IS NULL THEN 'none'
                WHEN record ->> '$.state.how' IN ('delivered', 'undeliverable') THEN record ->> '$.state.how'
                ELSE 'pending' END
                OR (:callback = 'retrying' AND record ->> '$.callback' IS NOT NULL
                    AND record ->> '$.state.name' = 'ended' AND record ->> '$.delivery.scheduledAttempts' > 0))
            ORDER BY created_at DESC, id DESC LIMIT :limit"
        )
    };
}
const LIST: &str = list!("");
const LIST_REFERENCE: &str = list!("AND reference = :reference");

#[async_trait]
impl Store for Database {
    async fn insert(&self, record: &Record) -> Result<Write, StoreError> {
        let columns = Columns::of(record)?;
        let mine = record.clone();
        let write = self
            .write(move |connection| {
                if columns.insert(connection)? == 0 {
                    return refused(connection, &mine);
                }
                if let Some(owed) = &columns.owed {
                    owed.send(connection)?;
                }
                Ok(Write::Applied)
            })
            .await?;
        self.announce_owed(record);
        Ok(write)
    }

    async fn load(&self, id: &OperationId) -> Result<Option<Record>, StoreError> {
        let id = id.clone();
        Ok(self.read(move |connection| load(connection, &id)).await?)
    }

    async fn load_many(&self, ids: &[OperationId]) -> Result<Vec<Record>, StoreError> {
        let ids = ids.to_vec();
        let records = self.read(move |connection| {
            let found = ids
                .iter()
                .map(|id| load(connection, id))
                .filter_map(Result::transpose);
            Ok(found.filter_map(Result::ok).collect())
        });
        Ok(records.await?)
    }

    async fn update(&self, record: &Record) -> Result<Write, StoreError> {
        let columns = Columns::of(record)?;
        let mine = record.clone();
        let write = self
            .write(move |connection| {
                if columns.update(connection)? == 0 {
                    return refused(connection, &mine);
                }
                match &columns.owed {
                    Some(owed) if matches!(mine.state, State::Running { .. }) => {
                        owed.send_after_watchdog(connection)?;
                    }
                    Some(owed) => owed.send_if_none(connection)?,
                    None => queue::remove(connection, columns.id.as_str())?,
                }
                queue::set_flow(connection, columns.id.as_str())?;
                Ok(Write::Applied)
            })
            .await?;
        self.announce_owed(record);
        Ok(write)
    }

    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Vec<Record>, StoreError> {
        let before = nanoseconds(before);
        let records = self.read(move |connection| {
            let mut statement = connection.prepare_cached(OVERDUE)?;
            let mut rows = statement.query([before])?;
            let mut records = Vec::new();
            while records.len() < limit.min(MAX_RECORDS_PER_CALL) {
                let Some(row) = rows.next()? else { break };
                // One unreadable record must not hide the less overdue ones from the sweep.
                match decode(row) {
                    Err(Failure::Corrupt(id, _)) => {
                        tracing::error!(operation.id = %id, "an overdue record cannot be read; skipping it");
                    }
                    record => records.push(record?),
                }
            }
            Ok(records)
        });
        Ok(records.await?)
    }

    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError> {
        let after = match &filter.cursor {
            Some(text) => Cursor::parse(text).ok_or(StoreError::BadCursor)?,
            None => Cursor::start(),
        };
        let limit = filter.limit.clamp(1, MAX_RECORDS_PER_CALL);
        let (client, filter) = (client.to_owned(), filter.clone());
        let mut records = self
            .read(move |connection| list(connection, &client, &filter, &after, limit + 1))
            .await?;
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records
            .last()
            .filter(|_| more)
            .map(|last| Cursor::at(last).text());
        Ok(Page { records, next })
    }

    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let before = nanoseconds(before);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let forgotten = self.write(move |connection| {
            let mut statement = connection.prepare_cached(FORGET)?;
            let ids = statement.query_map(params![before, limit], |row| row.get::<_, String>(0))?;
            let ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
            for id in &ids {
                queue::remove(connection, id)?;
            }
            Ok(ids.len())
        });
        Ok(forgotten.await?)
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
        let sql = "SELECT count(*) FROM operations WHERE due_at IS NOT NULL";
        let count = self.read(move |connection| {
            let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        });
        Ok(count.await?)
    }

    fn announce_owed(&self, record: &Record) {
        if let Some((_, due)) = Message::owed(record) {
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
    status: &'static str,
    created: i64,
    due: Option<i64>,
    ended: Option<i64>,
    revision: i64,
    record: String,
    owed: Option<Entry>,
}

impl Columns {
    fn of(record: &Record) -> Result<Self, Failure> {
        let text =
            serde_json::to_string(record).map_err(|error| Failure::Unstorable(Arc::new(error)))?;
        let owed = Message::owed(record).map(|(message, due)| Entry::new(&message, due));
        Ok(Self {
            id: record.id.clone(),
            client: record.client.clone(),
            operation: record.operation.clone(),
            reference: record.reference.clone(),
            status: record.state.status(),
            created: nanoseconds(record.created_at),
            due: record.due_at.map(nanoseconds),
            ended: record.ended_at.map(nanoseconds),
            revision: record.revision.cast_signed(),
            record: text,
            owed: owed.transpose()?,
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
        ])
    }

    fn update(&self, connection: &Connection) -> rusqlite::Result<usize> {
        connection.prepare_cached(UPDATE)?.execute(named_params! {
            ":id": self.id.as_str(),
            ":status": self.status,
            ":due": self.due,
            ":ended": self.ended,
            ":revision": self.revision,
            ":record": self.record,
        })
    }
}

fn refused(connection: &Connection, mine: &Record) -> Result<Write, Failure> {
    let current = load(connection, &mine.id)?.ok_or_else(|| Failure::Missing(mine.id.clone()))?;
    Ok(Write::settle(mine, current))
}

fn load(connection: &Connection, id: &OperationId) -> Result<Option<Record>, Failure> {
    let mut statement = connection.prepare_cached(LOAD)?;
    let mut rows = statement.query([id.as_str()])?;
    rows.next()?.map(decode).transpose()
}

fn list(
    connection: &Connection,
    client: &str,
    filter: &Filter,
    after: &Cursor,
    limit: usize,
) -> Result<Vec<Record>, Failure> {
    let sql = if filter.reference.is_some() {
        LIST_REFERENCE
    } else {
        LIST
    };
    let mut statement = connection.prepare_cached(sql)?;
    statement.raw_bind_parameter(1, client)?;
    let mut bind =
        |name: &str, value: &dyn rusqlite::ToSql| match statement.parameter_index(name)? {
            Some(index) => statement.raw_bind_parameter(index, value),
            None => Ok(()),
        };
    bind(":reference", &filter.reference)?;
    bind(":created", &after.created)?;
    bind(":id", &after.id)?;
    bind(":status", &filter.status)?;
    bind(":operation", &filter.operation)?;
    bind(":callback", &filter.callback)?;
    bind(":limit", &i64::try_from(limit).unwrap_or(i64::MAX))?;
    let mut rows = statement.raw_query();
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(decode(row)?);
    }
    Ok(records)
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

/// The position of a record in its client's list: 16 hexadecimal digits of the time, then the bare id.
struct Cursor {
    created: i64,
    id: String,
}

impl Cursor {
    /// Returns the position before the newest record: `~` sorts after every id.
    fn start() -> Self {
        Self {
            created: i64::MAX,
            id: "~".to_owned(),
        }
    }

    fn at(record: &Record) -> Self {
        Self {
            created: nanoseconds(record.created_at),
            id: record.id.as_str().to_owned(),
        }
    }

    fn text(&self) -> String {
        format!("{:016x}{}", self.created, self.id.trim_start_matches("op_"))
    }

    fn parse(text: &str) -> Option<Self> {
        let (created, id) = text.split_at_checked(16)?;
        let id = OperationId::parse(&format!("op_{id}"))?;
        let created = u64::from_str_radix(created, 16).ok()?.cast_signed();
        let cursor = Self {
            created,
            id: id.into(),
        };
        (cursor.text() == text).then_some(cursor)
    }
}
