//! The documents: the examples of the pages and the README are valid and show what the program does.

pub(crate) mod authentication;
mod caller_pages;
mod citations;
mod examples;
mod graph_pages;
#[cfg(feature = "second-tier")]
mod local_example;
mod metrics;
mod pipelines;
mod reference;
mod verify_scripts;
