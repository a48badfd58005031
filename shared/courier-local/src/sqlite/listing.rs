//! Reads pages of a client's records, newest first, and counts the open ones.
//!
//! A filtered page is merged from groups: all records of one client that have the same operation, status and status of
//! the callback (and the same reference, where the filter names one). An index holds each group in the order of the list,
//! so a page reads only the newest entries of a few dozen groups, however many records there are and however few match.

use courier_core::operation::{CALLBACK_STATUSES, OperationId, Outcome, STATUSES};
use courier_core::ports::{Filter, Page};
use rusqlite::{Connection, OptionalExtension, named_params};

use crate::sqlite::failure::Failure;
use crate::sqlite::schema::callback_status;
use crate::sqlite::store::load;

/// Most rounds of one page: a page behind many records that cannot be read ends early, with a cursor.
const MAX_ROUNDS: usize = 10;

const NEWEST: &str = "SELECT created_at, id FROM operations
    WHERE client = :client AND (created_at, id) < (:created, :after)
    ORDER BY created_at DESC, id DESC LIMIT :limit";
const NEXT_OPERATION: &str =
    "SELECT min(operation) FROM operations WHERE client = :client AND operation > :after";
const NEXT_OPERATION_OF_REFERENCE: &str = "SELECT min(operation) FROM operations
    WHERE client = :client AND reference = :reference AND operation > :after";
const COUNT: &str = concat!(
    "SELECT count(*) FROM (SELECT 1 FROM operations
    WHERE client = :client AND operation = :operation AND status = :status AND ",
    callback_status!(),
    " = :callback LIMIT :limit)"
);

macro_rules! newest_of_group {
    ($reference:literal) => {
        concat!(
            "SELECT created_at, id FROM operations WHERE client = :client ",
            $reference,
            " AND operation = :operation AND status = :status AND ",
            callback_status!(),
            " = :callback AND (created_at, id) < (:created, :after)
            ORDER BY created_at DESC, id DESC LIMIT :limit"
        )
    };
}
const NEWEST_OF_GROUP: &str = newest_of_group!("");
const NEWEST_OF_REFERENCE: &str = newest_of_group!("AND reference = :reference");

/// Returns the page that follows `after`.
///
/// Records that cannot be read are left out and counted.
pub(super) fn page(
    connection: &Connection,
    client: &str,
    filter: &Filter,
    mut after: Cursor,
    limit: usize,
) -> Result<Page, Failure> {
    // One snapshot for the positions and the records.
    let snapshot = connection.unchecked_transaction()?;
    let mut page = Page {
        records: Vec::new(),
        next: None,
        unreadable: 0,
    };
    for _ in 0..MAX_ROUNDS {
        let positions = positions(&snapshot, client, filter, &after, limit + 1)?;
        let last = positions.len() <= limit;
        for position in positions {
            if page.records.len() == limit {
                page.next = Some(after.text());
                return Ok(page);
            }
            match load(&snapshot, &position.id) {
                Ok(record) => page.records.extend(record),
                Err(Failure::Corrupt(..)) => page.unreadable += 1,
                Err(failure) => return Err(failure),
            }
            after = position;
        }
        if last {
            return Ok(page);
        }
    }
    page.next = Some(after.text());
    Ok(page)
}

/// Counts the client's records that are not closed, up to `at_most`.
pub(super) fn count_open(
    connection: &Connection,
    client: &str,
    at_most: usize,
) -> Result<usize, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let ended = |status: &str| Outcome::ALL.iter().any(|one| one.as_str() == status);
    let mut statement = snapshot.prepare_cached(COUNT)?;
    let mut left = at_most;
    for operation in operations(&snapshot, client, None)? {
        for status in STATUSES {
            for callback in CALLBACK_STATUSES {
                let is_owed = ["pending", "retrying"].contains(&callback);
                if left == 0 || (ended(status) && !is_owed) {
                    continue;
                }
                let found = statement.query_row(
                    named_params! {
                        ":client": client, ":operation": operation, ":status": status,
                        ":callback": callback, ":limit": sql_limit(left),
                    },
                    |row| row.get::<_, i64>(0),
                )?;
                left = left.saturating_sub(usize::try_from(found).unwrap_or(usize::MAX));
            }
        }
    }
    Ok(at_most - left)
}

