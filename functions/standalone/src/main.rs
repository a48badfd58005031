//! `courier`: graph-courier in one process on an embedded database. This file reads the command line and wires.

use std::io::Write;
use std::process::ExitCode;

use arguments::{Arguments, Command, KeyCommand};
use clap::Parser;
use courier_core::catalogue::Faults;
use courier_core::config::ConfigErrors;
use courier_core::engine::deployment::DeploymentError;
use failure::Usage;

use crate::machine::Place;

mod arguments;
mod backup;
mod check;
mod client;
mod demo;
mod descriptors;
mod dev;
mod doctor;
mod failure;
mod healthcheck;
mod key;
mod listen;
mod machine;
mod manual;
mod metrics;
mod orphans;
mod output;
mod pace;
mod receiver;
mod reload;
mod sample;
mod sas;
mod secret;
mod serve;
mod settings;
mod show;
mod simulate;
mod site;
mod story;
mod terminal;
mod timeline;
mod trigger;
mod verify;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Demo { once: false });
    let works_on_data = matches!(
        command,
        Command::Serve { .. }
            | Command::SimulateGraph { .. }
            | Command::Check { .. }
            | Command::Backup(_)
            | Command::Restore(_)
    );
    // Operations of `dev` fail on purpose, so that there is something to see.
    let fails_on_purpose = matches!(command, Command::Dev { .. });
    let level = match (works_on_data, fails_on_purpose) {
        (true, _) => "info",
        (false, true) => "error",
        (false, false) => "warn",
    };
    let ended = settings::start_logging(level).and_then(|()| run(command));
    match ended {
        Ok(code) => code,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is closed.
            let _ = writeln!(std::io::stderr(), "courier: {error:#}");
            let wrong_key = error.downcast_ref::<DeploymentError>();
            let wrong_config = error.is::<Usage>()
                || error.is::<ConfigErrors>()
                || error.is::<Faults>()
                || matches!(wrong_key, Some(DeploymentError::WrongSealKey { .. }));
            ExitCode::from(if wrong_config { 2 } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    // One thread suffices for more than a thousand operations a second, beside the threads of the data file. With two, each
    // operation costs a fifth more, because they wake each other up (docs/performance.md).
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
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
                let data = settings::data(data)?;
                let place = Place {
                    metrics: settings::metrics_listen(metrics_listen)?,
                    ..Place::new(&data, settings::listen(listen)?)
                };
                serve::run(config, place).await
            }
            Command::SimulateGraph {
                listen,
                script,
                journal,
                catalogue,
            } => simulate::run(listen, script, journal, &catalogue).await,
            Command::Backup(arguments) => backup::back_up(arguments),
            Command::Restore(arguments) => backup::restore(arguments).await,
            Command::Healthcheck(arguments) => healthcheck::run(&arguments).await,
            Command::Check { config, data } => check::run(config, data.as_deref()),
            Command::Key { command } => match command {
                KeyCommand::New(kind) => key::run(kind),
                KeyCommand::Public(arguments) => key::public(arguments),
            },
            Command::Submit(arguments) => client::submit::run(&arguments).await,
            Command::List(arguments) => client::listing::run(&arguments).await,
            Command::Show(arguments) => client::show::show(&arguments).await,
            Command::Watch(arguments) => client::watch::run(&arguments).await,
            Command::History(arguments) => client::show::history(&arguments).await,
            Command::Evidence(arguments) => client::evidence::run(&arguments).await,
            Command::Verify(arguments) => verify::run(&arguments),
            Command::Cancel(arguments) => client::acts::cancel(&arguments).await,
            Command::Redeliver(arguments) => client::redeliver::run(&arguments).await,
            Command::Resume(arguments) => client::acts::resume(&arguments).await,
            Command::Acknowledge(arguments) => client::acts::acknowledge(&arguments).await,
            Command::Legal(command) => client::legal::run(&command).await,
            Command::Erase(arguments) => client::acts::erase(&arguments).await,
            Command::Listen(arguments) => listen::run(arguments).await,
            Command::Trigger(arguments) => trigger::run(arguments).await,
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Sas(arguments) => sas::run(arguments).await,
            Command::Completions { shell } => manual::completions(shell),
            Command::Man { directory } => manual::pages(&directory),
        }
    })
}
