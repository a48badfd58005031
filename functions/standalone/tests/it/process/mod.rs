//! The real program as a process: its command line, kills, crashes, a failing disk, a wrong clock, hostile clients.

mod clock_jump;
mod command_line;
mod crash;
mod crash_recovery;
mod crash_run;
pub(crate) mod deployment;
mod failing_disk;
mod full_disk;
mod hostile_clients;
mod kill;
mod load;
pub(crate) mod program;
