//! `courier demo`: simulator, receiver and server on loopback, three operations through the real HTTP API, each shown
//! from request to verified callback.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;

use courier_core::catalogue::Catalogue;
use courier_core::config::Config;
use courier_core::crypto::secret::{Secret, SecretReference};
use graph_simulator::{Options, STORAGE_ACCOUNT, STORAGE_KEY, Simulator};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::machine::{Machine, Place};
use crate::serve::Stop;
use crate::show::{Api, Show};
use crate::timeline::Timeline;
use crate::{receiver, settings};

const API_KEY: &str = "demo";
/// SHA-256 of [`API_KEY`].
const API_KEY_HASH: &str = "2a97516c354b68848cdbd8f54a226a0a55b21ed138e207ad6c5cbb9c00aa5aea";
const SIGNING_SECRET: &str = "whsec_ZGVtby1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcy4=";

pub(crate) async fn run(once: bool) -> anyhow::Result<ExitCode> {
    let mut stop_signal = Stop::listen()?;
    let clock = settings::clock();
    let timeline = Timeline::new(clock(), settings::colours(&std::io::stdout()));
    let (stop, stopped) = watch::channel(false);
    let simulator = simulator().await?;
    let (receiver, mut callbacks) =
        receiver::start(SIGNING_SECRET, settings::clock(), stopped).await?;
    let data = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    let config = config(&simulator.base_url(), receiver)?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let place = Place::new(data.path(), listen);
    let machine = Machine::start(config, place, settings::clock()).await?;
    let api = Api::new(format!("http://{}", machine.address), API_KEY)?;
    timeline.say(&format!(
        "{}\n\n  API       {}   (X-Api-Key: {API_KEY})\n  Graph     {}   simulated\n  receiver  http://{receiver}   verifies every signature\n",
        timeline.paint("1", "graph-courier: three Microsoft Graph operations, from request to callback"),
        api.origin,
        simulator.base_url(),
    ))?;

    let mut show = Show {
        timeline,
        clock,
        api,
        simulator,
        seen: 0,
        operations: Vec::new(),
    };
    let all_well = tokio::select! {
        watched = show.watch(requests(receiver), &mut callbacks) => watched?,
        () = stop_signal.asked() => false
    };
    show.conclude(all_well)?;
    if !once {
        show.timeline.say(&format!(
            "\nStill serving at {}. Ask it yourself, or end with Ctrl-C:\n\n  curl -H 'X-Api-Key: {API_KEY}' {}/v1/operations\n",
            show.api.origin, show.api.origin
        ))?;
        stop_signal.asked().await;
    }
    machine.stop().await;
    stop.send_replace(true);
    show.simulator.stop().await;
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn requests(receiver: SocketAddr) -> [(&'static str, &'static str, Value); 3] {
    let callback = json!({ "url": format!("http://{receiver}/hooks/graph") });
    [
        (
            "user.exportPersonalData",
            "export",
            // An event as a bus sends it. No secret is in it: the storage is named.
            json!({
                "specversion": "1.0",
                "type": "io.graph-courier.operation.requested",
                "source": "urn:example:privacy-desk",
                "id": "1",
                "correlationid": "RITM0012345",
                "data": {
                    "operation": "user.exportPersonalData",
                    "parameters": {
                        "userId": "6e7b768e-07e2-4810-8459-485f84f8f204",
                        "storage": "dsar-eu",
                    },
                    "callback": callback,
                },
            }),
        ),
        (
            "goals.exportJob",
            "goals",
            json!({
                "operation": "goals.exportJob",
                "parameters": {
                    "goalsOrganizationId": "94a356ab-53d5-40e7-8a85-053d6d3b9eb3",
                    "explorerViewId": "e5e7a3c1-8cdf-409d-9ce9-ff730d65d95e",
                },
                "callback": callback,
            }),
        ),
        (
            "team.schedule",
            "schedule",
            json!({
                "operation": "team.schedule",
                "parameters": {
                    "teamId": "871dbd5c-3a6a-4392-bfe1-042452793a50",
                    "schedule": { "enabled": true, "timeZone": "America/Chicago" },
                },
                "callback": callback,
            }),
        ),
    ]
}

/// Graph in a hurry: minutes and weeks become seconds.
async fn simulator() -> anyhow::Result<Simulator> {
    let mut options = Options::new(settings::clock());
    options.durations.export_seconds = 5.0;
    options.durations.goals_seconds = 3.5;
    options.durations.schedule_seconds = 2.0;
    let second = Some("1".to_owned());
    let behaviour = &mut options.behaviour;
    behaviour.export.retry_after_start.clone_from(&second);
    behaviour.export.retry_after_poll.clone_from(&second);
    behaviour.goals.retry_after_start.clone_from(&second);
    behaviour.goals.retry_after_poll.clone_from(&second);
    behaviour.schedule.retry_after_start.clone_from(&second);
    behaviour.schedule.retry_after_poll = second;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(Simulator::start(listener, options).await?)
}

/// The same document as in production, with hosts on loopback.
fn config(graph: &str, receiver: SocketAddr) -> anyhow::Result<Config> {
    let text = format!(
        r#"
        [graph]
        base_url = "{graph}"
        login_url = "{graph}"
        [graph.tenants.demo]
        tenant_id = "demo"
        client_id = "demo"
        client_secret = "env:SECRET"
        refresh_token = "env:SECRET"
        [graph.tenants.demo.storage.dsar-eu]
        account = "{STORAGE_ACCOUNT}"
        key = "env:STORAGE_KEY"
        endpoint = "{graph}/{STORAGE_ACCOUNT}"
        [clients.demo]
        tenant = "demo"
        api_keys = ["sha256:{API_KEY_HASH}"]
        operations = ["user.exportPersonalData", "goals.exportJob", "team.schedule"]
        callback_origins = ["http://{receiver}"]
        signing_secrets = ["env:WHSEC"]
        [events]
        source = "https://courier.example"
        types = ["operation.ended"]
        url = "http://{receiver}/events"
        signing_secrets = ["env:WHSEC"]
        [seal]
        key = "env:SEAL_KEY"
        [callbacks]
        allow_networks = ["127.0.0.0/8"]
        "#
    );
    let resolve = |reference: &SecretReference| match reference {
        SecretReference::Env(name) if name == "WHSEC" => Ok(Secret::new(SIGNING_SECRET)),
        SecretReference::Env(name) if name == "SEAL_KEY" => {
            Ok(Secret::new("ZGVtby1zZWFsaW5nLWtleS1vZi0zMi1ieXRlcy4uLi4="))
        }
        SecretReference::Env(name) if name == "STORAGE_KEY" => Ok(Secret::new(STORAGE_KEY)),
        SecretReference::Env(_) | SecretReference::File(_) | SecretReference::AwsSecret { .. } => {
            Ok(Secret::new("demo"))
        }
    };
    Ok(Config::parse(&text, Catalogue::shipped(), &resolve)?)
}
