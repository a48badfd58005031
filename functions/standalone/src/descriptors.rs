//! How many clients may be connected at once, by what the system lets one process have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the data file, Graph, receivers, connections that are being closed, and whatever else is open.
const OTHERS: usize = 512;

/// Raises the soft limit on open files to the hard one; how many connections that leaves room for, `wanted` at most.
pub(crate) fn connections(wanted: usize) -> usize {
    let found = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: found.maximum,
        ..found
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => found.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit on open files could not be raised");
            found.current
        }
    };
    let open = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let room = open.saturating_sub(OTHERS).max(open / 2).min(wanted);
    if room < wanted {
        tracing::warn!(
            open_files = open,
            connections = room,
            "few clients may be connected at once"
        );
    }
    room
}
