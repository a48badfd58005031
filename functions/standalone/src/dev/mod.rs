//! `courier dev`: a whole graph-courier on a simulated Graph, with operations that run, go wrong and end.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use courier_core::catalogue::Catalogue;
use courier_core::config::Config;
use courier_core::crypto::secret::{Secret, SecretReference};
use courier_core::time::Clock;
use graph_simulator::{Options, STORAGE_ACCOUNT, STORAGE_KEY, Simulator};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::machine::{Machine, Place};
use crate::pace::Pace;
use crate::receiver::{self, Callback};
use crate::serve::Stop;
use crate::{output, settings};

mod time_machine;
mod traffic;

pub(crate) use time_machine::Speed;
use time_machine::TimeMachine;
use traffic::Traffic;

/// The key of the operator, by which the console and the `curl` of the first lines see everything.
const OPERATOR_KEY: &str = "dev";
/// The key of the client in whose name operations are asked for.
const CLIENT_KEY: &str = "dev-client";
const SIGNING_SECRET: &str = "whsec_ZGVtby1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcy4=";
/// Operations that are asked for at the start.
const FIRST: usize = 14;
/// Real time between two further requests; a clock that runs ahead has them closer together.
const PAUSE: Duration = Duration::from_secs(10);
const SHORT_PAUSE: Duration = Duration::from_millis(500);
/// Operations that may be open before no further ones are asked for.
const MOST_OPEN: usize = 60;

/// Runs until Ctrl-C. With a speed the clock runs ahead.
pub(crate) async fn run(listen: SocketAddr, speed: Option<Speed>) -> anyhow::Result<ExitCode> {
    let mut stop_signal = Stop::listen()?;
    let began = settings::clock()();
    let time_machine = speed.map(|speed| TimeMachine::new(began, speed));
    let clock = time_machine
        .as_ref()
        .map_or_else(settings::clock, TimeMachine::clock);
    let (stop, stopped) = watch::channel(false);
    let simulator = simulator(&clock, speed.is_some()).await?;
    let (receiver, callbacks) =
        receiver::start(SIGNING_SECRET, Arc::clone(&clock), stopped).await?;
    let data = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    let pace = time_machine
        .as_ref()
        .map_or_else(Pace::default, |machine| Pace {
            busy: Arc::clone(&machine.busy),
            max_idle: Duration::from_millis(1),
        });
    let place = Place {
        pace,
        ..Place::new(data.path(), listen)
    };
    let config = config(&simulator, receiver)?;
    let machine = Machine::start(config, place, Arc::clone(&clock))
        .await
        .context("courier dev did not start; --listen 127.0.0.1:0 takes a free port")?;
    let origin = format!("http://{}", machine.address);
    output::print(&welcome(&origin, &simulator, speed))?;
    let receiver = format!("http://{receiver}");
    let traffic = Traffic::new(&simulator, (origin.clone(), CLIENT_KEY), receiver)?;
    let pause = if speed.is_some() { SHORT_PAUSE } else { PAUSE };
    let ended = tokio::select! {
        () = stop_signal.asked() => Ok(()),
        () = advance(time_machine.as_deref(), &machine) => Ok(()),
        asked = ask(traffic, pause) => asked,
        told = tell(callbacks) => told,
    };
    machine.stop().await;
    stop.send_replace(true);
    simulator.stop().await;
    ended.map(|()| ExitCode::SUCCESS)
}

/// Moves the clock on, if it is one that runs ahead.
async fn advance(time_machine: Option<&TimeMachine>, machine: &Machine) {
    match time_machine {
        Some(time_machine) => time_machine.run(|| machine.next_due()).await,
        None => std::future::pending().await,
    }
}

/// Asks for operations, a few at once and then one after the other.
async fn ask(mut traffic: Traffic<'_>, pause: Duration) -> anyhow::Result<()> {
    for _ in 0..FIRST {
        traffic.send_next().await?;
    }
    let mut next = Instant::now() + pause;
    loop {
        sleep(next.saturating_duration_since(Instant::now())).await;
        next = Instant::now() + pause;
        if traffic.count_open(OPERATOR_KEY).await? < MOST_OPEN {
            traffic.send_next().await?;
        }
    }
}

