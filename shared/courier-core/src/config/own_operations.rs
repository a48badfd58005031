//! Reads from a configuration where an operator's own operations are, before the rest of it can be judged by them.

use std::path::Path;

use crate::catalogue::{Catalogue, Faults};

/// Where an operator's own operations are, and the hosts that they may follow jobs at.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OwnOperations {
    /// Directory of the catalogue files, relative to the one that the host names.
    pub directory: Option<String>,
    pub monitor_hosts: Vec<String>,
}

impl OwnOperations {
    /// Returns what the document names. What is wrong with it, [`super::Config::parse`] reports.
    pub fn named_in(text: &str) -> Self {
        let document: toml::Table = toml::from_str(text).unwrap_or_default();
        let directory = document.get("catalogue").and_then(toml::Value::as_str);
        let graph = document.get("graph").and_then(toml::Value::as_table);
        let hosts = graph.and_then(|graph| graph.get("monitor_hosts")?.as_array());
        let hosts = hosts.into_iter().flatten().filter_map(toml::Value::as_str);
        Self {
            directory: directory.map(str::to_owned),
            monitor_hosts: hosts.map(str::to_owned).collect(),
        }
    }

    /// Returns the shipped operations with these; a relative directory is below `beside`.
    ///
    /// It is kept for as long as the program runs.
    pub fn catalogue(&self, beside: &Path) -> Result<&'static Catalogue, Faults> {
        match &self.directory {
            Some(directory) => {
                Catalogue::with_directory(&beside.join(directory), &self.monitor_hosts)
            }
            None => Ok(Catalogue::shipped()),
        }
    }
}
