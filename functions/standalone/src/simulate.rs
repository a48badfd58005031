//! `courier simulate-graph`: Microsoft Graph on loopback, for trying things out and for tests in other processes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use graph_simulator::{Declared, Options, Simulator};
use tokio::net::TcpListener;

use crate::serve::Stop;
use crate::{output, settings};

pub(crate) async fn run(
    listen: SocketAddr,
    script: Option<PathBuf>,
    journal: Option<PathBuf>,
    catalogue: &[PathBuf],
) -> anyhow::Result<ExitCode> {
    let mut options = match script {
        None => Options::new(settings::clock()),
        Some(path) => {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("the script {} cannot be read", path.display()))?;
            Options::from_toml(&text, settings::clock())
                .with_context(|| format!("the script {} is wrong", path.display()))?
        }
    };
    for folder in catalogue {
        let declared = Declared::folder(folder)
            .with_context(|| format!("the catalogue {} cannot be simulated", folder.display()))?;
        options.catalogue.extend(declared);
    }
    options.journal_file = journal.or(options.journal_file);
    let mut stop = Stop::listen()?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen at {listen}"))?;
    let simulator = Simulator::start(listener, options).await?;
    output::print(&format!(
        "simulating Microsoft Graph at {}\nmonitors that take no token are at http://{}\n",
        simulator.base_url(),
        simulator.anonymous_address()
    ))?;
    stop.asked().await;
    simulator.stop().await;
    Ok(ExitCode::SUCCESS)
}
