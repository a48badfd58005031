//! The HTTP interface to operations: reading, listing, cancelling, repeating a request, and HTTP itself.

mod bounds;
mod deployments;
mod erasing;
pub(crate) mod evidence;
mod http;
mod idempotency;
mod legal;
mod lists;
mod looks;
pub(crate) mod operations;
mod operators;
mod prefer;
mod selecting;
mod unusable;
