//! Counts the undeliverable completions, by the index in which closed records are grouped.

use courier_core::ports::StoreError;
use rusqlite::{Connection, OptionalExtension, named_params};

use crate::sqlite::database::Database;
use crate::sqlite::failure::Failure;
use crate::sqlite::schema::callback_status;

/// The first group after another: by one look into the index, however many records are in between.
const NEXT_GROUP: &str = "SELECT client, operation, status FROM operations
    WHERE due_at IS NULL AND (client, operation, status) > (:client, :operation, :status)
    ORDER BY client, operation, status LIMIT 1";
const COUNT_UNDELIVERABLE: &str = concat!(
    "SELECT count(*) FROM operations
    WHERE client = :client AND due_at IS NULL AND operation = :operation AND status = :status AND ",
    callback_status!(),
    " = 'undeliverable'"
);

impl Database {
    /// Returns the number of completions that were given up and are kept.
    ///
    /// It reads the index entries of those, and one for each client, operation and status.
    pub async fn count_undeliverable(&self) -> Result<u64, StoreError> {
        Ok(self.read(undeliverable).await?)
    }
}

fn undeliverable(connection: &Connection) -> Result<u64, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let mut next = snapshot.prepare_cached(NEXT_GROUP)?;
    let mut count = snapshot.prepare_cached(COUNT_UNDELIVERABLE)?;
    let (mut group, mut sum) = ([const { String::new() }; 3], 0);
    loop {
        let [client, operation, status] = &group;
        let after = named_params! { ":client": client, ":operation": operation, ":status": status };
        let found = next.query_row(after, |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]));
        let Some(found) = found.optional()? else {
            return Ok(sum);
        };
        group = found;
        let [client, operation, status] = &group;
        let this = named_params! { ":client": client, ":operation": operation, ":status": status };
        sum += count
            .query_row(this, |row| row.get::<_, i64>(0))?
            .unsigned_abs();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    #[test]
    fn the_count_reads_only_the_entries_that_it_needs() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        for (sql, terms) in [
            (NEXT_GROUP, "(client,operation,status)>(?,?,?)"),
            (COUNT_UNDELIVERABLE, "operation=? AND status=? AND <expr>=?"),
        ] {
            let plan = format!("EXPLAIN QUERY PLAN {sql}");
            let mut plan = connection.prepare(&plan).unwrap();
            let (mut rows, mut steps) = (plan.raw_query(), Vec::new());
            while let Some(row) = rows.next().unwrap() {
                steps.push(row.get::<_, String>(3).unwrap());
            }
            let text = steps.join("; ");
            assert!(
                text.contains("INDEX operations_closed_by_group ("),
                "{text}"
            );
            assert!(text.contains(terms), "{text}");
            assert!(!text.contains("B-TREE"), "{text}");
        }
    }
}
