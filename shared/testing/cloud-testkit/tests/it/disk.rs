//! The failing disk, as programs see it that know nothing of it: Python, and the SQLite it brings along.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::disk::FailingDisk;
use cloud_testkit::{preload, python};
use tempfile::TempDir;

/// Opens a file of the directory, waits for a line, makes one call after the other, and says what each gave.
const TRY: &str = "
import os, sqlite3, sys, time
place, *calls = sys.argv[1:]
path = lambda name: os.path.join(place, name)
file = os.open(path('old'), os.O_RDWR)
print('ready', flush=True)
sys.stdin.readline()
for call in calls:
    try: print(eval(call))
    except OSError as error: print(os.strerror(error.errno))
    except sqlite3.Error as error: print(error)
";
const WRITE: &str = "os.write(file, b'abcdefgh')";
const WRITE_AT: &str = "os.pwrite(file, b'abcdefgh', 0)";
const WRITE_PARTS: &str = "os.writev(file, [b'abcd', b'efgh'])";
const CUT: &str = "os.ftruncate(file, 0)";
const RESERVE: &str = "os.posix_fallocate(file, 0, 4096)";
const SYNC: &str = "os.fsync(file)";
const SYNC_DATA: &str = "os.fdatasync(file)";
const OPEN: &str = "os.close(os.open(path('old'), os.O_RDWR))";
const MAKE: &str = "os.close(os.open(path('new'), os.O_RDWR | os.O_CREAT))";
const MAKE_DIRECTORY: &str = "os.mkdir(path('directory'))";
const REMOVE: &str = "os.unlink(path('old'))";
const READ: &str = "os.pread(file, 3, 0)";
const CREATE: &str = "list(sqlite3.connect(path('rows.db')).execute('create table rows (row)'))";

const DONE: &str = "None";
const FULL: &str = "No space left on device";
const READ_ONLY: &str = "Read-only file system";
const LOST: &str = "Input/output error";

/// Makes the calls in `place` once the disk `ails`, and holds what they gave against what they should.
fn check(
    environment: Vec<(String, String)>,
    place: &Path,
    ails: impl Fn(),
    expected: &[(&str, &str)],
) {
    let calls: Vec<&str> = expected.iter().map(|(call, _)| *call).collect();
    let mut child = Command::new(python::ministack().join("python3"))
        .args(["-c", TRY])
        .arg(place)
        .args(&calls)
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut reported = String::new();
    output.read_line(&mut reported).unwrap();
    assert_eq!(reported, "ready\n");
    ails();
    writeln!(child.stdin.take().unwrap(), "go").unwrap();
    reported.clear();
    output.read_to_string(&mut reported).unwrap();
    assert!(child.wait().unwrap().success());
    let reported: Vec<_> = calls.into_iter().zip(reported.lines()).collect();
    assert_eq!(reported, expected);
}

struct Disk {
    directory: TempDir,
    disk: FailingDisk,
}

impl Disk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("old"), "old").unwrap();
        let disk = FailingDisk::new(directory.path());
        Self { directory, disk }
    }

    /// As above, on this disk; how many calls it refused.
    fn check(&self, ails: impl Fn(&FailingDisk), expected: &[(&str, &str)]) -> u64 {
        let environment = self.disk.environment();
        let ails = || ails(&self.disk);
        check(environment, self.directory.path(), ails, expected);
        self.disk.refused()
    }
}

#[test]
fn a_disk_that_works_refuses_nothing() {
    let calls = [
        (WRITE, "8"),
        (WRITE_AT, "8"),
        (WRITE_PARTS, "8"),
        (RESERVE, DONE),
        (CUT, DONE),
        (SYNC, DONE),
        (SYNC_DATA, DONE),
        (MAKE, DONE),
        (MAKE_DIRECTORY, DONE),
        (CREATE, "[]"),
        (REMOVE, DONE),
    ];
    assert_eq!(Disk::new().check(FailingDisk::works, &calls), 0);
}

#[test]
fn a_full_disk_takes_what_still_fits_and_no_more() {
    let calls = [
        (WRITE, "5"),
        (WRITE, FULL),
        (WRITE_AT, FULL),
        (WRITE_PARTS, FULL),
        (RESERVE, FULL),
        (MAKE, FULL),
        (MAKE_DIRECTORY, FULL),
        (CREATE, "unable to open database file"),
        (OPEN, DONE),
        (READ, "b'abc'"),
        (SYNC, DONE),
        (CUT, DONE),
        (REMOVE, DONE),
    ];
    let refused = Disk::new().check(|disk| disk.is_full_after(5), &calls);
    assert!(refused >= 7, "{refused}");
}

#[test]
fn a_read_only_disk_takes_nothing_and_can_be_read() {
    let calls = [
        (WRITE, READ_ONLY),
        (WRITE_AT, READ_ONLY),
        (WRITE_PARTS, READ_ONLY),
        (RESERVE, READ_ONLY),
        (CUT, READ_ONLY),
        (OPEN, READ_ONLY),
        (MAKE, READ_ONLY),
        (MAKE_DIRECTORY, READ_ONLY),
        (REMOVE, READ_ONLY),
        (READ, "b'old'"),
        (SYNC, DONE),
    ];
    assert_eq!(Disk::new().check(FailingDisk::is_read_only, &calls), 9);
}

#[test]
fn a_disk_that_loses_what_it_took_says_so_when_asked_to_keep_it() {
    let calls = [
        (WRITE, "8"),
        (SYNC, LOST),
        (SYNC_DATA, LOST),
        (CREATE, "disk I/O error"),
    ];
    let refused = Disk::new().check(FailingDisk::syncs_in_vain, &calls);
    assert!(refused >= 3, "{refused}");
}

#[test]
fn a_disk_recovers_and_other_directories_are_on_other_disks() {
    let (ill, well) = (Disk::new(), Disk::new());
    ill.disk.is_full_after(0);
    // The neighbour's name begins with the ill directory's.
    let mut neighbour = ill.directory.path().as_os_str().to_owned();
    neighbour.push("-neighbour");
    std::fs::create_dir(&neighbour).unwrap();
    std::fs::write(Path::new(&neighbour).join("old"), "old").unwrap();
    for place in [well.directory.path(), Path::new(&neighbour)] {
        let calls = [(WRITE, "8"), (MAKE, DONE)];
        check(ill.disk.environment(), place, || (), &calls);
    }
    std::fs::remove_dir_all(&neighbour).unwrap();
    assert_eq!(ill.disk.refused(), 0);
    ill.check(FailingDisk::works, &[(WRITE, "8"), (MAKE, DONE)]);
}

#[test]
fn a_process_may_have_a_failing_disk_and_a_shifted_clock() {
    let (disk, clock) = (Disk::new(), ShiftedClock::new());
    clock.stand_at("2030-01-01T00:00:00Z".parse().unwrap());
    let environment = preload::together(&[clock.environment(), disk.disk.environment()]);
    let calls = [(WRITE, FULL), ("int(time.time())", "1893456000")];
    let full = || disk.disk.is_full_after(0);
    check(environment, disk.directory.path(), full, &calls);
}

#[test]
fn a_program_with_the_library_but_without_a_disk_does_not_run_on_a_sound_one() {
    let disk = Disk::new();
    for missing in ["FAILING_DISK", "FAILING_DISK_DIRECTORY"] {
        let environment = disk.disk.environment().into_iter();
        let environment = environment.filter(|(name, _)| name != missing);
        let output = Command::new("true").envs(environment).output().unwrap();
        assert_eq!(output.status.code(), Some(97));
        assert!(String::from_utf8_lossy(&output.stderr).contains(missing));
    }
}
