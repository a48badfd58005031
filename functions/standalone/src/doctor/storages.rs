//! Checks that each storage answers and takes the key of its account. Nothing is made in it.

use courier_core::config::Storage;
use courier_core::storage::{StorageError, account_kind};
use url::Url;

use super::{Doctor, Finding};

impl Doctor {
    pub(super) async fn storages(&mut self) -> anyhow::Result<()> {
        let tenants = self.config.graph.tenants.values();
        let storages: Vec<(String, Storage)> = tenants
            .flat_map(|tenant| {
                let storages = tenant.storages.values();
                storages.map(|storage| (tenant.name.clone(), storage.clone()))
            })
            .collect();
        for (tenant, storage) in storages {
            let now = (self.clock)();
            let kind = account_kind(&self.transport, &storage, self.timeouts.storage, now).await;
            let endpoint = Url::parse(&storage.endpoint)?;
            let (_, next) = self.way(&endpoint);
            let check = format!("storage {} of {tenant}", storage.name);
            self.tell(&check, &judge(&storage, kind, next))?;
        }
        Ok(())
    }
}

fn judge(storage: &Storage, kind: Result<Option<String>, StorageError>, next: &str) -> Finding {
    let account = &storage.account;
    match kind {
        Ok(Some(kind)) if kind.starts_with("Premium") => Finding::failed(
            format!("{account} is a premium account ({kind}), which has no append blobs"),
            "make a standard account: an export writes append blobs",
        ),
        Ok(_) => Finding::ok(format!("{account} takes its key")),
        Err(error) if error.needs_mending() => Finding::failed(
            format!("{account}: {error}"),
            "look at account, key and endpoint, at the account's firewall, and whether it permits access by key",
        ),
        Err(error) => Finding::failed(
            format!("{account}: {error}"),
            format!("look at its endpoint; then {next}"),
        ),
    }
}
