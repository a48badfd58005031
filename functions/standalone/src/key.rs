//! `courier key new`: makes a key, password or secret of 32 random bytes, prints it once, and prints what to configure.

use std::process::ExitCode;

use anyhow::anyhow;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::Args;
use courier_core::crypto::evidence_keys::SigningKey;
use courier_core::crypto::hmac::Encoding;
use sha2::{Digest, Sha256};

use crate::output;

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
