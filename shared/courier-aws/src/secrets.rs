//! Fetches the configuration document and the secrets it names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use aws_config::SdkConfig;
use courier_core::catalogue::{Catalogue, Fault, Faults};
use courier_core::config::{Config, ConfigErrors, Finding, OwnOperations};
use courier_core::crypto::secret::{Secret, SecretReference};
use courier_core::error_chain::chain;
use futures_util::future::join_all;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::parameter;
use crate::settings::{ConfigPlace, Variable, local_secret, role};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("COURIER_CONFIG: {0}")]
    Unreachable(String),
    #[error(transparent)]
    Wrong(#[from] ConfigErrors),
}

/// Fetches from Secrets Manager and Systems Manager.
pub(crate) struct Vault {
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    /// The configuration of the SDK, for calls to Systems Manager.
    pub(crate) sdk: SdkConfig,
}

/// Fetched values by ARN; an error text for those that could not be fetched.
type Fetched = BTreeMap<String, Result<Secret, String>>;

/// A configuration document and the secrets it names, as fetched together.
pub(crate) struct Sources {
    /// Where the document was.
    place: String,
    document: Secret,
    fetched: Fetched,
}

impl Sources {
    /// Returns a digest that differs when the document or any secret has changed.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.document.expose());
        for (arn, secret) in &self.fetched {
            hash.update([0]);
            hash.update(arn);
            hash.update([0]);
            hash.update(secret.as_ref().map(Secret::expose).unwrap_or_default());
        }
        hash.finalize().into()
    }

    pub(crate) fn config(&self, variable: Variable<'_>) -> Result<Config, ConfigErrors> {
        let text = self.document.expose();
        let resolve = |reference: &SecretReference| match reference {
            SecretReference::AwsSecret { arn, key } => pick(&self.fetched, arn, key.as_deref()),
            SecretReference::Env(_) | SecretReference::File(_) => local_secret(reference, variable),
        };
        let config = Config::parse_on(text, catalogue(text)?, &resolve, &role(variable));
        config.map_err(|errors| errors.of(self.place.as_str()))
    }
}

impl Vault {
    /// Fetches the document, then every secret it names, once each and concurrently.
    pub(crate) async fn fetch(&self, place: &ConfigPlace) -> Result<Sources, ConfigError> {
        let document = self.document(place).await;
        let document = document.map_err(ConfigError::Unreachable)?;
        let arns = secret_arns(document.expose());
        let texts = join_all(arns.iter().map(|arn| self.secret(arn))).await;
        let fetched = arns.into_iter().zip(texts).collect();
        Ok(Sources {
            place: place.to_string(),
            document,
            fetched,
        })
    }

    async fn document(&self, place: &ConfigPlace) -> Result<Secret, String> {
        match place {
            ConfigPlace::File(path) => std::fs::read_to_string(path)
                .map(Secret::new)
                .map_err(|error| format!("file {path} cannot be read: {error}")),
            ConfigPlace::Secret { arn, key } => {
                let fetched = Fetched::from([(arn.clone(), self.secret(arn).await)]);
                pick(&fetched, arn, key.as_deref())
            }
            ConfigPlace::Parameter(name) => self.parameter(name).await,
        }
    }

    async fn secret(&self, arn: &str) -> Result<Secret, String> {
        let got = self.secrets.get_secret_value().secret_id(arn).send().await;
        let got =
            got.map_err(|error| format!("the secret {arn} cannot be read: {}", chain(&error)))?;
        let text = got.secret_string;
        text.map(Secret::new)
            .ok_or_else(|| format!("the secret {arn} is no text"))
    }

    async fn parameter(&self, name: &str) -> Result<Secret, String> {
        let got = parameter::get(&self.sdk, name).await;
        let got = got
            .map_err(|error| format!("the parameter {name} cannot be read: {}", chain(&*error)))?;
        got.ok_or_else(|| format!("the parameter {name} is empty"))
    }
}

/// Directory in which a layer's files are.
const LAYERS: &str = "/opt";

