//! Tokens and other secrets: fetched, renewed, sealed, and never shown.

mod access_tokens;
mod leaks;
mod refresh_tokens;
