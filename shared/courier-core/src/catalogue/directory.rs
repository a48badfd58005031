//! An operator's own operations: files in a directory that the configuration names.

use std::fs;
use std::path::Path;

use super::{Catalogue, Fault, Faults};

impl Catalogue {
    /// Returns the shipped operations together with those of the files `*.toml` in `directory`.
    ///
    /// It is kept for as long as the program runs. A file `*.sim.toml` is for the simulator and left alone.
    pub fn with_directory(
        directory: &Path,
        monitor_hosts: &[String],
    ) -> Result<&'static Self, Faults> {
        let unreadable = |path: &Path, error: &std::io::Error| {
            let fault = Fault::new("", "catalogue", &format!("cannot be read: {error}"));
            Faults(vec![fault.in_file(&path.display().to_string())])
        };
        let entries = fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| unreadable(directory, &error))?.path();
            let name = path.display().to_string();
            if name.ends_with(".toml") && !name.ends_with(".sim.toml") {
                let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
                files.push((name, text));
            }
        }
        files.sort();
        let catalogue = Self::with_files(&files, monitor_hosts).map_err(Faults)?;
        Ok(Box::leak(Box::new(catalogue)))
    }
}
