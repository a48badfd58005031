//! What the simulation shows: seeds that keep every promise, the same history for the same seed, and that a broken
//! world is seen to be broken.

#![cfg(test)]

mod histories;
mod overflow;
mod sabotage;
mod scenarios;
mod timetable;
