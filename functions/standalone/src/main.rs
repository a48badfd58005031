//! `courier`: graph-courier in one process on an embedded database. This file reads the command line and wires.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use courier_core::catalogue::Faults;
use courier_core::config::ConfigErrors;
use courier_core::engine::deployment::DeploymentError;

use crate::machine::Place;

mod backup;
mod check;
mod demo;
mod descriptors;
mod dev;
mod key;
mod machine;
mod metrics;
mod orphans;
mod output;
mod pace;
mod receiver;
mod reload;
mod serve;
mod settings;
mod show;
mod simulate;
mod story;
mod timeline;

/// Starts long-running Microsoft Graph operations, follows them and calls back, whatever crashes in between.
///
/// To see it at work, run `courier` by itself: nothing is needed and nothing is left behind. To run it, make secrets
/// with `courier key new`, write a configuration (docs/reference/configuration.md shows one), let `courier check` read it, and start
/// `courier serve`. `courier simulate-graph` stands in for Microsoft Graph; examples/local shows both together.
#[derive(Parser)]
#[command(version, arg_required_else_help = false)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything on loopback and shows three operations from request to callback (the default).
    ///
    /// Simulator, receiver and server run in this process, at free ports of 127.0.0.1. Colours are left out when
    /// standard output is no terminal, when NO_COLOR is set to any text, and when TERM is dumb.
    Demo {
        /// Ends when the three operations have: with exit code 0 if all ended as expected, else with 1. Without it the
        /// demo goes on serving until Ctrl-C.
        #[arg(long)]
        once: bool,
    },
    /// Runs everything on loopback, with operations of an invented service desk, until Ctrl-C.
    ///
    /// Simulated Graph, receiver, server and console run in this process; the first lines say where. Nothing is needed, and
    /// nothing is left behind.
    Dev {
        /// The address and port of API and console. With port 0 the system picks one.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// How fast the clock runs: 1d/s is a day for each second, 6h/s six hours. Jobs then last for hours and days.
        #[arg(long, value_name = "SPEED")]
        speed: Option<dev::Speed>,
    },
    /// Serves the HTTP API and does the work behind it, on one machine.
    ///
    /// It reads the configuration again when its file or a file of a secret changes, and on SIGHUP. A wrong one changes
    /// nothing, and the log says what is wrong.
    ///
    /// It ends on Ctrl-C or SIGTERM, when what is in flight is finished. It may also be killed at any moment: the next
    /// one goes on where it was. What it does is logged on standard error; COURIER_LOG says how much.
    Serve {
        /// The configuration file. Without it the environment must say COURIER_CONFIG=file:PATH.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The directory for the database, courier.db. It is made if it is missing.
        #[arg(long, value_name = "DIR", default_value = "courier-data")]
        data: PathBuf,
        /// The address and port at which the API is served. With port 0 the system picks one, and the log says which.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// The address and port at which metrics are served, in the form of Prometheus, to everybody who can reach it.
        /// Without it the environment may say COURIER_METRICS_LISTEN=ADDR; without both there are none.
        #[arg(long, value_name = "ADDR")]
        metrics_listen: Option<SocketAddr>,
    },
    /// Runs a simulated Microsoft Graph, for trying things out without an account.
    ///
    /// `GET /__journal` shows what it was asked, `GET /__jobs` what it works on, `GET /__script` the faults still to
    /// come. `POST /__script` adds faults while it runs: one, or a list of them, in JSON, as in
    /// {"on": "export.start", "action": "lost_after"}. The file of --script is TOML:
    /// shared/graph-simulator/script.example.toml shows what may stand in it.
    SimulateGraph {
        /// The address and port at which Graph and its token endpoint are simulated. With port 0 the system picks one,
        /// and the first line of the output says which.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8099")]
        listen: SocketAddr,
        /// A TOML file with durations, behaviour and faults. Without it jobs take minutes, and nothing goes wrong.
        #[arg(long, value_name = "FILE")]
        script: Option<PathBuf>,
        /// A file that gets a line of JSON for every call, before the call is answered.
        #[arg(long, value_name = "FILE")]
        journal: Option<PathBuf>,
        /// A folder with operations of your own: NAME.toml of the catalogue, and beside it NAME.sim.toml with the answers
        /// (docs/reference/simulator.md). It may be given several times.
        #[arg(long, value_name = "DIR")]
        catalogue: Vec<PathBuf>,
    },
    /// Validates a configuration and says how each client proves itself and what it may do.
    ///
    /// Nothing is started and nobody is called. The exit code is 2 when the configuration is wrong, or when it would
    /// leave something behind in the data; every mistake is named on standard error.
    Check {
        /// The configuration file. Without it the environment must say COURIER_CONFIG=file:PATH.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The directory of a database. It is read, and what this configuration would leave behind in it is counted:
        /// open operations of unknown clients, tenants, operations and profiles, and data that no seal key opens.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Copies the data into one file, while it is served or not.
    ///
    /// The copy is one moment of the data. It is checked from end to end, and what it holds is counted. It holds personal
    /// data and sealed secrets: keep it as you keep the data.
    Backup(backup::Backup),
    /// Puts a copy in place, so that `courier serve` goes on from it.
    ///
    /// What was done after the copy was made is not known to it. No operation that Graph would run twice is started from
    /// it: it ends as `unknown`, and its history says why (docs/backup.md). The exit code is 2 when the configuration is
    /// wrong or has not the seal key of the copy.
    Restore(backup::Restore),
    /// Makes keys, passwords and secrets.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Makes a secret, shows it once, and the line that configures it.
    ///
    /// It is 32 random bytes, kept nowhere. Without an option it is an API key.
    New(key::Kind),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Demo { once: false });
    let quiet = matches!(command, Command::Demo { .. } | Command::Dev { .. });
    let ended = settings::start_logging(quiet).and_then(|()| run(command));
    match ended {
        Ok(code) => code,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is closed.
            let _ = writeln!(std::io::stderr(), "courier: {error:#}");
            let wrong_key = error.downcast_ref::<DeploymentError>();
            let wrong_config = error.is::<ConfigErrors>()
                || error.is::<Faults>()
                || matches!(wrong_key, Some(DeploymentError::WrongSealKey { .. }));
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
            Command::Dev { listen, speed } => dev::run(listen, speed).await,
            Command::Serve {
                config,
                data,
                listen,
                metrics_listen,
            } => {
                let place = Place {
                    metrics: settings::metrics_listen(metrics_listen)?,
                    ..Place::new(&data, listen)
                };
                serve::run(config, place).await
            }
            Command::SimulateGraph {
                listen,
                script,
                journal,
                catalogue,
            } => simulate::run(listen, script, journal, &catalogue).await,
            Command::Backup(arguments) => backup::back_up(&arguments),
            Command::Restore(arguments) => backup::restore(arguments).await,
            Command::Check { config, data } => check::run(config, data.as_deref()),
            Command::Key {
                command: KeyCommand::New(kind),
            } => key::run(kind),
        }
    })
}
