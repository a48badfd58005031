//! Whether the paths still lead to the files that were opened.
//!
//! SQLite goes on with an open file that somebody has deleted, moved or replaced, and what it writes there is gone with
//! the process ("How To Corrupt An SQLite Database File", section 2.4). The files are only looked up, never opened:
//! closing any descriptor of a file drops the locks that SQLite holds on it (section 2.2).

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sqlite::failure::Failure;

/// The data file and its write-ahead log, as they were when they were opened.
#[derive(Debug, Default)]
pub(crate) struct Identity(Vec<(PathBuf, FileId)>);

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

impl Identity {
    /// Looks up the files of a database in WAL mode that has been read from, so that both exist.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut log = OsString::from(path);
        log.push("-wal");
        let files = [path.to_owned(), PathBuf::from(log)].into_iter();
        files
            .map(|path| file_id(&path).map(|id| (path, id)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Fails if a path leads to nothing, or to another file than the one that was opened.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let gone = |(path, id): &&(PathBuf, FileId)| !file_id(path).is_ok_and(|now| now == *id);
        match self.0.iter().find(gone) {
            Some((path, _)) => Err(Failure::Gone(path.clone())),
            None => Ok(()),
        }
    }
}

fn file_id(path: &Path) -> io::Result<FileId> {
    let metadata = path.metadata()?;
    Ok(FileId(metadata.dev(), metadata.ino()))
}