/// Writes a line for each callback that the receiver gets.
async fn tell(mut callbacks: mpsc::UnboundedReceiver<Callback>) -> anyhow::Result<()> {
    while let Some(callback) = callbacks.recv().await {
        let Callback {
            at,
            operation,
            kind,
            verified,
        } = callback;
        let verdict = if verified {
            "signature verified"
        } else {
            "SIGNATURE WRONG"
        };
        let at = at.strftime("%Y-%m-%d %H:%M:%S");
        output::print(&format!("{at}  {operation}  {kind:<28} {verdict}\n"))?;
    }
    Ok(())
}

fn welcome(origin: &str, simulator: &Simulator, speed: Option<Speed>) -> String {
    let graph = simulator.base_url();
    let speed = match speed {
        Some(speed) => format!("The clock runs ahead, {speed}. "),
        None => String::new(),
    };
    format!(
        "graph-courier runs here on a simulated Microsoft Graph, with operations of an invented service desk.\n\n  \
           console   {origin}/console        key: {OPERATOR_KEY}\n  \
           API       {origin}/openapi.json\n  \
           Graph     {graph}/__journal   what the simulated Graph was asked\n\n  \
           curl -H 'X-Api-Key: {OPERATOR_KEY}' '{origin}/v1/operations?sort=deadline&limit=3'\n\n\
         {speed}Everything is gone after Ctrl-C. Each callback is a line:\n\n"
    )
}

/// Jobs last for minutes, or for hours and days of a clock that runs ahead.
async fn simulator(clock: &Clock, is_fast: bool) -> anyhow::Result<Simulator> {
    let mut options = Options::new(Arc::clone(clock));
    options.journal_keep = Some(1_000);
    if is_fast {
        options.durations.export_seconds = 6.0 * 86_400.0;
        options.durations.catalogue_factor = 300.0;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(Simulator::start(listener, options).await?)
}

/// The same document as in production, with hosts on loopback.
fn config(simulator: &Simulator, receiver: SocketAddr) -> anyhow::Result<Config> {
    let operations = Traffic::operations()?;
    let hash = |key: &str| {
        let hash = Sha256::digest(key);
        let digits = hash.iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<String>()
    };
    let text = format!(
        r#"
        [graph]
        base_url = "{graph}"
        login_url = "{graph}"
        monitor_hosts = ["http://{anonymous}"]
        [graph.tenants.contoso]
        tenant_id = "contoso"
        client_id = "courier"
        client_secret = "env:SECRET"
        refresh_token = "env:SECRET"
        [graph.tenants.contoso.storage.dsar-eu]
        account = "{STORAGE_ACCOUNT}"
        key = "env:STORAGE_KEY"
        endpoint = "{graph}/{STORAGE_ACCOUNT}"
        [clients.service-desk]
        tenant = "contoso"
        api_keys = ["sha256:{client}"]
        operations = {operations:?}
        callback_origins = ["http://{receiver}"]
        signing_secrets = ["env:WHSEC"]
        [operators.dev]
        api_keys = ["sha256:{operator}"]
        [seal]
        key = "env:SEAL_KEY"
        [callbacks]
        allow_networks = ["127.0.0.0/8"]
        keep_answers = true
        [limits]
        requests_per_minute = 100000
        "#,
        graph = simulator.base_url(),
        anonymous = simulator.anonymous_address(),
        client = hash(CLIENT_KEY),
        operator = hash(OPERATOR_KEY),
    );
    let resolve = |reference: &SecretReference| match reference {
        SecretReference::Env(name) if name == "WHSEC" => Ok(Secret::new(SIGNING_SECRET)),
        SecretReference::Env(name) if name == "SEAL_KEY" => {
            Ok(Secret::new("ZGV2LXNlYWxpbmcta2V5LW9mLTMyLWJ5dGVzLi4uLi4="))
        }
        SecretReference::Env(name) if name == "STORAGE_KEY" => Ok(Secret::new(STORAGE_KEY)),
        SecretReference::Env(_) | SecretReference::File(_) | SecretReference::AwsSecret { .. } => {
            Ok(Secret::new("dev"))
        }
    };
    Ok(Config::parse(&text, Catalogue::shipped(), &resolve)?)
}
