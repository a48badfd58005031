//! The options of a simulator, and the TOML script they can be read from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::behaviour::Behaviour;
use crate::declared::Declared;
use crate::fault::{Fault, ScriptError};

/// The source of the simulator's time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The options that a simulator is started with.
#[derive(Clone)]
pub struct Options {
    pub clock: Clock,
    pub durations: Durations,
    pub behaviour: Behaviour,
    /// The only client secret that the token endpoint accepts; `None` accepts any.
    pub client_secret: Option<String>,
    /// The refresh token that is valid at the start; `None` accepts any.
    pub refresh_token: Option<String>,
    /// The tenants that the token endpoint knows; empty for all.
    pub tenants: Vec<String>,
    pub faults: Vec<Fault>,
    /// A file that gets one JSON line per journal entry, before the answer goes out.
    pub journal_file: Option<PathBuf>,
    /// Lower bound of the newest entries kept in memory; `None` keeps all.
    pub journal_keep: Option<usize>,
    /// The `request-id` of every answer; without it each answer gets a new one.
    pub request_id: Option<String>,
    /// The operations that TOML files declare: those of the shipped catalogue, and what a caller adds. A later one replaces
    /// an earlier one of the same name.
    pub catalogue: Vec<Arc<Declared>>,
    /// How the jobs of declared operations depart from the ordinary case, by the operation's name.
    pub variants: BTreeMap<String, String>,
    /// The origin of the monitors that take no token, if clients reach them under another one than the simulator knows.
    pub anonymous_origin: Option<String>,
}

/// The durations of jobs and tokens. A change applies to what starts after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Durations {
    pub export_seconds: f64,
    pub goals_seconds: f64,
    pub schedule_seconds: f64,
    /// Seconds for which a job is `notStarted` before it runs; part of its duration.
    pub not_started_seconds: f64,
    /// Seconds for which a provisioned schedule still shows `enabled: false`.
    pub enabled_lag_seconds: f64,
    /// Seconds for which a goals job can be queried.
    pub goals_kept_seconds: f64,
    /// What the seconds in the simulations of the catalogue are multiplied by.
    pub catalogue_factor: f64,
    pub access_token_seconds: u32,
    pub refresh_token_seconds: f64,
}

impl Options {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            durations: Durations::default(),
            behaviour: Behaviour::default(),
            client_secret: None,
            refresh_token: None,
            tenants: Vec::new(),
            faults: Vec::new(),
            request_id: None,
            journal_file: None,
            journal_keep: None,
            catalogue: Declared::shipped(),
            variants: BTreeMap::new(),
            anonymous_origin: None,
        }
    }

    /// Reads a script. Unknown keys are errors, and the error names them.
    pub fn from_toml(text: &str, clock: Clock) -> Result<Self, ScriptError> {
        let script: ScriptFile = toml::from_str(text)?;
        script.faults.iter().try_for_each(Fault::check)?;
        let catalogue = Declared::shipped();
        Ok(Self {
            clock,
            durations: script.durations,
            behaviour: script.behaviour,
            client_secret: script.client_secret,
            refresh_token: script.refresh_token,
            tenants: script.tenants,
            faults: script.faults,
            journal_file: script.journal_file,
            journal_keep: script.journal_keep,
            request_id: None,
            catalogue,
            variants: script.variant,
            anonymous_origin: script.anonymous_origin,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ScriptFile {
    durations: Durations,
    behaviour: Behaviour,
    client_secret: Option<String>,
    refresh_token: Option<String>,
    tenants: Vec<String>,
    faults: Vec<Fault>,
    journal_file: Option<PathBuf>,
    journal_keep: Option<usize>,
    variant: BTreeMap<String, String>,
    anonymous_origin: Option<String>,
}

impl Default for Durations {
    fn default() -> Self {
        const DAY: f64 = 86_400.0;
        Self {
            export_seconds: 90.0,
            goals_seconds: 120.0,
            schedule_seconds: 30.0,
            not_started_seconds: 0.0,
            enabled_lag_seconds: 0.0,
            goals_kept_seconds: 40.0 * DAY,
            catalogue_factor: 1.0,
            access_token_seconds: 3599,
            refresh_token_seconds: 90.0 * DAY,
        }
    }
}
