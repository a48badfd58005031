//! The documents: what the pages and the README show is taken, and is what the program does.

pub(crate) mod authentication;
mod caller_pages;
mod citations;
mod graph_pages;
#[cfg(feature = "second-tier")]
mod local_example;
mod reference;
mod verify_scripts;
