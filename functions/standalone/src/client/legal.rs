//! `courier legal`: extends, stops and resumes the legal clock of an operation.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::acts::act;
use crate::client::arguments::One;
use crate::client::connection::Call;
use crate::client::operation_id;
use crate::client::show::path;

/// What is done to the legal clock of an operation without an outcome.
#[derive(Subcommand)]
pub(crate) enum Legal {
    /// Notes that the person was told of an extension, and moves the due date.
    Extend(Extend),
    /// Stops the clock, where the regulation knows a pause.
    Pause(Pause),
    /// Lets the clock go on.
    Resume(Resume),
}

#[derive(Args)]
pub(crate) struct Extend {
    /// Why more time is needed. It stays in the history.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// When the person was told (RFC 3339), within the first period.
    #[arg(long, value_name = "TIME")]
    told_at: String,
    /// By how many months, for a regulation that counts months. Without it: as many as the regulation allows.
    #[arg(long, value_name = "NUMBER", conflicts_with = "days")]
    months: Option<u16>,
    /// By how many days, for a regulation that counts days. Without it: as many as the regulation allows.
    #[arg(long, value_name = "NUMBER")]
    days: Option<u16>,
    #[command(flatten)]
    one: One,
}

#[derive(Args)]
pub(crate) struct Pause {
    /// Why the clock is stopped. It stays in the history.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// When the person was asked (RFC 3339). Without it: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    one: One,
}

#[derive(Args)]
pub(crate) struct Resume {
    /// When the person's answer was received (RFC 3339). Without it: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    one: One,
}

/// Does one act, and prints the operation.
pub(crate) async fn run(command: &Legal) -> anyhow::Result<ExitCode> {
    let (name, one, body) = match command {
        Legal::Extend(arguments) => {
            let mut body = json!({ "reason": arguments.reason, "toldAt": arguments.told_at });
            for (name, count) in [("months", arguments.months), ("days", arguments.days)] {
                if let Some(count) = count {
                    body[name] = count.into();
                }
            }
            ("extend", &arguments.one, body)
        }
        Legal::Pause(arguments) => {
            let body = at(
                json!({ "reason": arguments.reason }),
                arguments.at.as_deref(),
            );
            ("pause", &arguments.one, body)
        }
        Legal::Resume(arguments) => {
            let body = at(json!({}), arguments.at.as_deref());
            ("resume", &arguments.one, body)
        }
    };
    let id = operation_id(&one.id)?;
    let call = Call::post(format!("{}/legal/{name}", path(&id)));
    act(one, call.body(body)).await
}

fn at(mut body: Value, at: Option<&str>) -> Value {
    if let Some(at) = at {
        body["at"] = at.into();
    }
    body
}
