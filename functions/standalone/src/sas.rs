//! `courier sas`: does by hand what the server does for a request that names its storage.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use courier_core::catalogue::sas::check_container_name;
use courier_core::config::{Config, Storage};
use courier_core::crypto::hmac::Encoding;
use courier_core::outbound::Timeouts;
use courier_core::storage::{Made, container_sas, make_container};

use crate::failure::Usage;
use crate::terminal::duration;
use crate::{output, settings};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The configuration file. Without it the environment must say COURIER_CONFIG=file:PATH.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The tenant, as the configuration names it.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// The storage of the tenant, as the configuration names it.
    #[arg(long, value_name = "NAME")]
    storage: String,
    /// The container. Without it a name is made up, which needs --create.
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// How long it is valid from now on: 31d, 12h. An hour is added for clocks that differ.
    #[arg(long, value_name = "DURATION", default_value = "31d")]
    valid: String,
    /// Makes the container first. One that exists is refused: Graph takes each for one export only.
    #[arg(long)]
    create: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (config, _) = settings::load_config(arguments.config)?;
    let storage = find(&config, &arguments.tenant, &arguments.storage)?;
    let container = match arguments.container {
        Some(name) => {
            check_container_name(&name)
                .map_err(|rule| Usage::error(format!("--container {rule}")))?;
            name
        }
        None if arguments.create => random_name()?,
        None => {
            let text = "give --container NAME, or --create for a container of a new name";
            return Err(Usage::error(text));
        }
    };
    let now = settings::clock()();
    let valid = duration(&arguments.valid);
    let valid = valid.map_err(|_| Usage::error("--valid must be a duration such as 31d or 12h"));
    let until = now.checked_add(valid?).context("--valid is too long")?;
    if arguments.create {
        create(&config, storage, &container).await?;
    }
    let url = container_sas(storage, &container, now, until);
    output::tell("what follows is a secret: whoever has it can write into the container");
    output::print(&format!("{}\n", url.expose()))?;
    Ok(ExitCode::SUCCESS)
}

fn find<'a>(config: &'a Config, tenant: &str, name: &str) -> anyhow::Result<&'a Storage> {
    let tenants = &config.graph.tenants;
    let tenant = tenants.get(tenant).ok_or_else(|| {
        let known: Vec<&str> = tenants.keys().map(String::as_str).collect();
        Usage::error(format!("--tenant must be one of {}", known.join(", ")))
    })?;
    tenant.storages.get(name).ok_or_else(|| {
        let known: Vec<&str> = tenant.storages.keys().map(String::as_str).collect();
        Usage::error(match known.as_slice() {
            [] => "the tenant has no storage: [graph.tenants.NAME.storage.NAME] configures one"
                .to_owned(),
            _ => format!("--storage must be one of {}", known.join(", ")),
        })
    })
}

async fn create(config: &Config, storage: &Storage, container: &str) -> anyhow::Result<()> {
    let timeouts = Timeouts::default();
    let transport = settings::transport(config, &timeouts)?;
    let now = settings::clock()();
    let made = make_container(&transport, storage, container, timeouts.storage, now).await;
    let made = made.with_context(|| format!("the storage {} made no container", storage.name))?;
    match made {
        Made::New => Ok(()),
        Made::Found => {
            bail!("the container {container} exists: Graph takes each for one export only")
        }
    }
}

fn random_name() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("random bytes could not be read: {error}"))?;
    Ok(format!("courier-{}", Encoding::Hex.encode(&bytes)))
}
