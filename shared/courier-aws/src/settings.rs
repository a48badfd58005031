//! The settings from the environment. No other file of the functions knows its variables.
//!
//! All missing variables are reported together, by name.

use std::fmt;

use courier_core::config::Aws;
use courier_core::crypto::secret::{Secret, SecretReference};
use courier_core::outbound::sigv4::AwsKeys;

/// The location of the configuration: `aws-secret:ARN[#key]`, `aws-ssm:NAME` or `file:PATH`.
pub const COURIER_CONFIG: &str = "COURIER_CONFIG";
/// The URL of the SQS queue.
pub const COURIER_QUEUE_URL: &str = "COURIER_QUEUE_URL";
/// The name of the DynamoDB table.
pub const COURIER_TABLE: &str = "COURIER_TABLE";
/// The number of messages in flight at which the queue hands out no more: what SQS allows this account. The default is
/// 120,000.
pub const COURIER_IN_FLIGHT_LIMIT: &str = "COURIER_IN_FLIGHT_LIMIT";
/// The log filter: a level, or `target=level,…`. The default is `info`.
pub const COURIER_LOG: &str = "COURIER_LOG";
/// The prefix that a base-path mapping or a load balancer's rule adds to the paths of `start-operation`. The default is
/// none.
pub const COURIER_BASE_PATH: &str = "COURIER_BASE_PATH";

/// `on`: `start-operation` serves the console too. The default is `off`.
pub const COURIER_CONSOLE: &str = "COURIER_CONSOLE";

/// Reads one variable; `main` passes the process's environment.
pub type Variable<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// Reads a variable of the process.
pub fn environment(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    std::env::var(name).ok()
}

/// Returns the base path without slashes around it, if there is one.
pub fn base_path(variable: Variable<'_>) -> Option<String> {
    let path = variable(COURIER_BASE_PATH)?;
    let path = path.trim().trim_matches('/');
    (!path.is_empty()).then(|| path.to_owned())
}

/// Reports whether the console is served.
pub fn has_console(variable: Variable<'_>) -> bool {
    variable(COURIER_CONSOLE).is_some_and(|text| text.trim() == "on")
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub config: ConfigPlace,
    pub queue_url: String,
    pub table: String,
    pub in_flight_limit: u64,
}

/// What SQS allows a standard queue (Amazon SQS Developer Guide, "Amazon SQS message quotas").
const IN_FLIGHT_LIMIT: u64 = 120_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigPlace {
    File(String),
    Secret {
        arn: String,
        key: Option<String>,
    },
    /// The name of a parameter of Systems Manager.
    Parameter(String),
}

/// All mistakes, each with the name of its variable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment has {} mistake(s): {}", .0.len(), .0.join("; "))]
pub struct SettingsErrors(pub Vec<String>);

impl Settings {
    pub fn read(variable: Variable<'_>) -> Result<Self, SettingsErrors> {
        let mut errors = Vec::new();
        let mut text = |name: &str| {
            let value = variable(name).filter(|value| !value.trim().is_empty());
            if value.is_none() {
                errors.push(format!("{name} is not set"));
            }
            value.map(|value| value.trim().to_owned())
        };
        let (config, queue_url, table) = (
            text(COURIER_CONFIG),
            text(COURIER_QUEUE_URL),
            text(COURIER_TABLE),
        );
        let config = config.and_then(|text| {
            ConfigPlace::parse(&text).or_else(|| {
                let rule = "must be aws-secret:ARN[#key], aws-ssm:NAME or file:PATH";
                errors.push(format!("{COURIER_CONFIG} {rule}"));
                None
            })
        });
        let limit = variable(COURIER_IN_FLIGHT_LIMIT).filter(|text| !text.trim().is_empty());
        let in_flight_limit = limit.map_or(Some(IN_FLIGHT_LIMIT), |text| {
            text.trim().parse().ok().filter(|limit| *limit > 0)
        });
        if in_flight_limit.is_none() {
            errors.push(format!(
                "{COURIER_IN_FLIGHT_LIMIT} must be a number above 0"
            ));
        }
        match (config, queue_url, table, in_flight_limit) {
            (Some(config), Some(queue_url), Some(table), Some(in_flight_limit))
                if errors.is_empty() =>
            {
                Ok(Self {
                    config,
                    queue_url,
                    table,
                    in_flight_limit,
                })
            }
            _ => Err(SettingsErrors(errors)),
        }
    }
}

impl fmt::Display for ConfigPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => formatter.write_str(path),
            Self::Secret { arn, key: None } => write!(formatter, "aws-secret:{arn}"),
            Self::Secret {
                arn,
                key: Some(key),
            } => write!(formatter, "aws-secret:{arn}#{key}"),
            Self::Parameter(name) => write!(formatter, "aws-ssm:{name}"),
        }
    }
}

