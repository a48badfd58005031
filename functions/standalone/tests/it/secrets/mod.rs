//! Tokens and other secrets are fetched, renewed and sealed, and none is shown.

mod access_tokens;
mod leaks;
mod refresh_tokens;
mod seal_keys;
