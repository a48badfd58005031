//! `courier serve`: until it is told to stop. It may be killed at any moment; the next one goes on where it was.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::machine::Machine;
use crate::settings;

pub(crate) async fn run(
    config: Option<PathBuf>,
    data: &Path,
    listen: SocketAddr,
) -> anyhow::Result<ExitCode> {
    let config = settings::load_config(config)?;
    let machine = Machine::start(config, data, listen, settings::clock()).await?;
    tracing::info!(address = %machine.address, data = %data.display(), "serving");
    stop_asked().await?;
    tracing::info!("stopping: finishing what is in flight");
    machine.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Returns at Ctrl-C or SIGTERM.
pub(crate) async fn stop_asked() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
