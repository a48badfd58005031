//! `courier healthcheck`: asks a running `courier serve` how it is, for an image without a shell or curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use crate::settings;

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Healthcheck {
    /// The address and port at which the API is served; else COURIER_LISTEN says it, or it is 127.0.0.1:8080.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Asks whether requests can be served now (/readyz), not only whether the process lives (/healthz).
    #[arg(long)]
    ready: bool,
}

pub(crate) async fn run(arguments: &Healthcheck) -> anyhow::Result<ExitCode> {
    let address = reachable(settings::listen(arguments.listen)?);
    let path = if arguments.ready { "readyz" } else { "healthz" };
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()?;
    let answer = client.get(format!("http://{address}/{path}")).send().await;
    let status = answer
        .with_context(|| format!("no answer from {address}"))?
        .status();
    ensure!(status.is_success(), "{address} answers {status} at /{path}");
    Ok(ExitCode::SUCCESS)
}

/// Returns an address at which a listener at `listen` can be called from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}
