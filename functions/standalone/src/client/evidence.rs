//! `courier evidence`: fetches the signed statement about an operation.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::client::arguments::One;
use crate::client::connection::{Call, Connection};
use crate::client::operation_id;
use crate::client::refusal::Failure;
use crate::client::show::path;
use crate::output;

#[derive(Args)]
pub(crate) struct Evidence {
    /// The file to write. Without it the evidence is written to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    one: One,
}

/// Fetches the evidence and keeps it byte for byte, as its signature covers it.
pub(crate) async fn run(arguments: &Evidence) -> anyhow::Result<ExitCode> {
    let id = operation_id(&arguments.one.id)?;
    let connection = Connection::open(&arguments.one.target)?;
    let call = Call::get(format!("{}/evidence", path(&id)));
    let answer = connection.send(&call).await?;
    if !answer.json()?["payload"].is_string() {
        return Err(Failure::NotCourier("its answer is no evidence".to_owned()).into());
    }
    let text = String::from_utf8_lossy(&answer.body);
    match &arguments.output {
        None => output::print(&format!("{text}\n"))?,
        Some(file) => std::fs::write(file, &answer.body)
            .with_context(|| format!("{} cannot be written", file.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}
