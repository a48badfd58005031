//! `courier check`: validates a configuration, prints what each client may do, and what would be left behind in a data
//! file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use courier_core::catalogue::{Operation, TokenKind};
use courier_core::config::credentials::{Credentials, Dialect, Right};
use courier_core::config::{CallbackProfile, Client, Config, Proof};
use courier_core::outbound::sigv4::Scope;
use courier_core::profile::Signature;

use crate::{orphans, output, settings};

pub(crate) fn run(config: Option<PathBuf>, data: Option<&Path>) -> anyhow::Result<ExitCode> {
    let (config, document) = settings::load_config(config)?;
    output::print(&report(&config, &document))?;
    let Some(data) = data else {
        return Ok(ExitCode::SUCCESS);
    };
    let found = orphans::find(&config, data)?;
    let mut lines = vec![format!(
        "data in {}: {} open operation(s)",
        data.display(),
        found.open
    )];
    let warnings = found.warnings.iter();
    lines.extend(warnings.map(|(text, count)| format!("warning: {count} {text}")));
    let orphaned = found.orphaned.iter();
    lines.extend(orphaned.map(|(text, count)| format!("orphaned: {count} {text}")));
    lines.push(String::new());
    output::print(&lines.join("\n"))?;
    let code = if found.orphaned.is_empty() { 0 } else { 2 };
    Ok(ExitCode::from(code))
}

