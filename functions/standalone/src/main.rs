//! `courier`: graph-courier in one process on an embedded database. This file reads the command line and wires.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use courier_core::config::ConfigErrors;

mod check;
mod demo;
mod descriptors;
mod key;
mod machine;
mod receiver;
mod serve;
mod settings;
mod show;
mod simulate;
mod timeline;

/// Starts long-running Microsoft Graph operations, follows them and calls back, whatever crashes in between.
#[derive(Parser)]
#[command(version, arg_required_else_help = false)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on loopback and watch three operations from request to callback (the default).
    Demo {
        /// End when the three have ended: exit code 0 when all ended as expected, else 1.
        #[arg(long)]
        once: bool,
    },
    /// Serve the HTTP API and do the work, on one machine.
    Serve {
        /// The configuration; without it COURIER_CONFIG=file:PATH is read.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Where the database is kept.
        #[arg(long, default_value = "courier-data")]
        data: PathBuf,
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// Run the Graph simulator alone: `GET /__journal` shows what it saw, `POST /__script` adds a fault.
    SimulateGraph {
        #[arg(long, default_value = "127.0.0.1:8099")]
        listen: SocketAddr,
        /// Durations, behaviour and faults, in TOML.
        #[arg(long)]
        script: Option<PathBuf>,
        /// Append every journal entry to this file, one JSON line each.
        #[arg(long)]
        journal: Option<PathBuf>,
    },
    /// Validate a configuration, say how each client proves itself and what it may do.
    Check {
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Make secrets.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make one, print it once and the line for the configuration.
    New(key::Kind),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Demo { once: false });
    let quiet = matches!(command, Command::Demo { .. });
    let ended = settings::start_logging(quiet).and_then(|()| run(command));
    match ended {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to do when standard error is closed.
            let _ = writeln!(std::io::stderr(), "courier: {error:#}");
            let wrong_config = error.downcast_ref::<ConfigErrors>().is_some();
            ExitCode::from(if wrong_config { 2 } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Demo { once } => demo::run(once).await,
            Command::Serve {
                config,
                data,
                listen,
            } => serve::run(config, &data, listen).await,
            Command::SimulateGraph {
                listen,
                script,
                journal,
            } => simulate::run(listen, script, journal).await,
            Command::Check { config } => check::run(config),
            Command::Key {
                command: KeyCommand::New(kind),
            } => key::run(kind),
        }
    })
}
