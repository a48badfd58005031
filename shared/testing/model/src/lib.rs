//! The model of the rules is in `tests/model`: `cargo test -p courier-model`.