/// Returns the operations of a configuration: the shipped ones, and those that a layer has brought.
///
/// They are read once: the files of a function that runs do not change.
fn catalogue(text: &str) -> Result<&'static Catalogue, ConfigErrors> {
    static OWN: OnceLock<(OwnOperations, &'static Catalogue)> = OnceLock::new();
    let named = OwnOperations::named_in(text);
    match OWN.get() {
        Some((known, catalogue)) if *known == named => return Ok(catalogue),
        Some(_) | None => {}
    }
    let catalogue = named
        .catalogue(Path::new(LAYERS))
        .map_err(|Faults(faults)| {
            let mistake = |fault: &Fault| Finding {
                line: 1,
                column: 1,
                text: format!("catalogue: {fault}"),
            };
            ConfigErrors {
                document: None,
                mistakes: faults.iter().map(mistake).collect(),
            }
        })?;
    let _ = OWN.set((named, catalogue));
    Ok(catalogue)
}

/// Returns the ARNs that a document names. The parse that follows reports what is wrong with the document.
fn secret_arns(text: &str) -> BTreeSet<String> {
    let arns = RefCell::new(BTreeSet::new());
    // The result is dropped: only the references that the parser resolves matter here.
    let _ = Config::parse(text, Catalogue::shipped(), &|reference| {
        if let SecretReference::AwsSecret { arn, .. } = reference {
            arns.borrow_mut().insert(arn.clone());
        }
        Err("not fetched yet".to_owned())
    });
    arns.into_inner()
}

/// Returns the whole value of a secret, or one field of the JSON object it holds.
fn pick(fetched: &Fetched, arn: &str, key: Option<&str>) -> Result<Secret, String> {
    let missing = || Err(format!("the secret {arn} was not fetched"));
    let secret = fetched.get(arn).cloned().unwrap_or_else(missing)?;
    let Some(key) = key else {
        return Ok(Secret::new(secret.expose().trim()));
    };
    let object: Value = serde_json::from_str(secret.expose())
        .map_err(|_| format!("the secret {arn} is not a JSON object"))?;
    match object[key].as_str().map(str::trim) {
        Some(text) if !text.is_empty() => Ok(Secret::new(text)),
        _ => Err(format!("the secret {arn} has no text under the key {key}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(text: &str) -> Fetched {
        Fetched::from([("arn".to_owned(), Ok(Secret::new(text)))])
    }

    #[test]
    fn a_secret_is_a_text_or_one_field_of_an_object() {
        assert_eq!(
            pick(&fetched("canary\n"), "arn", None),
            Ok(Secret::new("canary"))
        );
        let object = fetched(r#"{"graph":"canary","empty":"","number":1}"#);
        assert_eq!(
            pick(&object, "arn", Some("graph")),
            Ok(Secret::new("canary"))
        );
        for key in ["empty", "number", "none"] {
            let error = pick(&object, "arn", Some(key)).unwrap_err();
            assert_eq!(
                error,
                format!("the secret arn has no text under the key {key}")
            );
        }
        let error = pick(&fetched("canary"), "arn", Some("graph")).unwrap_err();
        assert_eq!(error, "the secret arn is not a JSON object");
        assert!(pick(&fetched("x"), "other", None).is_err());
    }

    #[test]
    fn the_secrets_of_a_document_are_found_before_they_are_fetched() {
        let text = r#"
            [graph]
            [graph.tenants.contoso]
            tenant_id = "t"
            client_id = "c"
            client_secret = "aws-secret:arn:one#graph"
            [clients.tickets]
            tenant = "contoso"
            signing_secrets = ["aws-secret:arn:one#new", "aws-secret:arn:two"]
            [seal]
            key = "env:SEAL"
        "#;
        let found = secret_arns(text);
        assert_eq!(
            found,
            BTreeSet::from(["arn:one".to_owned(), "arn:two".to_owned()])
        );
        assert!(secret_arns("not toml").is_empty());
    }
}
