//! The command line of the program: its commands and what may stand behind them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::client::arguments::{Acknowledge, Erase, List, Many, One, Redeliver, Submit, Watch};
use crate::client::evidence::Evidence;
use crate::client::legal::Legal;
use crate::{backup, dev, doctor, healthcheck, key, listen, sas, trigger, verify};

/// Starts long-running Microsoft Graph operations, follows them and calls back, whatever crashes in between.
///
/// To see it at work, run `courier` by itself: nothing is needed and nothing is left behind. To run it, make secrets
/// with `courier key new`, write a configuration (docs/reference/configuration.md shows one), let `courier check` read it, and start
/// `courier serve`. `courier simulate-graph` stands in for Microsoft Graph; examples/local shows both together.
#[derive(Parser)]
#[command(version, arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
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
        /// The directory for the database, courier.db; else COURIER_DATA says it, or it is courier-data. It is made if
        /// it is missing.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// The address and port at which the API is served; else COURIER_LISTEN says it, or it is 127.0.0.1:8080. With
        /// port 0 the system picks one, and the log says which.
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
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
    /// Asks a running server how it is; exit code 0 if it is well.
    Healthcheck(healthcheck::Healthcheck),
    /// Makes keys, passwords and secrets, and shows the public keys of evidence.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Asks a server for an operation.
    ///
    /// The exit code is 0 when the operation is accepted or has succeeded. With --wait and --watch, and where it has ended at
    /// once, the exit code says how: see `courier show --help`.
    Submit(Submit),
    /// Lists the operations of a server that match all of these, the newest first.
    List(List),
    /// Shows one operation.
    ///
    /// The exit code says how it stands: 0 it has succeeded, 3 it has ended otherwise (failed, partiallySucceeded, expired,
    /// cancelled), 4 it is unknown how it ended, 5 it is open. 1 means that this could not be found out.
    Show(One),
    /// Follows operations until all have ended.
    ///
    /// On a terminal a picture is drawn anew; elsewhere each change is a line. The exit code is that of `courier show`; of
    /// several operations it is 5 if one is open (after --at-most or Ctrl-C), else 4 if one is unknown, else 3 or 0.
    Watch(Watch),
    /// Tells what happened to an operation.
    History(One),
    /// Fetches the signed evidence of what was observed of an operation.
    Evidence(Evidence),
    /// Verifies evidence without a server, and says what it proves and what not.
    ///
    /// The exit code is 0 when a given key has signed it and nothing is wrong, 1 when something is wrong, and 2 when that
    /// cannot be found out: no key was given, or a file cannot be read.
    Verify(verify::Arguments),
    /// Stops following operations. Their jobs at Graph go on.
    Cancel(Many),
    /// Delivers completions again, after showing which.
    Redeliver(Redeliver),
    /// Goes on following the job of an operation that has expired, or whose monitor was gone, as a new operation.
    ///
    /// The new operation is printed; its id is the one to watch. The old one stays as it ended.
    Resume(One),
    /// Notes that a person has looked at an operation whose outcome is unknown.
    ///
    /// The list shows it then as acknowledged. A later note takes the place of the earlier one; the history keeps both.
    Acknowledge(Acknowledge),
    /// Extends, stops or resumes the legal clock of an operation.
    #[command(subcommand)]
    Legal(Legal),
    /// Erases what a closed operation says about people.
    Erase(Erase),
    /// Receives callbacks, verifies them and says why a signature is wrong.
    ///
    /// For whoever builds a receiver, or wants to see what is sent. It answers 204 to what it has verified, else 401.
    Listen(listen::Arguments),
    /// Sends a signed example of a completion to a receiver, from here or from a server.
    ///
    /// The exit code is 0 when the receiver has taken it, else 1.
    Trigger(trigger::Arguments),
    /// Asks everything that a server with this configuration depends on, and says what is missing.
    ///
    /// A token for each tenant and what it permits, Graph, the clocks, the receivers of callbacks, the data directory: one
    /// line for each, with what to do. It prints no secret and changes nothing. The exit code is 1 when a check has failed,
    /// and 2 when the configuration is wrong.
    Doctor(doctor::Arguments),
    /// Signs the right to write into a container of a configured storage, and prints its URL.
    ///
    /// For exports that are asked for with `storageLocation`. A request that names its `storage` needs none: the server makes
    /// container and signature itself. The URL is a secret.
    Sas(sas::Arguments),
    /// Writes the completions of a shell to standard output.
    Completions {
        /// The shell whose completions are wanted.
        shell: Shell,
    },
    /// Writes a manual page for each command into a directory.
    Man {
        /// The directory. It is made if it is missing.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a secret, shows it once, and the line that configures it.
    ///
    /// It is 32 random bytes, kept nowhere. Without an option it is an API key.
    New(key::Kind),
    /// Prints the public keys that verify evidence, for whoever verifies it.
    ///
    /// As a JWK Set they are what a server lists at `GET /v1/evidence/keys`, and no server is needed. It never prints a private
    /// key. The exit code is 2 when the configuration or a key is wrong, or no key is configured.
    Public(key::Public),
}
