//! Reads the environment: the configuration document, its secrets, the log level, the clock.
//! The only file that reads environment variables.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use courier_core::catalogue::Catalogue;
use courier_core::config::{Config, OwnOperations, log_filter_mistake};
use courier_core::crypto::secret::{Secret, SecretReference};
use courier_core::outbound::{HttpTransport, Timeouts, certificates};
use courier_core::time::Clock;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The place of the configuration: `file:PATH`.
pub(crate) const COURIER_CONFIG: &str = "COURIER_CONFIG";
/// The log filter: a level, or `target=level,…`. Default `info`.
pub(crate) const COURIER_LOG: &str = "COURIER_LOG";

/// The URL of the API that the commands of the client ask.
pub(crate) const COURIER_URL: &str = "COURIER_URL";
/// The API key that they send.
pub(crate) const COURIER_API_KEY: &str = "COURIER_API_KEY";

/// The form of the log: `text` (the default) or `json`.
pub(crate) const COURIER_LOG_FORMAT: &str = "COURIER_LOG_FORMAT";

/// Where `courier serve` serves metrics: an address with a port.
const COURIER_METRICS_LISTEN: &str = "COURIER_METRICS_LISTEN";
/// The directory for the database, unless the command line names one.
const COURIER_DATA: &str = "COURIER_DATA";
/// The address at which the API is served, unless the command line names one.
const COURIER_LISTEN: &str = "COURIER_LISTEN";

/// Returns where metrics are served: as the command line says, else as `COURIER_METRICS_LISTEN` does.
pub(crate) fn metrics_listen(given: Option<SocketAddr>) -> anyhow::Result<Option<SocketAddr>> {
    given.map_or_else(|| address(COURIER_METRICS_LISTEN), |given| Ok(Some(given)))
}

/// Returns the directory of the database: of the command line, else `COURIER_DATA`, else `courier-data`.
pub(crate) fn data(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let named = || given_variable(COURIER_DATA).map(|text| text.map(PathBuf::from));
    let data = given.map_or_else(named, |given| Ok(Some(given)))?;
    Ok(data.unwrap_or_else(|| PathBuf::from("courier-data")))
}

/// Returns the address of the API: of the command line, else `COURIER_LISTEN`, else `127.0.0.1:8080`.
pub(crate) fn listen(given: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
    let named = given.map_or_else(|| address(COURIER_LISTEN), |given| Ok(Some(given)))?;
    Ok(named.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))))
}

/// Reads an address with a port from a variable, if it is set.
fn address(name: &str) -> anyhow::Result<Option<SocketAddr>> {
    let text = given_variable(name)?;
    let address = text.map(|text| text.trim().parse()).transpose();
    address.with_context(|| format!("{name} must be an address and a port such as 127.0.0.1:8080"))
}

fn given_variable(name: &str) -> anyhow::Result<Option<String>> {
    match variable(name) {
        Some(text) if text.trim().is_empty() => bail!("{name} is set, but empty"),
        text => Ok(text),
    }
}

/// A configuration as it was read.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Where its document is, as the messages name it.
    pub(crate) document: String,
    /// What it says of operations of the operator's own.
    pub(crate) own_operations: OwnOperations,
}

/// Reads the configuration named on the command line, else by `COURIER_CONFIG`; returns it with the name of its file.
pub(crate) fn load_config(path: Option<PathBuf>) -> anyhow::Result<(Config, String)> {
    let loaded = load(&document_path(path)?, None, &mut Vec::new())?;
    Ok((loaded.config, loaded.document))
}

/// Returns where the configuration is: on the command line, else in `COURIER_CONFIG`.
pub(crate) fn document_path(path: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match path {
        Some(path) => Ok(path),
        None => config_path(variable(COURIER_CONFIG)),
    }
}

/// Reads the configuration; with a `catalogue` that is already there, the operator's own operations are not read again.
///
/// `files` gets the files that it is made of: the document, and those of its secrets, also if it is wrong.
pub(crate) fn load(
    path: &Path,
    catalogue: Option<&'static Catalogue>,
    files: &mut Vec<PathBuf>,
) -> anyhow::Result<Loaded> {
    *files = vec![path.to_owned()];
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the configuration {} cannot be read", path.display()))?;
    let document = path.display().to_string();
    let own_operations = OwnOperations::named_in(&text);
    let catalogue = match catalogue {
        Some(catalogue) => catalogue,
        None => own_operations.catalogue(Path::new(""))?,
    };
    let named = RefCell::new(Vec::new());
    let resolve = |reference: &SecretReference| {
        if let SecretReference::File(path) = reference {
            named.borrow_mut().push(PathBuf::from(path));
        }
        resolve(reference, &variable)
    };
    let config = Config::parse(&text, catalogue, &resolve);
    files.append(&mut named.borrow_mut());
    match config {
        Ok(config) => Ok(Loaded {
            config,
            document,
            own_operations,
        }),
        Err(errors) => Err(errors.of(document).into()),
    }
}

