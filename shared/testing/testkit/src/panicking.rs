//! A store that panics in the middle of a step, as an `expect` or an assertion in our own code might.

use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};

use courier_local::Database;

use crate::intercepted::{Call, Intercepted};

/// Returns a store on the database that panics at one write, after `writes_before` others.
pub fn panicking(database: Database, writes_before: usize) -> Intercepted<Database> {
    let writes_before = AtomicUsize::new(writes_before);
    Intercepted::new(database, move |call| {
        if let Call::Write(record) = call {
            // Wraps around, so that it is zero only once.
            let left = writes_before.fetch_sub(1, Ordering::SeqCst);
            assert_ne!(left, 0, "{record:?} {record:#?}");
        }
        Box::pin(ready(()))
    })
}
