//! The HTTP interface to operations: reading, listing, cancelling, repeating a request, and HTTP itself.

mod deployments;
mod http;
mod idempotency;
mod lists;
pub(crate) mod operations;
mod prefer;
