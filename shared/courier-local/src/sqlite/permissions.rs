//! The files hold personal data, so only the user that runs the program may read them.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Creates the directory, with the missing ones above it, for its owner alone.
///
/// An existing one stays as it is, with a warning if others may look into it.
pub fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    warn(path, "chmod 700");
    Ok(())
}

/// Creates the data file for its owner alone, unless it exists; SQLite gives its log and its index the same permissions.
///
/// SQLite reports why a file cannot be created, so a failure is left to it.
pub(crate) fn create_private_file(path: &Path) {
    let mut options = OpenOptions::new();
    drop(options.write(true).create_new(true).mode(0o600).open(path));
}

/// Logs a warning for each of the data file, its log and its index that others may read or write.
pub(crate) fn warn_if_wider(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = OsString::from(path);
        name.push(suffix);
        warn(&PathBuf::from(name), "chmod 600");
    }
}

fn warn(path: &Path, remedy: &str) {
    let Ok(metadata) = path.metadata() else {
        return;
    };
    let mode = metadata.mode() & 0o777;
    if mode & OTHERS != 0 {
        let path = path.display();
        tracing::warn!(path = %path, mode = %format_args!("{mode:o}"), "other users of this machine can reach personal data: {remedy} {path}");
    }
}