fn report(config: &Config, document: &str) -> String {
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
    for tenant in graph.tenants.values() {
        lines.extend(tenant.storages.values().map(|storage| {
            let (name, account) = (&storage.name, &storage.account);
            format!(
                "Storage {name} of {}: account {account} at {}",
                tenant.name, storage.endpoint
            )
        }));
    }
    let proxy = config.proxy.iter();
    lines.extend(proxy.map(|proxy| {
        let origin = proxy.url.origin().ascii_serialization();
        format!("Outgoing calls: by the proxy {origin}, which resolves their names")
    }));
    let public_url = config.public_url.iter();
    lines.extend(public_url.map(|url| format!("Callers: {url}/v1/operations")));
    if let Some(keys) = &config.evidence {
        let others = keys.public().count() - 1;
        let id = keys.signing().public().id();
        lines.push(format!(
            "Evidence: signed with the key {id}; {others} other key(s) published"
        ));
    }
    let warnings = config.warnings.iter();
    lines.extend(warnings.map(|warning| format!("warning: {document}:{warning}")));
    for client in config.clients.values() {
        lines.push(String::new());
        lines.extend(describe(client, config));
    }
    for operator in config.operators.values() {
        lines.push(String::new());
        lines.push(format!("operator {}", operator.name));
        lines.extend(proofs(&operator.credentials));
        let whose = match &operator.clients {
            Some(clients) => {
                let names: Vec<&str> = clients.iter().map(String::as_str).collect();
                format!("the operations of {}", names.join(", "))
            }
            None => "the operations of every client".to_owned(),
        };
        let may = if operator.read_only {
            "sees"
        } else {
            "sees and changes"
        };
        lines.push(format!("  {may} {whose}"));
    }
    if let Some(events) = &config.events {
        lines.push(String::new());
        lines.push(format!("events go to {}", events.target.origin()));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn describe(client: &Client, config: &Config) -> Vec<String> {
    let mut lines = vec![format!("client {} (tenant {})", client.name, client.tenant)];
    lines.extend(proofs(&client.credentials));
    lines.push(format!(
        "  may send {} requests a minute",
        client.requests_per_minute
    ));
    for name in &client.operations {
        let Some(operation) = config.catalogue.find(name) else {
            continue;
        };
        lines.push(format!("  may ask for {name}: {}", operation.summary));
        lines.extend(describe_operation(operation, client, config));
    }
    if client.callback_origins.is_empty() {
        lines.push("  may not have callbacks: no callback_origins".to_owned());
    }
    for origin in &client.callback_origins {
        lines.push(format!("  may have callbacks at {origin}"));
    }
    for (name, profile) in client
        .profiles
        .all
        .iter()
        .filter(|_| !client.callback_origins.is_empty())
    {
        lines.push(format!("    {}", describe_profile(client, name, profile)));
    }
    lines
}

/// Describes what an operation calls, and what that needs.
fn describe_operation(operation: &Operation, client: &Client, config: &Config) -> Vec<String> {
    let tenant = config.graph.tenants.get(&client.tenant);
    let used = tenant.map_or_else(
        || operation.default_token(),
        |tenant| tenant.token_kind(operation),
    );
    let scopes = |kind: TokenKind| operation.permissions_of(kind).join(", ");
    let mut lines = vec![format!(
        "    Graph permission: {} ({})",
        scopes(used),
        used.as_str()
    )];
    let others = operation.token.iter().filter(|kind| **kind != used);
    lines.extend(others.map(|kind| {
        format!(
            "    or with operation_tokens: {} ({})",
            scopes(*kind),
            kind.as_str()
        )
    }));
    let version = &operation.start.version;
    let calls = operation.calls().into_iter();
    lines.extend(calls.map(|(method, path)| format!("    calls {method} /{version}{path}")));
    if !operation.start.monitor_hosts.is_empty() {
        let hosts = operation.start.monitor_hosts.join(", ");
        lines.push(format!("    follows jobs without a token at {hosts}"));
    }
    let needs = operation.needs.iter();
    lines.extend(needs.map(|needs| format!("    needs: {needs}")));
    let warnings = courier_core::catalogue::warnings(operation).into_iter();
    lines.extend(warnings.map(|text| format!("    warning: {text}")));
    lines
}

/// Describes how a completion is sent and authenticated; contains no secret.
fn describe_profile(client: &Client, name: &str, profile: &CallbackProfile) -> String {
    let format = &profile.format;
    let default = if name == client.profiles.default {
        " (unless a request names another)"
    } else {
        ""
    };
    let mut line = format!(
        "as {name}{default}: {} with {}",
        format.method,
        profile.proof.describe()
    );
    if let Proof::Sigv4(sigv4) = &profile.proof {
        let Scope { region, service } = &sigv4.scope;
        line.push_str(&format!(" ({service} in {region})"));
    }
    if let Some(target) = &format.target {
        line.push_str(&format!(", to {target}"));
    }
    if format.signature != Signature::None && !client.signing_secrets.is_empty() {
        let secrets = client.signing_secrets.len();
        line.push_str(&format!(", signed with {secrets} secret(s)"));
    }
    if let Some(hmac) = &format.hmac {
        let (algorithm, header) = (hmac.algorithm.as_str(), &hmac.header);
        line.push_str(&format!(", {algorithm} of the body in {header}"));
    }
    if profile.handshake {
        line.push_str(", after a CloudEvents handshake");
    }
    line
}

/// Describes each way in which the client may authenticate; contains no secret.
fn proofs(credentials: &Credentials) -> Vec<String> {
    let mut lines = Vec::new();
    let keys = credentials.api_keys.len();
    if keys > 0 {
        lines.push(format!("  proves itself with one of {keys} API key(s)"));
    }
    if let Some(basic) = &credentials.basic {
        lines.push(format!(
            "  proves itself with Basic as {}, one of {} password(s)",
            basic.username,
            basic.passwords.len()
        ));
    }
    if let Some(signed) = &credentials.signed {
        lines.push(format!(
            "  proves itself by signing ({}), one of {} secret(s); that only starts operations",
            signature(&signed.dialect),
            signed.secrets.len()
        ));
    }
    if let Some(jwt) = &credentials.jwt {
        let (kind, right) = match &jwt.right {
            Right::Scope(scope) => ("scope", scope),
            Right::Role(role) => ("role", role),
        };
        let required = jwt.subject.as_ref();
        let subject = required.map_or_else(String::new, |subject| format!(" and sub {subject}"));
        let algorithms: Vec<&str> = jwt.algorithms.iter().map(|one| one.as_str()).collect();
        lines.push(format!(
            "  proves itself with a JWT ({}) of {} for {} with {kind} {right}{subject}, keys at {}",
            algorithms.join(", "),
            jwt.issuer,
            jwt.audience,
            jwt.jwks_url
        ));
    }
    if let Some(queue) = &credentials.queue {
        lines.push(format!(
            "  takes requests from the SQS queue {queue}, whoever may send to it; that only starts operations"
        ));
    }
    lines
}

/// Describes the dialect, its header and, where they vary, the header's algorithm and encoding.
fn signature(dialect: &Dialect) -> String {
    let (name, header) = (dialect.as_str(), dialect.header());
    match dialect {
        Dialect::StandardWebhooks | Dialect::Zendesk | Dialect::Github => {
            format!("{name}, header {header}")
        }
        Dialect::BodyHmac {
            encoding,
            algorithm,
            ..
        } => {
            let (algorithm, encoding) = (algorithm.as_str(), encoding.as_str());
            format!("{name}, header {header}, {algorithm} in {encoding}")
        }
    }
}
