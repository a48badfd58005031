//! The cloud on loopback: the real Lambda binaries on a real Runtime API, the ports on a real SQS and DynamoDB protocol
//! peer (MiniStack), the template deployed. Linux only.
#![cfg(test)]

mod batch;
mod binaries;
mod cloud;
mod configuration;
mod contract_queue;
mod contract_store;
mod corpora;
mod crash;
mod crash_looks;
mod crash_recovery;
mod deployed;
mod events;
mod faults;
mod happy;
mod intake;
mod kill;
mod overflow;
mod pipeline;
mod seal_key;
mod template;
