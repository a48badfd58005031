//! Tokens and other secrets: how they are fetched, renewed and sealed, and that none is shown.

mod access_tokens;
mod leaks;
mod refresh_tokens;
