//! Reads pages of a client's records, newest first, and counts the open ones.
//!
//! Closed records are most of a file. A filtered page of them is merged from groups: all closed records of one client that
//! have the same operation, status and status of the callback. An index holds each group in the order of the list, so a
//! page reads only the newest entries of a few dozen groups, however many records there are and however few match.
//!
//! Open records change too often to be kept in groups. They, and those of one reference, are looked through in the order
//! of the list, a bounded number for each page: a page with more to look through ends early, with a cursor.

use courier_core::operation::{CALLBACK_STATUSES, STATUSES};
use courier_core::ports::{Filter, OPEN, Order, Page, Position};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, ToSql, named_params};

use crate::sqlite::database::nanoseconds;
use crate::sqlite::failure::Failure;
use crate::sqlite::schema::{any_callback_status, callback_status};
use crate::sqlite::store::load;

/// Most rounds of one page: a page behind many records that cannot be read, or do not match, ends early, with a cursor.
const MAX_ROUNDS: usize = 10;
/// Most records that are looked through in one round.
const LOOKED_THROUGH: usize = 500;

const NEWEST: &str = "SELECT created_at, id, 1 FROM operations
    WHERE client = :client AND (created_at, id) < (:created, :after)
    ORDER BY created_at DESC, id DESC LIMIT :limit";
const NEXT_OPERATION: &str = "SELECT min(operation) FROM operations
    WHERE client = :client AND due_at IS NULL AND operation > :after";
const COUNT_OPEN: &str = "SELECT count(*) FROM
    (SELECT 1 FROM operations INDEXED BY operations_open_newest
    WHERE client = :client AND open IS NOT NULL LIMIT :limit)";
const NEWEST_OF_GROUP: &str = concat!(
    "SELECT created_at, id, 1 FROM operations
    WHERE client = :client AND due_at IS NULL AND operation = :operation AND status = :status AND ",
    callback_status!(),
    " = :callback AND (created_at, id) < (:created, :after)
    ORDER BY created_at DESC, id DESC LIMIT :limit"
);

/// Looks through records in the order of the list and says of each whether it matches; the stored JSON is read last.
macro_rules! look_through {
    ($among:literal, $time:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $time,
            ", id, CASE
                WHEN operation <> :operation OR status <> nullif(:status, 'open') THEN 0
                WHEN reference IS NOT coalesce(:reference, reference) THEN 0
                WHEN person IS NOT coalesce(:person, person) THEN 0
                WHEN :status = 'open' AND status NOT IN ('accepted', 'starting', 'running') THEN 0
                WHEN :callback IS NULL THEN 1
                ELSE ",
            any_callback_status!(),
            " IN (:callback, CASE :callback WHEN 'pending' THEN 'retrying' ELSE :callback END) END
            FROM operations WHERE client = :client AND ",
            $among,
            $order,
        )
    };
    ($among:literal) => {
        look_through!(
            $among,
            "created_at",
            " AND (created_at, id) < (:created, :after) ORDER BY created_at DESC, id DESC LIMIT :limit"
        )
    };
}
const LOOK_THROUGH_OPEN: &str = look_through!("open IS NOT NULL");
const LOOK_THROUGH_REFERENCE: &str = look_through!("reference = :reference");
const LOOK_THROUGH_PERSON: &str = look_through!("person = :person");
const LOOK_THROUGH_DEADLINES: &str = look_through!(
    "open IS NOT NULL",
    "deadline",
    " AND (deadline, id) > (:created, :after) ORDER BY deadline, id LIMIT :limit"
);
const LOOK_THROUGH_DUE: &str = look_through!(
    "open IS NOT NULL AND legal_due IS NOT NULL",
    "legal_due",
    " AND (legal_due, id) > (:created, :after) ORDER BY legal_due, id LIMIT :limit"
);

