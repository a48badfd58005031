//! The database file: opening it, explaining why it cannot be opened, and passing work to its threads.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use courier_core::catalogue::Catalogue;
use courier_core::engine::histogram::Histogram;
use courier_core::lifecycle::resuming::resume;
use courier_core::operation::Record;
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{Notify, watch};

use crate::metrics::census::Census;
use crate::sqlite::connection_threads::{self, ConnectionThreads};
use crate::sqlite::failure::Failure;
use crate::sqlite::identity::Identity;
use crate::sqlite::last_seen;
use crate::sqlite::permissions;
use crate::sqlite::schema::{self, MigrationError};
use crate::timetable::Timetable;

const WRITER_CACHE_KIB: i64 = 2048;
const READER_CACHE_KIB: i64 = 512;
/// Number of threads that read, so that a long page of one client leaves the others' calls alone.
const READERS: usize = 4;
const PREPARED_STATEMENT_CAPACITY: usize = 32;
const WAL_SWITCH_ATTEMPTS: u32 = 100;
/// Size of a page of a new file. A commit writes whole pages, and a record with its index entries fills few of them.
///
/// With 4 KiB an operation writes a quarter more; with 1 KiB the copying of the log into the file writes more.
const PAGE_BYTES: i64 = 2048;
/// Length of the write-ahead log at which it is copied into the file; a page that many commits wrote is copied once.
///
/// It is also the size to which a log that grew in a burst is truncated.
const WAL_BYTES: i64 = 16 << 20;

/// Bounds in seconds: in time, a busy moment, a worker that does not keep up, one that stood still.
const LATENESS_BOUNDS: [f64; 10] = [0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// Records in one SQLite file (WAL, synchronous=FULL), and the messages of the open ones in memory.
///
/// Clones share the connections. Several processes may write to one file, but only one may handle messages
/// ([`ServingLock`](crate::ServingLock)): none knows of the others' messages. The threads end when the last clone is dropped or
/// with `close`.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    writer: ConnectionThreads,
    readers: ConnectionThreads,
    died: watch::Receiver<bool>,
    commits: Arc<AtomicU64>,
    timetable: Arc<Timetable>,
    census: Arc<Census>,
    lateness: Mutex<Histogram>,
    /// The time until which the worker sleeps, in nanoseconds since 1970; `i64::MAX` while it is awake.
    asleep_until: AtomicI64,
    earlier: Notify,
}

