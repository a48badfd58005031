//! `courier serve`: runs the service until SIGINT or SIGTERM. It may be killed at any moment; the next process resumes
//! where it was.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::machine::{Machine, Place};
use crate::reload::Source;
use crate::settings;

pub(crate) async fn run(config: Option<PathBuf>, place: Place<'_>) -> anyhow::Result<ExitCode> {
    courier_core::arm_crash_points!(settings::variable);
    // From now on SIGHUP does not end the program.
    let hangup = signal(SignalKind::hangup())?;
    let (source, loaded) = Source::read(settings::document_path(config)?)?;
    let (config, document) = (loaded.config, loaded.document);
    for warning in &config.warnings {
        tracing::warn!("{document}:{warning}");
    }
    let (cloud, graph) = (config.graph.cloud.clone(), config.graph.base_url.clone());
    let clients = config.clients.len();
    let mut stop = Stop::listen()?;
    let data = place.data;
    let place = Place {
        source: Some((source, hangup)),
        ..place
    };
    let mut machine = tokio::select! {
        machine = Machine::start(config, place, settings::clock()) => machine?,
        // It may be waiting for another process to end.
        () = stop.asked() => return Ok(ExitCode::SUCCESS),
    };
    tracing::info!(
        address = %machine.address,
        data = %data.display(),
        data_file = if machine.is_new { "new" } else { "continued" },
        open_operations = machine.open_operations,
        cloud,
        graph = graph.origin().ascii_serialization(),
        clients,
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    if let Some(address) = machine.metrics_address {
        tracing::info!(%address, "serving metrics");
    }
    tokio::select! {
        () = stop.asked() => {}
        what = machine.failed() => {
            anyhow::bail!("{what}; the next process goes on where this one was")
        }
    }
    tracing::info!("stopping: finishing what is in flight; a second signal ends it at once");
    tokio::select! {
        () = machine.stop() => Ok(ExitCode::SUCCESS),
        () = stop.asked() => {
            tracing::warn!("ended at once: what was in flight goes on with the next start");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Ctrl-C and SIGTERM, caught from the moment this exists, so that the service may be stopped as soon as it runs.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for either signal.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
