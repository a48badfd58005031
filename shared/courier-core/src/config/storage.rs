//! Reads the storage accounts in which graph-courier makes containers for the operations of a tenant.

use url::{Host, Url};

use super::reader::Reader;
use crate::crypto::account_key::AccountKey;

/// An Azure storage account, by the name that requests use for it.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Name of the storage's table in the configuration.
    pub name: String,
    pub account: String,
    pub key: AccountKey,
    /// The root of the account's blob service, without a slash at its end.
    pub endpoint: String,
}

impl Storage {
    /// Returns the URL of a container. It is no secret.
    pub fn container(&self, name: &str) -> String {
        format!("{}/{name}", self.endpoint)
    }
}

/// Where the blob service of an account is that names no endpoint.
#[derive(Clone, Copy)]
pub(super) enum BlobHosts {
    /// On hosts that end so.
    Of(&'static str),
    /// Graph is a test host, so nothing is known of its storage.
    Named,
    /// The document does not say rightly which cloud it is for.
    Unknown,
}

/// Reads one storage of a tenant.
pub(super) fn storage(name: &str, table: &mut Reader<'_>, hosts: BlobHosts) -> Option<Storage> {
    // All keys are read before the first mistake returns, or the others would be reported as unknown keys.
    let account = table.text("account");
    let key = table.secret("key");
    let has_endpoint = table.has("endpoint");
    let endpoint = table.blob_endpoint("endpoint");
    if account
        .as_deref()
        .is_some_and(|account| !is_account(account))
    {
        let rule = "must be the name of a storage account: 3 to 24 lower-case letters and digits";
        table.error("account", rule);
    }
    if endpoint.as_ref().is_some_and(|url| url.scheme() == "http")
        && matches!(hosts, BlobHosts::Of(_))
    {
        let text = "is on this machine, where Microsoft Graph cannot write";
        table.warn("endpoint", text);
    }
    let key = AccountKey::parse(&key?).map_err(|rule| table.error("key", rule));
    let account = account?;
    let endpoint = match (endpoint, hosts) {
        (Some(url), _) => url.as_str().trim_end_matches('/').to_owned(),
        (None, BlobHosts::Of(suffix)) if !has_endpoint => {
            format!("https://{account}.blob.{suffix}")
        }
        (None, BlobHosts::Named) if !has_endpoint => {
            table.missing("endpoint", &[], "is needed beside base_url");
            return None;
        }
        (None, BlobHosts::Of(_) | BlobHosts::Named | BlobHosts::Unknown) => return None,
    };
    Some(Storage {
        name: name.to_owned(),
        account,
        key: key.ok()?,
        endpoint,
    })
}

/// Reports whether a text can be the name of an account
/// (<https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-name>).
fn is_account(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=24).contains(&name.len()) && name.bytes().all(is_known)
}

/// Reports whether a URL is on a loopback address, and so stays on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
