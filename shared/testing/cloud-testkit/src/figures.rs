//! The resources that a process has used, from /proc.

use std::fs;
use std::time::Duration;

/// The clock tick of /proc/PID/stat: 100 per second on every Linux that Rust's glibc targets run on.
const TICK: Duration = Duration::from_millis(10);

/// The most memory a process has had, in bytes; `None` when it is gone.
pub(crate) fn peak_rss(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The processor time of a process; `None` when it is gone.
///
/// The scheduler's figures of its threads are exact but forget threads that have ended; the process's own figure
/// remembers them but counts in ticks. The larger one is nearer the truth.
pub(crate) fn cpu(id: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?;
    let exact: u64 = threads
        .filter_map(Result::ok)
        .filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    Some(Duration::from_nanos(exact).max(ticks(id).unwrap_or_default()))
}

fn ticks(id: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold spaces. After it: state is field 3, utime 14, stime 15.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(TICK * (user + system))
}