/// Returns the first `limit` positions after `after`, newest first.
fn positions(
    connection: &Connection,
    client: &str,
    filter: &Filter,
    after: &Cursor,
    limit: usize,
) -> Result<Vec<Cursor>, Failure> {
    let all = [&filter.status, &filter.operation, &filter.reference];
    let reference = filter.reference.as_deref();
    if all.iter().all(|wish| wish.is_none()) && filter.callback.is_none() {
        let group = named_params! {
            ":client": client, ":created": after.created, ":after": after.id, ":limit": sql_limit(limit),
        };
        return read(connection, NEWEST, group);
    }
    let operations = match &filter.operation {
        Some(operation) => vec![operation.clone()],
        None => operations(connection, client, reference)?,
    };
    let mut found = Vec::new();
    for operation in &operations {
        for status in wanted(&STATUSES, filter.status.as_deref()) {
            for callback in callbacks(filter) {
                let after_id: &str = &after.id;
                let limit = sql_limit(limit);
                let mut group = named_params! {
                    ":client": client, ":operation": operation, ":status": status,
                    ":callback": callback, ":created": after.created, ":after": after_id,
                    ":limit": limit,
                }
                .to_vec();
                match &reference {
                    None => found.extend(read(connection, NEWEST_OF_GROUP, &group)?),
                    Some(reference) => {
                        group.push((":reference", reference));
                        found.extend(read(connection, NEWEST_OF_REFERENCE, &group)?);
                    }
                }
            }
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(limit);
    Ok(found)
}

/// Returns the values that a filter admits.
fn wanted<'a>(all: &'a [&'a str], wish: Option<&'a str>) -> impl Iterator<Item = &'a str> {
    all.iter()
        .copied()
        .filter(move |value| wish.is_none_or(|wish| wish == *value))
}

/// Returns the statuses of the callback that a filter admits, as `Record::matches_callback` does.
fn callbacks(filter: &Filter) -> impl Iterator<Item = &str> {
    let wish = filter.callback.as_deref();
    let is_wanted = move |status: &&str| {
        let finds_retrying = wish == Some("pending") && *status == "retrying";
        finds_retrying || wish.is_none_or(|wish| wish == *status)
    };
    CALLBACK_STATUSES.iter().copied().filter(is_wanted)
}

/// Returns the names of the operations that the client's records have, by one look into the index for each.
fn operations(
    connection: &Connection,
    client: &str,
    reference: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    loop {
        let after = names.last().map_or("", String::as_str);
        let next = match reference {
            None => connection.prepare_cached(NEXT_OPERATION)?.query_row(
                named_params! { ":client": client, ":after": after },
                |row| row.get::<_, Option<String>>(0),
            ),
            Some(reference) => connection
                .prepare_cached(NEXT_OPERATION_OF_REFERENCE)?
                .query_row(
                    named_params! { ":client": client, ":reference": reference, ":after": after },
                    |row| row.get::<_, Option<String>>(0),
                ),
        };
        match next.optional()?.flatten() {
            Some(name) => names.push(name),
            None => return Ok(names),
        }
    }
}

fn read(
    connection: &Connection,
    sql: &str,
    values: &[(&str, &dyn rusqlite::ToSql)],
) -> Result<Vec<Cursor>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| {
        Ok(Cursor {
            created: row.get(0)?,
            id: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The position of a record in its client's list: 16 hexadecimal digits of the time, then the bare id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    created: i64,
    id: String,
}

impl Cursor {
    /// Returns the position before the newest record: `~` sorts after every id.
    pub(super) fn start() -> Self {
        Self {
            created: i64::MAX,
            id: "~".to_owned(),
        }
    }

    fn text(&self) -> String {
        format!("{:016x}{}", self.created, self.id.trim_start_matches("op_"))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    /// However many records there are, a query then reads only the entries that it returns.
    #[test]
    fn every_query_of_a_list_finds_its_entries_in_one_index_and_in_order() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let group = "operation=? AND status=? AND <expr>=?";
        for (sql, index, terms) in [
            (
                NEWEST,
                "operations_newest",
                "client=? AND (created_at,id)<(?,?)",
            ),
            (NEWEST_OF_GROUP, "operations_by_group", group),
            (COUNT, "operations_by_group", group),
            (NEWEST_OF_REFERENCE, "operations_of_reference", group),
            (NEXT_OPERATION, "operations_by_group", "operation>?"),
            (
                NEXT_OPERATION_OF_REFERENCE,
                "operations_of_reference",
                "reference=? AND operation>?",
            ),
        ] {
            let mut plan = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let (mut rows, mut steps) = (plan.raw_query(), Vec::new());
            while let Some(row) = rows.next().unwrap() {
                steps.push(row.get::<_, String>(3).unwrap());
            }
            let text = steps.join("; ");
            assert!(text.contains(&format!("INDEX {index} (")), "{sql}: {text}");
            assert!(text.contains(terms), "{sql}: {text}");
            assert!(!text.contains("B-TREE"), "{sql}: {text}");
        }
    }
}