impl ConfigPlace {
    fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("aws-ssm:") {
            return (!name.is_empty()).then(|| Self::Parameter(name.to_owned()));
        }
        match SecretReference::parse(text).ok()? {
            SecretReference::File(path) => Some(Self::File(path)),
            SecretReference::AwsSecret { arn, key } => Some(Self::Secret { arn, key }),
            SecretReference::Env(_) => None,
        }
    }
}

/// Returns the identity and the region of the function, by which targets on AWS are called.
///
/// Lambda gives each function the temporary keys of its role, and starts it anew before they end.
pub(crate) fn role(variable: Variable<'_>) -> Aws {
    let secret = |name: &str| variable(name).map(Secret::new);
    let keys = secret("AWS_ACCESS_KEY_ID").zip(secret("AWS_SECRET_ACCESS_KEY"));
    let keys = keys.and_then(|(id, key)| AwsKeys::new(id, key, secret("AWS_SESSION_TOKEN")).ok());
    Aws {
        keys,
        region: variable("AWS_REGION"),
    }
}

/// Fetches a secret that needs no service: from the environment or a file.
pub(crate) fn local_secret(
    reference: &SecretReference,
    variable: Variable<'_>,
) -> Result<Secret, String> {
    let (what, text) = match reference {
        SecretReference::Env(name) => {
            let value =
                variable(name).ok_or_else(|| format!("environment variable {name} is not set"));
            (format!("environment variable {name}"), value?)
        }
        SecretReference::File(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| format!("file {path} cannot be read: {error}"));
            (format!("file {path}"), text?)
        }
        SecretReference::AwsSecret { arn, .. } => {
            return Err(format!("the secret {arn} was not fetched"));
        }
    };
    match text.trim() {
        "" => Err(format!("{what} is empty")),
        text => Ok(Secret::new(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsErrors> {
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Settings::read(&move |name| {
            let found = variables.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn every_variable_that_is_missing_is_named() {
        let SettingsErrors(errors) = read(&[("COURIER_TABLE", " ")]).unwrap_err();
        assert_eq!(
            errors,
            [
                "COURIER_CONFIG is not set",
                "COURIER_QUEUE_URL is not set",
                "COURIER_TABLE is not set"
            ]
        );
    }

    #[test]
    fn the_identity_of_a_function_is_that_of_its_role() {
        let with = |missing: &'static str| {
            role(&move |name| {
                let known = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"];
                let is_there = known.contains(&name) && name != missing;
                is_there.then(|| name.to_owned())
            })
        };
        let aws = with("");
        assert!(aws.keys.is_some());
        assert_eq!(aws.region.as_deref(), Some("AWS_REGION"));
        assert!(with("AWS_SECRET_ACCESS_KEY").keys.is_none());
    }

    #[test]
    fn a_base_path_may_be_written_with_slashes_or_without() {
        for (text, path) in [
            ("graph", Some("graph")),
            ("/graph", Some("graph")),
            (" /it/graph/ ", Some("it/graph")),
            ("/", None),
            ("", None),
        ] {
            let read = base_path(&|name| (name == "COURIER_BASE_PATH").then(|| text.to_owned()));
            assert_eq!(read.as_deref(), path, "{text:?}");
        }
        assert_eq!(base_path(&|_| None), None);
    }

    #[test]
    fn the_configuration_may_be_in_a_secret_a_parameter_or_a_file() {
        let place = |text: &str| {
            read(&[
                ("COURIER_CONFIG", text),
                ("COURIER_QUEUE_URL", "https://sqs.example/1/q"),
                ("COURIER_TABLE", "courier"),
            ])
            .map(|settings| settings.config)
        };
        assert_eq!(
            place("aws-ssm:/courier/config"),
            Ok(ConfigPlace::Parameter("/courier/config".to_owned()))
        );
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:courier-AbCdEf";
        assert_eq!(
            place(&format!("aws-secret:{arn}#config")),
            Ok(ConfigPlace::Secret {
                arn: arn.to_owned(),
                key: Some("config".to_owned())
            })
        );
        assert_eq!(
            place("file:a.toml"),
            Ok(ConfigPlace::File("a.toml".to_owned()))
        );
        for bad in ["env:CONFIG", "aws-ssm:", "courier.toml"] {
            let SettingsErrors(errors) = place(bad).unwrap_err();
            assert_eq!(
                errors,
                ["COURIER_CONFIG must be aws-secret:ARN[#key], aws-ssm:NAME or file:PATH"],
                "{bad}"
            );
        }
    }
}
