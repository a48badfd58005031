//! `courier doctor`: asks everything that graph-courier depends on, as a server with this configuration would, and says
//! what is missing. It starts nothing, changes nothing and prints no secret.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use courier_core::config::Config;
use courier_core::outbound::{HttpTransport, Timeouts};
use courier_core::time::Clock;
use serde_json::json;
use url::Url;

use crate::terminal::{Screen, Tone, json_line, shown, toned};
use crate::{output, settings};

mod graph;
mod machine;
mod permissions;
mod receivers;
mod storages;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The configuration file. Without it the environment must say COURIER_CONFIG=file:PATH.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the database: its space, whether it is in use, and the newest refresh tokens in it.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Sends a signed example of a completion to this URL, which must be below an origin of a client, with that client's
    /// secrets. It may be given several times.
    #[arg(long, value_name = "URL")]
    ping: Vec<Url>,
    /// Prints each check as a line of JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warning,
    Failed,
}

/// What one check found.
#[derive(Debug)]
struct Finding {
    level: Level,
    what: String,
    /// What to do about it.
    next: Option<String>,
}

/// The checks and what they share.
struct Doctor {
    config: Config,
    transport: HttpTransport,
    timeouts: Timeouts,
    clock: Clock,
    data: Option<PathBuf>,
    screen: Screen,
    json: bool,
    failed: usize,
    warned: usize,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            what: what.into(),
            next: None,
        }
    }

    fn warning(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            what: what.into(),
            next: Some(next.into()),
        }
    }

    fn failed(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            level: Level::Failed,
            what: what.into(),
            next: Some(next.into()),
        }
    }
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warning => Tone::Warning,
            Self::Failed => Tone::Bad,
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (config, document) = settings::load_config(arguments.config)?;
    let timeouts = Timeouts::default();
    let transport = settings::transport(&config, &timeouts)?;
    let mut doctor = Doctor {
        config,
        transport,
        timeouts,
        clock: settings::clock(),
        data: arguments.data,
        screen: Screen::of_output(),
        json: arguments.json,
        failed: 0,
        warned: 0,
    };
    doctor.configuration(&document)?;
    doctor.data()?;
    doctor.graph().await?;
    doctor.tokens().await?;
    doctor.storages().await?;
    doctor.receivers().await?;
    for url in &arguments.ping {
        doctor.ping(url).await?;
    }
    doctor.conclude()
}

impl Doctor {
    /// Prints what a check found, at once: the next one may take its time.
    fn tell(&mut self, check: &str, finding: &Finding) -> anyhow::Result<()> {
        match finding.level {
            Level::Ok => {}
            Level::Warning => self.warned += 1,
            Level::Failed => self.failed += 1,
        }
        let level = finding.level.as_str();
        if self.json {
            return output::print(&json_line(&json!({
                "check": check, "level": level, "what": finding.what, "next": finding.next,
            })));
        }
        let padding = " ".repeat(9 - level.len());
        let level = toned(finding.level.tone(), level);
        let (check, what) = (shown(check), shown(&finding.what));
        let mut line = format!("{level}{padding}{check}: {what}\n");
        if let Some(next) = &finding.next {
            line.push_str(&format!(
                "         {} {}\n",
                toned(Tone::Dim, "next:"),
                shown(next)
            ));
        }
        output::print(&self.screen.paint(&line))
    }

    fn configuration(&mut self, document: &str) -> anyhow::Result<()> {
        let (clients, tenants) = (self.config.clients.len(), self.config.graph.tenants.len());
        let what = format!("{document} holds, with {clients} client(s) and {tenants} tenant(s)");
        self.tell("configuration", &Finding::ok(what))?;
        let warnings: Vec<String> = self
            .config
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect();
        for warning in warnings {
            let next = "look at this line of the configuration";
            let finding = Finding::warning(format!("{document}:{warning}"), next);
            self.tell("configuration", &finding)?;
        }
        Ok(())
    }

    /// Says how calls of this URL go out, for the end of a sentence, and what to look at when nothing answers there.
    fn way(&self, url: &Url) -> (&'static str, &'static str) {
        let proxy = self.config.proxy.as_ref();
        match proxy.is_some_and(|proxy| proxy.carries(url)) {
            true => (
                " through the proxy",
                "look at the proxy of [outbound]: its address and password, and whether it lets calls to this host pass",
            ),
            false => (
                "",
                "look at DNS and firewalls, or name a proxy in [outbound]",
            ),
        }
    }

    fn conclude(&self) -> anyhow::Result<ExitCode> {
        if !self.json {
            let text = match (self.failed, self.warned) {
                (0, 0) => "All is well.".to_owned(),
                (0, warned) => format!("Nothing failed; {warned} warning(s)."),
                (failed, warned) => format!("{failed} check(s) failed; {warned} warning(s)."),
            };
            output::print(&format!("\n{text}\n"))?;
        }
        Ok(match self.failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }
}
