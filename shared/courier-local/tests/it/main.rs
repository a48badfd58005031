//! The adapters of one machine: the contracts of the ports, the file, crashes, the worker, the HTTP listener.

#![cfg(test)]

mod contract;
mod crash;
mod data_file;
mod group_commit;
mod listener;
mod listener_host;
mod listener_limits;
mod listener_rude;
mod lists;
mod messages;
mod previous_version;
mod worker;
mod workspace;
