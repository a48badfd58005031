//! The real program as a process: its command line, killed, crashed, with a failing disk or a wrong clock.

mod clock_jump;
mod command_line;
mod crash;
mod crash_recovery;
mod crash_run;
mod demo;
pub(crate) mod deployment;
mod failing_disk;
mod full_disk;
mod hostile_clients;
mod kill;
mod load;
pub(crate) mod program;
