//! The two files of an operation, read once: every mistake is found here, and named.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::{fs, io};

use http::{HeaderName, Method, StatusCode};
use toml::Value;

use super::EMBEDDED;
use super::hole::Hole;
use super::path::Pattern;
use super::simulation::{Duplicate, Simulation};
use crate::version::Version;

const SUFFIX: &str = ".sim.toml";

/// The operations that were embedded, read once. A test reads every one of them, so that a mistake here can only hide its
/// own operation.
static SHIPPED: LazyLock<Vec<Arc<Declared>>> = LazyLock::new(|| {
    let pairs = EMBEDDED.iter();
    let read = pairs.map(|(catalogue, simulation)| Declared::read(catalogue, simulation));
    read.filter_map(|read| read.ok().map(Arc::new)).collect()
});

/// An operation that the simulator knows from its two files.
#[derive(Clone, Debug)]
pub struct Declared {
    name: String,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) start_path: Pattern,
    pub(crate) poll_path: Pattern,
    pub(crate) find_path: Option<Pattern>,
    /// The query with which the catalogue looks for a job, which tells such a call from a poll of the same resource.
    pub(crate) find_query: String,
    pub(crate) then_paths: Vec<Pattern>,
    pub(crate) simulation: Simulation,
}

/// An error that makes one of the two files useless.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("{path} cannot be read")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the file of {name} for the catalogue is wrong: {reason}")]
    Catalogue { name: String, reason: String },
    #[error("{name}.sim.toml is wrong: {reason}")]
    Simulation { name: String, reason: String },
    #[error("{path} simulates nothing: {operation} is not beside it")]
    Alone { path: PathBuf, operation: String },
}

impl Declared {
    /// Returns the operations of the catalogue that the simulator was built with.
    pub fn shipped() -> Vec<Arc<Self>> {
        SHIPPED.clone()
    }

