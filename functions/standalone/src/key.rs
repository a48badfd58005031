//! `courier key new`: makes a key, password or secret of 32 random bytes, prints it once, and prints what to configure.
//! `courier key public`: prints the public keys that verify evidence, and never a private one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::Args;
use courier_core::crypto::evidence_keys::{ListedKey, PublicKey, SigningKey, jwk_set};
use courier_core::crypto::hmac::Encoding;
use courier_core::crypto::secret::Secret;
use sha2::{Digest, Sha256};

use crate::failure::Usage;
use crate::terminal::json_line;
use crate::{output, settings};

/// Kind of secret to make; an API key by default.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct Kind {
    /// Makes the key of a client, for `Authorization: Bearer` or `X-Api-Key` (the default).
    #[arg(long)]
    api_key: bool,
    /// Makes a secret that signs callbacks, or a client's own Standard Webhooks.
    #[arg(long)]
    signing_secret: bool,
    /// Makes the password of a client, for Basic.
    #[arg(long)]
    password: bool,
    /// Makes the key that seals SAS URLs, callback URLs and refresh tokens on disk.
    #[arg(long)]
    seal_key: bool,
    /// Makes the key that signs evidence, and shows its public key and id.
    #[arg(long)]
    evidence_key: bool,
}

/// Whose public keys are wanted; those of the configuration by default.
#[derive(Args)]
pub(crate) struct Public {
    /// The configuration file. Without it the environment must say COURIER_CONFIG=file:PATH.
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    config: Option<PathBuf>,
    /// A file with a key as it may stand behind `evidence.keys`, instead of a configuration; `-` is standard input. It may
    /// be given several times.
    #[arg(long = "key-file", value_name = "FILE")]
    key_file: Vec<PathBuf>,
    /// Prints each key as PEM instead of all as a JWK Set.
    #[arg(long)]
    pem: bool,
}

pub(crate) fn public(arguments: Public) -> anyhow::Result<ExitCode> {
    let keys = match arguments.key_file.as_slice() {
        [] => configured(arguments.config)?,
        files => files
            .iter()
            .map(|file| of_file(file))
            .collect::<Result<_, _>>()?,
    };
    let text = match arguments.pem {
        true => keys.iter().map(PublicKey::pem).collect(),
        false => json_line(&jwk_set(&keys)),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn configured(config: Option<PathBuf>) -> anyhow::Result<Vec<PublicKey>> {
    let (config, document) = settings::load_config(config)?;
    let keys = config.evidence.as_ref();
    let keys = keys.ok_or_else(|| {
        Usage::error(format!(
            "{document} has no [evidence]: it names no key that signs"
        ))
    })?;
    Ok(keys.public().cloned().collect())
}

fn of_file(file: &Path) -> anyhow::Result<PublicKey> {
    let text = match file == Path::new("-") {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| {
        Usage::error(format!(
            "--key-file {} cannot be read: {error}",
            file.display()
        ))
    })?;
    let key = ListedKey::parse(&Secret::new(text.trim()));
    let key = key.map_err(|rule| Usage::error(format!("--key-file {} {rule}", file.display())))?;
    Ok(key.public().clone())
}

pub(crate) fn run(kind: Kind) -> anyhow::Result<ExitCode> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("random bytes could not be read: {error}"))?;
    let text = match kind.evidence_key {
        true => evidence(&bytes)?,
        false => text(&kind, &bytes),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the secret on a line of its own, followed by the lines to put into the configuration.
fn text(kind: &Kind, bytes: &[u8; 32]) -> String {
    let plain = URL_SAFE_NO_PAD.encode(bytes);
    let (secret, place, lines) = if kind.signing_secret {
        let lines =
            "signing_secrets = [\"env:WHSEC\"]       # or secrets = […] in [clients.NAME.signed]";
        let place = "in [clients.NAME], with the secret in the environment as WHSEC";
        (
            format!("whsec_{}", STANDARD.encode(bytes)),
            place,
            lines.to_owned(),
        )
    } else if kind.seal_key {
        let place = "in [seal], with the secret in the environment as COURIER_SEAL_KEY";
        let lines = "key = \"env:COURIER_SEAL_KEY\"";
        (STANDARD.encode(bytes), place, lines.to_owned())
    } else if kind.password {
        let lines = format!("passwords = [\"{}\"]", hash(&plain));
        (plain, "in [clients.NAME.basic]", lines)
    } else {
        let lines = format!("api_keys = [\"{}\"]", hash(&plain));
        (plain, "in [clients.NAME]", lines)
    };
    format!("{secret}\n\n# It is not shown again. What to configure {place}:\n{lines}\n")
}

/// Returns the seed of an Ed25519 key, followed by what to configure and what to give to those who verify.
fn evidence(seed: &[u8; 32]) -> anyhow::Result<String> {
    let key = SigningKey::from_seed(seed).map_err(|rule| anyhow!("the key {rule}"))?;
    let (id, pem) = (key.public().id(), key.public().pem());
    Ok(format!(
        "{}\n\n# It is not shown again. What to configure in [evidence], with the secret in the environment as COURIER_EVIDENCE_KEY:\n\
         keys = [\"env:COURIER_EVIDENCE_KEY\"]\n\n\
         # The public key, for everybody who verifies. Its id is {id}\n{pem}",
        STANDARD.encode(seed)
    ))
}

fn hash(secret: &str) -> String {
    let digits = Encoding::Hex.encode(&Sha256::digest(secret));
    format!("sha256:{digits}")
}
