//! The real program as a process: its command line, kills, crashes, a failing disk, a wrong clock, hostile clients.

mod access_log;
mod backups;
mod certificates;
#[cfg(feature = "second-tier")]
mod clock_jump;
mod command_line;
#[cfg(feature = "second-tier")]
mod crash;
#[cfg(feature = "second-tier")]
mod crash_looks;
#[cfg(feature = "second-tier")]
mod crash_recovery;
#[cfg(feature = "second-tier")]
mod crash_run;
mod data_files;
mod demo;
pub(crate) mod deployment;
mod dev;
#[cfg(feature = "second-tier")]
mod failing_disk;
#[cfg(feature = "second-tier")]
mod full_disk;
mod hostile_clients;
#[cfg(feature = "second-tier")]
mod kill;
#[cfg(feature = "second-tier")]
mod load;
#[cfg(feature = "second-tier")]
mod log_leaks;
mod metrics;
pub(crate) mod program;
mod proxy;
mod reload;
mod seal_keys;
mod slow_peers;
