//! A disk in trouble, for real processes: full, read-only, or unable to keep what it has taken. Linux with glibc only.
//!
//! The processes get a small library preloaded that refuses calls on files below one directory. What reaches the kernel
//! without the C library, or through a memory map, is not refused.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use crate::preload;

/// The disk under one directory, as the children see it that get its `environment`. Works at first.
#[derive(Clone)]
pub struct FailingDisk(Arc<Shared>);

struct Shared {
    library: PathBuf,
    directory: PathBuf,
    file: NamedTempFile,
}

/// The numbers of `failing_disk.c`.
#[derive(Clone, Copy)]
enum Ailment {
    Works = 0,
    Full = 1,
    ReadOnly = 2,
    Unsynced = 3,
}

/// The offset of the three numbers in the page that the library maps.
const AILMENT: u64 = 0;
const ROOM: u64 = 8;
const REFUSED: u64 = 16;

impl FailingDisk {
    /// The disk under `directory`, which exists.
    pub fn new(directory: &Path) -> Self {
        let library = preload::library("failing-disk", include_str!("failing_disk.c"));
        let shared = directory.canonicalize().and_then(|directory| {
            let file = NamedTempFile::new()?;
            file.as_file().write_all_at(&[0; 24], 0)?;
            Ok(Shared {
                library,
                directory,
                file,
            })
        });
        let shared = shared.unwrap_or_else(|error| panic!("no disk to fail: {error}"));
        Self(Arc::new(shared))
    }

    pub fn works(&self) {
        self.ails(Ailment::Works);
    }

    /// Takes `room` more bytes, the last write perhaps in part, then answers `ENOSPC`.
    pub fn is_full_after(&self, room: u32) {
        self.write(ROOM, i64::from(room));
        self.ails(Ailment::Full);
    }

    /// Answers `EROFS` to every write and to every attempt to open, make, cut or remove a file.
    pub fn is_read_only(&self) {
        self.ails(Ailment::ReadOnly);
    }

    /// Takes what is written and answers `EIO` when asked to make it durable.
    pub fn syncs_in_vain(&self) {
        self.ails(Ailment::Unsynced);
    }

    /// The number of calls that were refused so far.
    pub fn refused(&self) -> u64 {
        let mut number = [0; 8];
        let read = self.0.file.as_file().read_exact_at(&mut number, REFUSED);
        self.checked(read);
        u64::from_ne_bytes(number)
    }

    /// The environment that gives a child process this disk.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.0.library)),
            ("FAILING_DISK_DIRECTORY".to_owned(), text(&self.0.directory)),
            ("FAILING_DISK".to_owned(), text(self.0.file.path())),
        ]
    }

    fn ails(&self, ailment: Ailment) {
        self.write(AILMENT, ailment as i64);
    }

    fn write(&self, place: u64, number: i64) {
        let written = self
            .0
            .file
            .as_file()
            .write_all_at(&number.to_ne_bytes(), place);
        self.checked(written);
    }

    fn checked(&self, result: io::Result<()>) {
        result.unwrap_or_else(|error| panic!("the disk's file cannot be used: {error}"));
    }
}