fn config_path(variable: Option<String>) -> anyhow::Result<PathBuf> {
    let Some(text) = variable else {
        bail!("no configuration: give --config FILE or set {COURIER_CONFIG}=file:PATH");
    };
    let path = text.strip_prefix("file:").ok_or_else(|| {
        anyhow!("{COURIER_CONFIG} must be file:PATH for this program (aws-… belongs to the cloud)")
    })?;
    Ok(Path::new(path).to_owned())
}

/// Fetches a secret of the configuration from the environment or a file.
fn resolve(
    reference: &SecretReference,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Secret, String> {
    match reference {
        SecretReference::Env(name) => match variable(name) {
            Some(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
            Some(_) => Err(format!("environment variable {name} is empty")),
            None => Err(format!("environment variable {name} is not set")),
        },
        SecretReference::File(path) => match std::fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
            Ok(_) => Err(format!("file {path} is empty")),
            Err(error) => Err(format!("file {path} cannot be read: {error}")),
        },
        SecretReference::AwsSecret { .. } => {
            Err("aws-secret: is read only by the functions in the cloud".to_owned())
        }
    }
}

/// Returns what calls go through: the certificates of the environment are trusted, and the proxy of the configuration is used.
pub(crate) fn transport(config: &Config, timeouts: &Timeouts) -> anyhow::Result<HttpTransport> {
    let certificates = certificates::named(&variable)?;
    let tls = certificates.map(certificates::trusting).transpose()?;
    HttpTransport::new(timeouts, &tls, &config.allowed)
        .and_then(|transport| transport.behind(config.proxy.as_ref(), timeouts, &tls))
        .context("no TLS roots can be used")
}

/// Structured lines on standard error, at the level `default` unless `COURIER_LOG` asks for another.
pub(crate) fn start_logging(default: &str) -> anyhow::Result<()> {
    let given = |name| variable(name).filter(|text| !text.trim().is_empty());
    let text = given(COURIER_LOG).unwrap_or_else(|| default.to_owned());
    if let Some(rule) = log_filter_mistake(&text) {
        bail!("{COURIER_LOG}: {rule}");
    }
    let targets: Targets = text
        .parse()
        .with_context(|| format!("{COURIER_LOG} is not a log filter"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match given(COURIER_LOG_FORMAT).as_deref().map(str::trim) {
        None | Some("text") => lines.with_ansi(colours(&std::io::stderr())).boxed(),
        Some("json") => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        Some(_) => bail!("{COURIER_LOG_FORMAT} must be text or json"),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .init();
    Ok(())
}

/// Says whether `stream` may have colours: it is a terminal that can show them, and nobody has refused them.
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && wants_colours(&variable)
}

/// Says whether lines of `stream` can be drawn anew: it is a terminal that can move its cursor.
pub(crate) fn redraws(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && !is_dumb(&variable)
}

fn is_dumb(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    variable("TERM").as_deref() == Some("dumb")
}

/// Knows `NO_COLOR` with any text in it (<https://no-color.org>), and the terminal that can show letters only.
fn wants_colours(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let refused = variable("NO_COLOR").is_some_and(|text| !text.is_empty());
    !refused && !is_dumb(variable)
}

/// The machine's clock, in milliseconds.
pub(crate) fn clock() -> Clock {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "a main holds the clock")]
        let now = Timestamp::now();
        let millis = TimestampRound::new()
            .smallest(Unit::Millisecond)
            .mode(RoundMode::Floor);
        now.round(millis).unwrap_or(now)
    })
}

pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_foreign_configuration_names_the_variable() {
        assert!(
            config_path(None)
                .unwrap_err()
                .to_string()
                .contains(COURIER_CONFIG)
        );
        assert!(
            config_path(Some("aws-ssm:x".into()))
                .unwrap_err()
                .to_string()
                .contains("file:")
        );
        assert_eq!(
            config_path(Some("file:a/b".into())).unwrap(),
            Path::new("a/b")
        );
    }

    #[test]
    fn an_unset_secret_is_an_error_that_names_it() {
        let resolve = |reference: &SecretReference| {
            resolve(reference, &|name| {
                (name == "SET").then(|| "value\n".to_owned())
            })
        };
        assert_eq!(
            resolve(&SecretReference::Env("SET".into())),
            Ok(Secret::new("value"))
        );
        let unset = resolve(&SecretReference::Env("UNSET".into()));
        assert_eq!(
            unset,
            Err("environment variable UNSET is not set".to_owned())
        );
        assert!(resolve(&SecretReference::File("/nonexistent/x".into())).is_err());
    }
}
