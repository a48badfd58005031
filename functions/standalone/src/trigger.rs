//! `courier trigger`: sends a signed example of a completion to a receiver, from here and without a server.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::anyhow;
use clap::Args;
use courier_core::crypto::hmac::Encoding;
use courier_core::crypto::webhook_signature::SigningSecret;
use courier_core::error_chain::chain;
use courier_core::operation::Outcome;
use courier_core::outbound::certificates;
use courier_core::profile::{DEFAULT, Profile, Signature};
use serde_json::json;
use url::Url;

use crate::failure::Usage;
use crate::sample::{Sample, TIMEOUT};
use crate::secret::{DEVELOPMENT_SECRET, SecretPlace};
use crate::terminal::{Screen, Tone, json_line, shown, toned};
use crate::{output, settings};

/// Bytes of an answer that are shown.
const SHOWN_BYTES: usize = 512;

#[derive(Args)]
pub(crate) struct Arguments {
    /// How the operation of the example ended: succeeded, partiallySucceeded, failed, expired, unknown or cancelled.
    outcome: String,
    /// The URL of the receiver.
    url: Url,
    /// The callback profile that gives the form. Credentials that a profile needs besides a signature are not sent.
    #[arg(long, value_name = "NAME", default_value = DEFAULT)]
    profile: String,
    /// The reference of the example, such as the number of a ticket that may be changed.
    #[arg(long, value_name = "TEXT", default_value = "EXAMPLE-1")]
    reference: String,
    #[command(flatten)]
    secret: SecretPlace,
    /// Prints what was answered as a line of JSON, for programs.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let outcome = outcome(&arguments.outcome)?;
    let profile = Profile::find(&arguments.profile).ok_or_else(|| {
        let names: Vec<&str> = Profile::shipped()
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        Usage::error(format!("--profile must be one of {}", names.join(", ")))
    })?;
    if !matches!(arguments.url.scheme(), "http" | "https") || !arguments.url.has_host() {
        return Err(Usage::error("the URL must be an http or https URL"));
    }
    let secret = secret(&arguments.secret, profile)?;
    let now = (settings::clock())();
    let sample = Sample::new(outcome, &arguments.reference, &digits()?, now);
    let body = sample.body(profile);
    let headers = sample.headers(profile, &secret, &body, now)?;
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("graph-courier/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT);
    if let Some(roots) = certificates::named(&settings::variable)? {
        client = client.tls_backend_preconfigured(certificates::trusting(roots)?);
    }
    let request = client
        .build()?
        .request(profile.method.clone(), arguments.url)
        .headers(headers)
        .body(body);
    let began = Instant::now();
    let answered = request.send().await;
    let milliseconds = began.elapsed().as_millis();
    let answer = match answered {
        Ok(answer) => answer,
        Err(error) => {
            let why = match error.is_timeout() {
                true => format!("no answer within {} s", TIMEOUT.as_secs()),
                false => chain(&error.without_url()),
            };
            return Err(anyhow!("the receiver gave no answer: {why}"));
        }
    };
    let status = answer.status().as_u16();
    let text = answer.bytes().await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..text.len().min(SHOWN_BYTES)]).into_owned();
    let is_taken = profile.takes(status);
    if arguments.json {
        output::print(&json_line(&json!({
            "status": status, "latencyMs": milliseconds, "delivered": is_taken,
            "eventId": sample.event_id, "answer": text,
        })))?;
    } else {
        let (tone, word) = match is_taken {
            true => (Tone::Good, "taken"),
            false => (Tone::Bad, "not taken"),
        };
        let word = toned(tone, word);
        let mut line = format!(
            "{word}: answered {status} after {milliseconds} ms, {}",
            sample.event_id
        );
        if !text.is_empty() {
            line.push_str(&format!("\n  {}", shown(&text)));
        }
        if !is_taken {
            line.push_str("\n  in production this would be followed by further attempts");
        }
        output::print(&Screen::of_output().paint(&format!("{line}\n")))?;
    }
    Ok(match is_taken {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Reads an outcome, in any case of its letters.
fn outcome(text: &str) -> anyhow::Result<&'static str> {
    let words = Outcome::ALL.map(Outcome::as_str);
    let found = words
        .into_iter()
        .find(|word| word.eq_ignore_ascii_case(text));
    found.ok_or_else(|| Usage::error(format!("the outcome must be one of {}", words.join(", "))))
}

fn secret(place: &SecretPlace, profile: &Profile) -> anyhow::Result<Vec<SigningSecret>> {
    let given = place.read()?;
    let secret = given
        .parsed
        .map_err(|rule| Usage::error(format!("the secret {rule}")))?;
    if profile.signature == Signature::None {
        output::tell(&format!(
            "the profile {} has no signature of Standard Webhooks: the example goes without any",
            profile.name
        ));
    } else if given.is_for_development {
        output::tell(&format!(
            "signed with the development secret {DEVELOPMENT_SECRET}, which proves nothing: it is the same everywhere"
        ));
    }
    Ok(vec![secret])
}

fn digits() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("random bytes could not be read: {error}"))?;
    Ok(Encoding::Hex.encode(&bytes))
}
