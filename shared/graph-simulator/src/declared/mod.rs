//! The operations that two TOML files declare: `NAME.toml` of the catalogue says how one is started and followed, and
//! `NAME.sim.toml` beside it says what Graph answers. The documents are literal, so that they are a witness and no mirror
//! of what the catalogue expects.

mod evolvable;
mod file;
mod hole;
mod job;
mod limits;
mod look;
mod path;
mod samples;
mod service;
mod simulation;
mod start;
mod template;
mod variant;

pub use file::{CatalogueError, Declared};
pub use samples::Sample;
pub(crate) use service::{Aim, Declarations, Place};

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
