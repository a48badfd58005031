//! Start, run and end of operations, also when messages are lost, late or duplicated.

mod concurrent_requests;
mod connections;
mod containers;
mod endings;
mod gate;
mod happy;
mod messages;
mod missing;
mod panics;
mod permissions;
mod polls;
mod starts;
mod timetable;
mod unusable_answers;
