//! `courier trigger`: sends a signed example of a completion to a receiver, from here and without a server.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::anyhow;
use clap::Args;
use courier_core::crypto::hmac::Encoding;
use courier_core::crypto::webhook_signature::SigningSecret;
use courier_core::operation::Outcome;
use courier_core::outbound::certificates;
use courier_core::profile::{DEFAULT, Profile, Signature};
use serde_json::{Value, json};
use url::Url;

use crate::client::arguments::Target;
use crate::client::connection::{Call, Connection, last};
use crate::client::document::text;
use crate::failure::Usage;
use crate::sample::{Sample, TIMEOUT};
use crate::secret::{DEVELOPMENT_SECRET, SecretPlace};
use crate::terminal::{Screen, Tone, json_line, toned};
use crate::{output, settings};

/// Bytes of an answer that are shown.
const SHOWN_BYTES: usize = 512;

#[derive(Args)]
pub(crate) struct Arguments {
    /// How the operation of the example ended: succeeded, partiallySucceeded, failed, expired, unknown or cancelled.
    outcome: String,
    /// The URL of the receiver.
    receiver: Url,
    /// The callback profile that gives the form: standard-webhooks, or with --by-server the client's own. Credentials that
    /// a profile needs besides a signature are sent by a server only.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The reference of the example, such as the number of a ticket that may be changed.
    #[arg(long, value_name = "TEXT", default_value = "EXAMPLE-1")]
    reference: String,
    #[command(flatten)]
    secret: SecretPlace,
    /// Lets the server send it, with the profiles and secrets of its configuration: the receiver must be below one of the
    /// client's callback origins.
    #[arg(long, conflicts_with_all = ["secret_env", "secret_file"])]
    by_server: bool,
    /// With --by-server: the client for which an operator asks.
    #[arg(long = "for", value_name = "CLIENT", requires = "by_server")]
    client: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let outcome = outcome(&arguments.outcome)?;
    let url = &arguments.receiver;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(Usage::error("the URL must be an http or https URL"));
    }
    let answered = match arguments.by_server {
        true => by_server(&arguments, outcome).await?,
        false => from_here(&arguments, outcome).await?,
    };
    show(&answered, arguments.target.json)?;
    Ok(match answered["delivered"] == true {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Lets the server send the example; returns what it says of the receiver's answer.
async fn by_server(arguments: &Arguments, outcome: &str) -> anyhow::Result<Value> {
    let connection = Connection::open(&arguments.target)?;
    let mut body = json!({
        "url": arguments.receiver.as_str(), "outcome": outcome, "reference": arguments.reference,
    });
    if let Some(profile) = &arguments.profile {
        body["profile"] = profile.as_str().into();
    }
    let call = Call::post("/v1/callbacks/test")
        .query("client", arguments.client.as_deref())
        .body(body);
    Ok(connection.send(&call).await?.json()?)
}

/// Sends the example from here; returns what a server would say of the receiver's answer.
async fn from_here(arguments: &Arguments, outcome: &str) -> anyhow::Result<Value> {
    let name = arguments.profile.as_deref().unwrap_or(DEFAULT);
    let profile = Profile::find(name).ok_or_else(|| {
        let names: Vec<&str> = Profile::shipped()
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        Usage::error(format!("--profile must be one of {}", names.join(", ")))
    })?;
    let secret = secret(&arguments.secret, profile)?;
    let now = (settings::clock())();
    let sample = Sample::new(outcome, &arguments.reference, &digits()?, now);
    let body = sample.body(profile);
    let headers = sample.headers(profile, &secret, &body, now)?;
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("graph-courier/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT.min(arguments.target.timeout));
    if let Some(roots) = certificates::named(&settings::variable)? {
        client = client.tls_backend_preconfigured(certificates::trusting(roots)?);
    }
    let request = client
        .build()?
        .request(profile.method.clone(), arguments.receiver.clone())
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
                false => last(&error),
            };
            return Err(anyhow!("the receiver gave no answer: {why}"));
        }
    };
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]).into_owned();
    Ok(json!({
        "delivered": profile.takes(status), "eventId": sample.event_id, "status": status,
        "latencyMs": u64::try_from(milliseconds).unwrap_or(u64::MAX), "answer": text,
    }))
}

/// Says what the receiver answered.
fn show(answered: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return output::print(&json_line(answered));
    }
    let is_taken = answered["delivered"] == true;
    let word = match is_taken {
        true => toned(Tone::Good, "taken"),
        false => toned(Tone::Bad, "not taken"),
    };
    let status = match answered["status"].as_u64() {
        Some(status) => format!(
            "answered {status} after {} ms",
            text(&answered["latencyMs"])
        ),
        None => text(&answered["error"]),
    };
    let mut lines = vec![format!("{word}: {status}, {}", text(&answered["eventId"]))];
    let answer = text(&answered["answer"]);
    if !answer.is_empty() {
        lines.push(format!("  {answer}"));
    }
    if answered["notBefore"].is_string() {
        lines.push(format!(
            "  nothing was sent: the receiver is left alone until {}",
            text(&answered["notBefore"])
        ));
    } else if !is_taken {
        lines.push("  a real completion would be followed by further attempts".to_owned());
    }
    let line = lines.join("\n") + "\n";
    output::print(&Screen::of_output().paint(&line))
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
