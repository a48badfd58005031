//! Invalid input: bytes, fields, URLs, and the corpora.

mod bytes;
mod corpora;
mod fields;
mod storage;
mod urls;