/// Returns the page that follows `after`.
///
/// Records that cannot be read are left out and counted.
pub(super) fn page(
    connection: &Connection,
    client: &str,
    filter: &Filter,
    limit: usize,
) -> Result<Page, Failure> {
    let mut after = Cursor::of(&filter.start());
    // One snapshot for the positions and the records.
    let snapshot = connection.unchecked_transaction()?;
    let mut page = Page {
        records: Vec::new(),
        next: None,
        unreadable: 0,
    };
    for _ in 0..MAX_ROUNDS {
        let found = positions(&snapshot, client, filter, &after, limit + 1)?;
        for position in found.positions {
            if filter.ends_before(&position.position()) {
                return Ok(page);
            }
            if page.records.len() == limit {
                page.next = Some(after.position());
                return Ok(page);
            }
            match load(&snapshot, &position.id) {
                Ok(record) => page.records.extend(record),
                Err(Failure::Corrupt(..)) => page.unreadable += 1,
                Err(failure) => return Err(failure),
            }
            after = position;
        }
        match found.more_after {
            Some(position) if !filter.ends_before(&position.position()) => after = position,
            Some(_) | None => return Ok(page),
        }
    }
    page.next = Some(after.position());
    Ok(page)
}

/// Counts the client's records that are not closed, up to `at_most`.
pub(super) fn count_open(
    connection: &Connection,
    client: &str,
    at_most: usize,
) -> Result<usize, Failure> {
    let limits = named_params! { ":client": client, ":limit": sql_limit(at_most) };
    let mut statement = connection.prepare_cached(COUNT_OPEN)?;
    let count = statement.query_row(limits, |row| row.get::<_, i64>(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The positions of records that match a filter, newest first.
struct Found {
    positions: Vec<Cursor>,
    /// The position up to which all of them were found; `None` if there are no more behind it.
    more_after: Option<Cursor>,
}

/// Returns the first `limit` positions after `after`, or fewer if too many records do not match.
fn positions(
    connection: &Connection,
    client: &str,
    filter: &Filter,
    after: &Cursor,
    limit: usize,
) -> Result<Found, Failure> {
    let place = named_params! { ":client": client, ":created": after.at, ":after": after.id };
    // A list by urgency has operations without an outcome only.
    let open = filter.order.is_by_urgency().then(|| OPEN.to_owned());
    let status = filter.status.clone().or(open);
    let wishes = named_params! {
        ":operation": filter.operation, ":status": status, ":callback": filter.callback,
        ":reference": filter.reference, ":person": filter.person,
    };
    let among = match (filter.order, &filter.person, &filter.reference) {
        (Order::Deadline, ..) => Some(LOOK_THROUGH_DEADLINES),
        (Order::Due, ..) => Some(LOOK_THROUGH_DUE),
        (Order::Created, Some(_), _) => Some(LOOK_THROUGH_PERSON),
        (Order::Created, None, Some(_)) => Some(LOOK_THROUGH_REFERENCE),
        (Order::Created, None, None) => None,
    };
    if let Some(among) = among {
        return look_through(connection, among, &[place, wishes].concat(), limit);
    }
    let is_filtered =
        filter.status.is_some() || filter.operation.is_some() || filter.callback.is_some();
    if !is_filtered {
        let positions = matching(connection, NEWEST, place, limit, limit)?.0;
        return Ok(Found::all(positions, limit));
    }
    let mut found = look_through(
        connection,
        LOOK_THROUGH_OPEN,
        &[place, wishes].concat(),
        limit,
    )?;
    let operations = match &filter.operation {
        Some(operation) => vec![operation.clone()],
        None => operations(connection, client)?,
    };
    for operation in &operations {
        for status in wanted(&STATUSES, filter.status.as_deref()) {
            for callback in callbacks(filter) {
                let group = named_params! {
                    ":operation": operation, ":status": status, ":callback": callback,
                };
                let group = [place, group].concat();
                let newest = matching(connection, NEWEST_OF_GROUP, &group, limit, limit)?.0;
                found.positions.extend(newest);
            }
        }
    }
    Ok(found.in_order(limit))
}

impl Found {
    /// Of positions that are all there are unless there are `limit` of them.
    fn all(positions: Vec<Cursor>, limit: usize) -> Self {
        let last = (positions.len() >= limit).then(|| positions.last().cloned());
        Self {
            more_after: last.flatten(),
            positions,
        }
    }

    /// Sorts what was found in several places, and leaves out what may come behind something that was not found.
    fn in_order(self, limit: usize) -> Self {
        let Self {
            mut positions,
            more_after,
        } = self;
        positions.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(end) = &more_after {
            positions.retain(|position| position >= end);
        }
        positions.truncate(limit);
        let cut = Self::all(positions, limit);
        Self {
            more_after: cut.more_after.or(more_after),
            ..cut
        }
    }
}

/// Looks through records until `limit` match.
fn look_through(
    connection: &Connection,
    sql: &str,
    values: &[(&str, &dyn ToSql)],
    limit: usize,
) -> Result<Found, Failure> {
    let (positions, last) = matching(connection, sql, values, limit, LOOKED_THROUGH)?;
    Ok(Found {
        positions,
        more_after: last,
    })
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

/// Returns the names of the operations that the client's closed records have, by one look into the index for each.
fn operations(connection: &Connection, client: &str) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    let mut statement = connection.prepare_cached(NEXT_OPERATION)?;
    loop {
        let after = names.last().map_or("", String::as_str);
        let place = named_params! { ":client": client, ":after": after };
        let next = statement.query_row(place, |row| row.get::<_, Option<String>>(0));
        match next.optional()?.flatten() {
            Some(name) => names.push(name),
            None => return Ok(names),
        }
    }
}

/// Returns the first `limit` matching positions among `rows` rows, and the last row's if there may be more behind it.
fn matching(
    connection: &Connection,
    sql: &str,
    values: &[(&str, &dyn ToSql)],
    limit: usize,
    rows: usize,
) -> Result<(Vec<Cursor>, Option<Cursor>), Failure> {
    let row_limit = sql_limit(rows);
    let row_limit: &[(&str, &dyn ToSql)] = named_params! { ":limit": row_limit };
    let values = [values, row_limit].concat();
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(values.as_slice())?;
    let (mut positions, mut last, mut count) = (Vec::new(), None, 0);
    while let Some(row) = found.next()? {
        let position = Cursor {
            at: row.get(0)?,
            id: row.get(1)?,
        };
        count += 1;
        if row.get::<_, bool>(2)? {
            positions.push(position.clone());
        }
        last = Some(position);
        if positions.len() == limit {
            return Ok((positions, last));
        }
    }
    Ok((positions, last.filter(|_| count == rows)))
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A position in a list as the table has it: nanoseconds since 1970, then the id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    at: i64,
    id: String,
}

impl Cursor {
    fn of(position: &Position) -> Self {
        Self {
            at: nanoseconds(position.at),
            id: position.id.clone(),
        }
    }

    fn position(&self) -> Position {
        let at = Timestamp::from_nanosecond(self.at.into());
        Position::new(at.unwrap_or_default(), &self.id)
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
        let order = "client=? AND (created_at,id)<(?,?)";
        for (sql, index, terms) in [
            (NEWEST, "operations_newest", order),
            (LOOK_THROUGH_OPEN, "operations_open_newest", order),
            (COUNT_OPEN, "operations_open_newest", "client=?"),
            (
                NEWEST_OF_GROUP,
                "operations_closed_by_group",
                "operation=? AND status=? AND <expr>=?",
            ),
            (
                LOOK_THROUGH_REFERENCE,
                "operations_newest_of_reference",
                "client=? AND reference=? AND (created_at,id)<(?,?)",
            ),
            (NEXT_OPERATION, "operations_closed_by_group", "operation>?"),
            (
                LOOK_THROUGH_PERSON,
                "operations_newest_of_person",
                "client=? AND person=? AND (created_at,id)<(?,?)",
            ),
            (
                LOOK_THROUGH_DEADLINES,
                "operations_open_by_deadline",
                "client=? AND (deadline,id)>(?,?)",
            ),
            (
                LOOK_THROUGH_DUE,
                "operations_open_by_legal_due",
                "client=? AND (legal_due,id)>(?,?)",
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
