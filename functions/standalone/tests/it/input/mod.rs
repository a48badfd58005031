//! Invalid input: bytes, fields, URLs, events, and the corpora.

mod bytes;
mod corpora;
mod events;
mod fields;
mod intake;
mod storage;
mod urls;
