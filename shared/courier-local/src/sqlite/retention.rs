//! Deletes old records, and gives the space that they held back to the file system.

use rusqlite::{Connection, params};

use crate::sqlite::failure::Failure;

const FORGET: &str = "DELETE FROM operations WHERE id IN
    (SELECT id FROM operations WHERE due_at IS NULL AND ended_at < ? ORDER BY ended_at LIMIT ?)";
/// Most pages that are given back at a time, so that no other write waits long.
const MAX_RETURNED_PAGES: i64 = 256;
/// One page in this many stays free for the next records.
const SPARE_SHARE: i64 = 20;

pub(super) fn forget(connection: &Connection, before: i64, limit: i64) -> Result<usize, Failure> {
    let mut statement = connection.prepare_cached(FORGET)?;
    Ok(statement.execute(params![before, limit])?)
}

/// Shortens the file by some of its free pages, if it has many.
///
/// A file that was created by a version without incremental vacuum keeps its length.
pub(super) fn give_back(connection: &Connection) -> Result<(), Failure> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let spare = number("page_count")? / SPARE_SHARE;
    let surplus = number("freelist_count")? - spare;
    if surplus <= 0 {
        return Ok(());
    }
    let pages = surplus.min(MAX_RETURNED_PAGES);
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