    /// Returns the operations of a folder that have a `NAME.sim.toml`, in the order of their names.
    pub fn folder(folder: &Path) -> Result<Vec<Arc<Self>>, CatalogueError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| CatalogueError::Unreadable { path, source }
        };
        let mut declared = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
            let path = entry.map_err(unreadable(folder))?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(name) = file.strip_suffix(SUFFIX) else {
                continue;
            };
            let operation = folder.join(format!("{name}.toml"));
            if !operation.is_file() {
                let operation = format!("{name}.toml");
                return Err(CatalogueError::Alone {
                    path: path.clone(),
                    operation,
                });
            }
            let catalogue = fs::read_to_string(&operation).map_err(unreadable(&operation))?;
            let simulation = fs::read_to_string(&path).map_err(unreadable(&path))?;
            declared.push(Arc::new(Self::read(&catalogue, &simulation)?));
        }
        declared.sort_by(|one: &Arc<Self>, other| one.name.cmp(&other.name));
        Ok(declared)
    }

    /// Reads the text of both files.
    pub fn read(catalogue: &str, simulation: &str) -> Result<Self, CatalogueError> {
        let catalogue: Value = toml::from_str(catalogue).map_err(|error| {
            let name = "an operation".to_owned();
            let reason = error.to_string();
            CatalogueError::Catalogue { name, reason }
        })?;
        let name = text(&catalogue, &["name"]).unwrap_or_default().to_owned();
        let simulation: Simulation = toml::from_str(simulation).map_err(|error| {
            let reason = error.to_string();
            let name = name.clone();
            CatalogueError::Simulation { name, reason }
        })?;
        let declared = combine(&name, &catalogue, simulation).map_err(|reason| {
            let name = name.clone();
            CatalogueError::Catalogue { name, reason }
        })?;
        match declared.mistake() {
            Some(reason) => Err(CatalogueError::Simulation { name, reason }),
            None => Ok(declared),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the method, the path and the body of a request that starts the operation.
    pub fn example(&self) -> (Method, String, Option<&str>) {
        let path = self.start_path.with(|name| self.key(name));
        let path = format!("/{}{path}", self.version.segment());
        let body = self.simulation.example.body.as_deref();
        (self.method.clone(), path, body)
    }

    /// Returns the key that the example has for a parameter of the path.
    pub(super) fn key(&self, parameter: &str) -> &str {
        let given = self.simulation.example.variables.get(parameter);
        given.map_or("c37c9b61-7762-4fff-a156-afc0005847a0", String::as_str)
    }

    /// Returns the names of the ends, besides the ordinary one, that a variant can choose.
    pub fn ends(&self) -> impl Iterator<Item = &str> {
        self.simulation.end.keys().map(String::as_str)
    }

    /// Returns the first mistake that the format alone does not show.
    fn mistake(&self) -> Option<String> {
        let simulation = &self.simulation;
        let phases = || {
            simulation
                .phase
                .iter()
                .chain(simulation.end.values().flatten())
        };
        let statuses = phases().map(|phase| phase.status);
        let statuses = statuses.chain(simulation.refuse.values().map(|refusal| refusal.status));
        let statuses = statuses.chain(simulation.check.iter().map(|check| check.status));
        for status in statuses.chain([simulation.start.status]) {
            if !(200..600).contains(&status) || StatusCode::from_u16(status).is_err() {
                return Some(format!("{status} is no status of an answer"));
            }
        }
        let example = simulation.example.body.as_deref();
        if example.is_some_and(|body| serde_json::from_str::<serde_json::Value>(body).is_err()) {
            return Some("the body of [example] is no JSON".to_owned());
        }
        if let Some(reason) = disorder(simulation) {
            return Some(reason);
        }
        let headers = phases().flat_map(|phase| &phase.headers);
        let headers = headers.chain(&simulation.start.headers);
        let mut headers = headers.chain(&simulation.poll.headers);
        if let Some((name, _)) = headers.find(|(name, _)| name.parse::<HeaderName>().is_err()) {
            return Some(format!("{name:?} is no name of a header"));
        }
        if simulation.duplicate == Duplicate::Refuse && !simulation.refuse.contains_key("duplicate")
        {
            return Some("duplicate = \"refuse\" needs [refuse.duplicate]".to_owned());
        }
        let known: Vec<&str> = self.start_path.variables().collect();
        let unknown = |hole: &Hole| {
            let name = hole.variable()?;
            (!known.contains(&name)).then(|| name.to_owned())
        };
        let documents = phases().filter_map(|phase| phase.document.as_ref());
        let documents = documents.chain(&simulation.start.document);
        let documents = documents.chain(simulation.then.iter().map(|then| &then.document));
        let documents = documents.chain(
            simulation
                .find
                .iter()
                .filter_map(|find| find.document.as_ref()),
        );
        let mut holes: Vec<Hole> = documents
            .filter_map(|document| document.holes().ok())
            .flatten()
            .collect();
        holes.extend(
            simulation
                .start
                .headers
                .values()
                .flat_map(|text| text.holes().cloned()),
        );
        let name = holes.iter().find_map(unknown)?;
        Some(format!(
            "{name:?} is no placeholder and no parameter of the start's path"
        ))
    }
}

/// Returns what is wrong with the order of the phases.
fn disorder(simulation: &Simulation) -> Option<String> {
    if simulation.phase.first().map(|phase| phase.seconds) != Some(0.0) {
        return Some("the first [[phase]] must have seconds = 0".to_owned());
    }
    let ends = simulation
        .end
        .iter()
        .map(|(name, phases)| (format!("end.{name}"), phases));
    let lists = [("phase".to_owned(), &simulation.phase)]
        .into_iter()
        .chain(ends);
    for (name, phases) in lists {
        if !phases.is_sorted_by(|one, next| one.seconds < next.seconds) {
            return Some(format!("the seconds of [[{name}]] do not grow"));
        }
        if !phases.iter().any(|phase| phase.outcome.is_some()) {
            return Some(format!("no [[{name}]] has an outcome"));
        }
    }
    None
}

fn combine(name: &str, catalogue: &Value, simulation: Simulation) -> Result<Declared, String> {
    let needed = |keys: &[&str]| {
        let found = text(catalogue, keys);
        found.ok_or_else(|| format!("it has no {}", keys.join(".")))
    };
    let start = needed(&["start", "path"])?;
    let find = text(catalogue, &["find", "path"]);
    let pattern = |path: &str| Pattern::parse(path);
    let poll_path = match &simulation.poll.path {
        Some(path) => path.clone(),
        None => pattern(&monitor(catalogue, start, find)?)?,
    };
    let find_path = match &simulation.find {
        None => None,
        Some(given) => Some(match (&given.path, find) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) => pattern(path)?,
            (None, None) => return Err("it has no find.path".to_owned()),
        }),
    };
    let mut then_paths = Vec::new();
    for (index, then) in simulation.then.iter().enumerate() {
        let stage = catalogue.get("then").and_then(|then| then.get(index));
        let path = stage.and_then(|stage| stage.get("path")?.as_str());
        then_paths.push(match (&then.path, path) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) => pattern(path)?,
            (None, None) => return Err(format!("it has no then.path number {}", index + 1)),
        });
    }
    let method = needed(&["start", "method"])?;
    Ok(Declared {
        name: needed(&["name"]).map(|_| name.to_owned())?,
        method: method
            .parse()
            .map_err(|_| format!("{method} is no method"))?,
        version: match needed(&["start", "version"])? {
            "v1.0" => Version::V1,
            "beta" => Version::Beta,
            other => return Err(format!("{other} is no version")),
        },
        start_path: pattern(start)?,
        poll_path,
        find_path,
        find_query: query(find.unwrap_or_default()),
        then_paths,
        simulation,
    })
}

/// Returns the path of the monitor, as far as the catalogue says it; a Location is for the simulation to describe.
fn monitor(catalogue: &Value, start: &str, find: Option<&str>) -> Result<String, String> {
    let sources = catalogue
        .get("start")
        .and_then(|start| start.get("monitor")?.as_array());
    let mut sources = sources.into_iter().flatten().filter_map(Value::as_str);
    let path = sources.find_map(|source| match source {
        "self" => Some(start.to_owned()),
        "find" => find.map(str::to_owned),
        path => path.starts_with('/').then(|| path.to_owned()),
    });
    path.ok_or_else(|| "it has no path for its monitor, so [poll] needs one".to_owned())
}

fn text<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a str> {
    let value = keys.iter().try_fold(value, |value, key| value.get(key))?;
    value.as_str()
}

/// Returns the part of a query before its first placeholder.
fn query(path: &str) -> String {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    query.split('{').next().unwrap_or_default().to_owned()
}
