//! The secret that signs and verifies callbacks on the command line: one that is named on purpose, or a well-known one.
//!
//! It is never taken out of a configuration, so that nobody signs with a secret of production unawares.

use std::path::PathBuf;

use clap::Args;
use courier_core::crypto::secret::Secret;
use courier_core::crypto::webhook_signature::SigningSecret;

use crate::failure::Usage;
use crate::settings;

/// The secret of everybody: it proves nothing, and is for trying things out.
pub(crate) const DEVELOPMENT_SECRET: &str = "whsec_Z3JhcGgtY291cmllciBkZXZlbG9wbWVudCBzZWNyZXQ=";

/// Where the secret is. Without either it is the development secret.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct SecretPlace {
    /// The environment variable that holds the signing secret, whsec_ and base64.
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// The file that holds the signing secret. Without either a well-known development secret is used, and printed.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// A secret as it was given.
pub(crate) struct Given {
    pub(crate) text: Secret,
    /// What it is, or the rule that it breaks.
    pub(crate) parsed: Result<SigningSecret, String>,
    pub(crate) is_for_development: bool,
}

impl SecretPlace {
    /// Reads the secret. One in the wrong form is no error yet: it may be what there is to find out.
    pub(crate) fn read(&self) -> anyhow::Result<Given> {
        let (text, is_for_development) = match (&self.secret_env, &self.secret_file) {
            (Some(name), _) => {
                let text = settings::variable(name).filter(|text| !text.trim().is_empty());
                let text = text.ok_or_else(|| {
                    Usage::error(format!(
                        "the environment variable {name} is not set or empty"
                    ))
                })?;
                (text, false)
            }
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    let path = path.display();
                    Usage::error(format!("the secret file {path} cannot be read: {error}"))
                })?;
                (text, false)
            }
            (None, None) => (DEVELOPMENT_SECRET.to_owned(), true),
        };
        let text = Secret::new(text.trim());
        Ok(Given {
            parsed: SigningSecret::parse(&text),
            text,
            is_for_development,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_development_secret_has_the_right_form() {
        assert!(SigningSecret::parse(&Secret::new(DEVELOPMENT_SECRET)).is_ok());
    }
}
