//! Invalid input: bytes, fields, URLs, and the corpora.

mod bytes;
mod corpora;
mod events;
mod fields;
mod storage;
mod urls;