#[derive(Debug, Clone)]
pub struct Options {
    /// Time that a write waits for another process that is writing.
    pub busy_timeout: Duration,
    /// Upper bound of the file, in pages of 2 KiB; beyond it writes are refused as on a full disk.
    pub max_pages: Option<u32>,
    /// The operations by which the times of polls are computed again after a start.
    pub catalogue: &'static Catalogue,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            max_pages: None,
            catalogue: Catalogue::shipped(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the directory of the data file {} does not exist", .0.display())]
    MissingDirectory(PathBuf),
    #[error("no file can be made in the directory of the data file {}", .0.display())]
    UnusableDirectory(PathBuf, #[source] std::io::Error),
    #[error("the data file {} cannot be opened", .0.display())]
    Unusable(PathBuf, #[source] rusqlite::Error),
    #[error("the data file {} cannot be written", .0.display())]
    ReadOnly(PathBuf, #[source] rusqlite::Error),
    #[error("{} is not a data file of this program", .0.display())]
    Foreign(PathBuf),
    #[error("the data file {} has version {found}, this program knows up to {known}: use a newer program", path.display())]
    Newer {
        path: PathBuf,
        found: usize,
        known: usize,
    },
    #[error("the data file {} or its log disappeared while it was opened", .0.display())]
    Gone(PathBuf, #[source] std::io::Error),
    #[error("a thread for the data file {} cannot be started", .0.display())]
    Thread(PathBuf, #[source] std::io::Error),
}

impl Database {
    /// Opens the file, and creates or migrates it where needed. Blocks the calling thread.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, &Options::default())
    }

    pub fn open_with(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let classify = |error| classify(path, error);
        permissions::create_private_file(path);
        let mut writer = connect(path, options).map_err(classify)?;
        format_new(&writer).map_err(classify)?;
        schema::migrate(&mut writer).map_err(|error| match error {
            MigrationError::Sqlite(error) => classify(error),
            MigrationError::Foreign => OpenError::Foreign(path.to_owned()),
            MigrationError::Newer(found) => OpenError::Newer {
                path: path.to_owned(),
                found,
                known: schema::VERSION,
            },
        })?;
        prepare_writer(&writer, options).map_err(classify)?;
        permissions::warn_if_wider(path);
        let reader = || {
            let reader = connect(path, options)?;
            prepare_reader(&reader)?;
            Ok(reader)
        };
        let census = Census::default();
        let timetable = timetable_of(&writer, options.catalogue, &census).map_err(classify)?;
        let readers: rusqlite::Result<Vec<_>> = (0..READERS).map(|_| reader()).collect();
        let readers = readers.map_err(classify)?;
        let files = Identity::of(path).map_err(|error| OpenError::Gone(path.to_owned(), error))?;
        let files = Arc::new(files);

        let commits = Arc::new(AtomicU64::new(0));
        let (deaths, died) = watch::channel(false);
        let deaths = Arc::new(deaths);
        let thread = |error| OpenError::Thread(path.to_owned(), error);
        Ok(Self(Arc::new(Inner {
            writer: connection_threads::start_writer(writer, &files, Arc::clone(&commits), &deaths)
                .map_err(thread)?,
            readers: connection_threads::start_readers(readers, &files, &deaths).map_err(thread)?,
            died,
            commits,
            timetable: Arc::new(timetable),
            census: Arc::new(census),
            lateness: Mutex::new(Histogram::new(&LATENESS_BOUNDS)),
            asleep_until: AtomicI64::new(i64::MAX),
            earlier: Notify::new(),
        })))
    }

    /// Finishes the writes already submitted and closes the file; later calls of any clone get `Unavailable`.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }

    /// Completes when a thread of the file has died of a panic: this process can then no longer do its work.
    pub async fn thread_died(&self) {
        let mut died = self.0.died.clone();
        if died.wait_for(|died| *died).await.is_err() {
            // All threads have ended in order, so none will die.
            std::future::pending::<()>().await;
        }
    }

    /// Returns the number of durable transactions so far; concurrent writes share one, so there are fewer than writes.
    pub fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::Relaxed)
    }

    /// Runs `work` in a transaction of the writer thread; it may run again after a rollback.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.0.writer.call(work).await
    }

    pub(crate) async fn read<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.0.readers.call(work).await
    }

    /// Does as `write` does, and `done` once the result is durable, even if nobody waits for it any more.
    pub(crate) async fn write_then<T, W, D>(&self, work: W, done: D) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
        D: FnOnce(&T) + Send + 'static,
    {
        self.0.writer.call_then(work, done).await
    }

    pub(crate) fn timetable(&self) -> &Arc<Timetable> {
        &self.0.timetable
    }

    pub(crate) fn census(&self) -> &Arc<Census> {
        &self.0.census
    }

    /// Returns the histogram of how late steps began.
    pub(crate) fn lateness(&self) -> MutexGuard<'_, Histogram> {
        let lateness = self.0.lateness.lock();
        lateness.unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the worker if it sleeps beyond `due`.
    pub(crate) fn announce(&self, due: Timestamp) {
        if nanoseconds(due) < self.0.asleep_until.load(Ordering::SeqCst) {
            self.0.earlier.notify_one();
        }
    }

    /// Sets which announcements wake `earlier`: those due before `until`, or all if there is none.
    pub(crate) fn asleep_until(&self, until: Option<Timestamp>) {
        let until = until.map_or(i64::MAX, nanoseconds);
        self.0.asleep_until.store(until, Ordering::SeqCst);
    }

    /// Completes when something was announced that is due before the end of the worker's sleep.
    pub(crate) async fn earlier(&self) {
        self.0.earlier.notified().await;
    }
}

/// Makes the timetable of the open operations, and the census, from their records.
///
/// A record that cannot be read gets no message; the sweeper finds it overdue and reports it.
fn timetable_of(
    connection: &Connection,
    catalogue: &Catalogue,
    census: &Census,
) -> rusqlite::Result<Timetable> {
    let timetable = Timetable::default();
    let seen = last_seen::read(connection)?;
    let mut statement =
        connection.prepare("SELECT record FROM operations WHERE open IS NOT NULL")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let record = row.get_ref(0)?.as_bytes().unwrap_or_default();
        let Ok(record) = serde_json::from_slice::<Record>(record) else {
            continue;
        };
        census.note(&record.id, census.facts(&record));
        if let Some((message, due)) = resume(&record, catalogue, seen.as_ref()) {
            timetable.resume(&record, message, due);
        }
    }
    Ok(timetable)
}

