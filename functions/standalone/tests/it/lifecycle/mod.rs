//! How operations start, run and end, and what comes of messages that are lost, late or doubled.

mod concurrent_requests;
mod endings;
mod gate;
mod happy;
mod messages;
mod missing;
mod panics;
mod polls;
mod starts;
