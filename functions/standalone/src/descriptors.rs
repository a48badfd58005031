//! The limit on client connections, which follows from the limit on open files of the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files reserved for the data file, Graph, receivers, connections that are being closed, and everything else.
const RESERVED_FILES: usize = 512;

/// Raises the soft limit on open files to the hard one.
///
/// Returns how many client connections that leaves room for, at most `wanted`.
pub(crate) fn connections(wanted: usize) -> usize {
    let found = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: found.maximum,
        ..found
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => found.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit on open files could not be raised; keeping the current one");
            found.current
        }
    };
    let open = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let room = open
        .saturating_sub(RESERVED_FILES)
        .max(open / 2)
        .min(wanted);
    if room < wanted {
        tracing::warn!(
            open_files = open,
            connections = room,
            "the limit on open files reduces the number of client connections"
        );
    }
    room
}