fn connect(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENT_CAPACITY);
    Ok(connection)
}

/// Gives a file that is still empty its page size, and makes it one that can give free pages back; `retention` does so.
fn format_new(connection: &Connection) -> rusqlite::Result<()> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if pages == 0 {
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    Ok(())
}

fn prepare_writer(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    let keep = |_: &rusqlite::Row<'_>| Ok(());
    use_write_ahead_log(connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // What is erased is overwritten with zeros.
    connection.pragma_update_and_check(None, "secure_delete", true, keep)?;
    let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = WAL_BYTES / page.max(1);
    connection.pragma_update_and_check(None, "wal_autocheckpoint", pages, keep)?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES, keep)?;
    if let Some(pages) = options.max_pages {
        connection.pragma_update_and_check(None, "max_page_count", pages, keep)?;
    }
    Ok(())
}

/// Switches to the write-ahead log.
///
/// SQLite refuses the switch at once while another process uses the file, so each attempt is followed by a wait for the
/// write lock.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    let attempt = || {
        connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))
    };
    for _ in 1..WAL_SWITCH_ATTEMPTS {
        match attempt() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                connection.execute_batch("BEGIN EXCLUSIVE; ROLLBACK")?;
            }
            switched => return switched.map(drop),
        }
    }
    attempt().map(drop)
}

fn prepare_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true)?;
    // The first read opens the write-ahead log, and creates it where there is none.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

pub(crate) fn classify(path: &Path, error: rusqlite::Error) -> OpenError {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let owned = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign(owned),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            OpenError::ReadOnly(owned, error)
        }
        Some(ErrorCode::CannotOpen) if directory.is_some_and(|directory| !directory.is_dir()) => {
            OpenError::MissingDirectory(owned)
        }
        // SQLite does not give the reason: the disk may be full or read-only, or permissions may be missing.
        Some(ErrorCode::CannotOpen) => match probe_directory(path) {
            Err(cause) => OpenError::UnusableDirectory(owned, cause),
            Ok(()) => OpenError::Unusable(owned, error),
        },
        _ => OpenError::Unusable(owned, error),
    }
}

/// Creates and removes a file beside the database, as SQLite must for the log and its index.
fn probe_directory(path: &Path) -> std::io::Result<()> {
    let probe = path.with_extension(format!("probe-{}", std::process::id()));
    std::fs::File::create_new(&probe)?;
    std::fs::remove_file(&probe)
}

/// Converts to the stored form, nanoseconds since 1970; a time out of range (before 1677, after 2262) is clamped.
pub(crate) fn nanoseconds(time: Timestamp) -> i64 {
    let nearest = if time < Timestamp::UNIX_EPOCH {
        i64::MIN
    } else {
        i64::MAX
    };
    i64::try_from(time.as_nanosecond()).unwrap_or(nearest)
}

pub(crate) fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::MAX)
}
