//! When the answer to a person's request is due by law: the regulations and public holidays as data, and the arithmetic.
//!
//! `docs/legal-clock.md` says where each rule is written, and what is not known.

mod act;
mod calendar;
mod period;
mod regulation;

pub use act::{Act, ActError, Extension};
pub use calendar::{Calendar, Calendars};
pub use period::Receipt;
pub use regulation::{Pause, PauseBy, Regulation, Span};

#[cfg(test)]
mod tests;
