//! A simulator of Microsoft Graph, an Entra token endpoint and the containers of a storage account on loopback HTTP, as faithful as the evidence allows,
//! with scripted faults and a journal of every request. Three long-running operations are written in code: the export of
//! a person's data, the goals export and the schedule of a team. The others are two TOML files each, which
//! docs/reference/simulator.md describes. Time comes from the caller's clock, so a test can let a
//! month pass at once.

mod options;
mod simulator;

mod server;
mod shared;
mod socket;

mod delivery;
mod effect;
mod exchange;
mod fault;
mod journal;
mod route;
mod version;

mod entra;
mod tokens;

mod backend;
mod blobs;
mod declared;
mod export;
mod goals;
mod jobs;
mod schedule;
mod storage_location;

mod admin;
mod answer;
mod behaviour;
mod body;
mod instant;
mod retry_after;

pub use behaviour::{
    Behaviour, Casing, ExportBehaviour, GoalsBehaviour, InnerError, LocationForm, LocationVersion,
    NotProvisioned, Outcome, Progress, ScheduleBehaviour, Timestamps,
};
pub use blobs::{STORAGE_ACCOUNT, STORAGE_KEY};
pub use declared::{CatalogueError, Declared, Sample};
pub use delivery::Delivery;
pub use fault::{Action, Fault, ScriptError, StatusAction};
pub use jobs::Job;
pub use journal::Entry;
pub use options::{Clock, Durations, Options};
pub use simulator::Simulator;
