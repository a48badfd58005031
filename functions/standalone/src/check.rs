//! `courier check`: validates a configuration and says what each client may do.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use courier_core::catalogue::Catalogue;
use courier_core::config::{Client, Config};

use crate::settings;

pub(crate) fn run(config: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let config = settings::load_config(config)?;
    write!(
        std::io::stdout(),
        "{}",
        report(&config, Catalogue::shipped())
    )?;
    Ok(ExitCode::SUCCESS)
}

fn report(config: &Config, catalogue: &Catalogue) -> String {
    let graph = &config.graph;
    let mut lines = vec![
        "The configuration holds.".to_owned(),
        format!(
            "Graph: {} (cloud {})",
            graph.base_url.origin().ascii_serialization(),
            graph.cloud
        ),
        format!("Tokens: {}", graph.login_url.origin().ascii_serialization()),
    ];
    for client in config.clients.values() {
        lines.push(String::new());
        lines.extend(describe(client, config, catalogue));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn describe(client: &Client, config: &Config, catalogue: &Catalogue) -> Vec<String> {
    let mut lines = vec![
        format!("client {} (tenant {})", client.name, client.tenant),
        format!(
            "  proves itself with one of {} API key(s)",
            client.api_keys.len()
        ),
        format!(
            "  may send {} requests a minute",
            config.requests_per_minute
        ),
    ];
    for name in &client.operations {
        let Some(operation) = catalogue.find(name) else {
            continue;
        };
        lines.push(format!("  may ask for {name}: {}", operation.summary));
        lines.push(format!(
            "    Graph permission: {} ({})",
            operation.permissions.join(", "),
            operation.token.word()
        ));
    }
    if client.callback_origins.is_empty() {
        lines.push("  may not have callbacks: no callback_origins".to_owned());
    }
    for origin in &client.callback_origins {
        let secrets = client.signing_secrets.len();
        lines.push(format!(
            "  may have callbacks at {origin}, signed with {secrets} secret(s)"
        ));
    }
    lines
}
