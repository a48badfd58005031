//! The HTTP interface to operations: reading, listing, cancelling, repeating a request.

mod bounds;
mod erasing;
mod idempotency;
mod lists;
pub(crate) mod operations;
mod unusable;
