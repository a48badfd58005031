//! The place that a SAS URL names: an Azure host and one container, written as Graph will read them.

use url::Url;

use crate::outbound::spelling;

const MAX_BYTES: usize = 4096;
/// The ends of the hosts that Azure gives to storage accounts, after the name of the service.
const AZURE_SUFFIXES: [&str; 5] = [
    ".core.windows.net",
    ".core.usgovcloudapi.net",
    ".core.chinacloudapi.cn",
    ".core.cloudapi.de",
    ".storage.azure.net",
];

/// Parses the URL, and refuses what Graph, which receives the text itself, may read differently.
pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
    if text.len() > MAX_BYTES {
        return Err("must not be longer than 4096 bytes");
    }
    if text.contains(['"', '\'', '`', '<', '>']) {
        return Err("must hold no quotes or angle brackets, which do not belong to it");
    }
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if !text.bytes().all(is_plain) {
        return Err("must hold no space, control character, backslash or letter beyond ASCII");
    }
    // The URL parser accepts URLs without the slashes, but Graph may not.
    let is_absolute = |url: &Url| {
        text.get(url.scheme().len()..)
            .and_then(|rest| rest.strip_prefix("://"))
            .is_some_and(|rest| !rest.starts_with(['/', '?', '#']))
    };
    let url = Url::parse(text)
        .ok()
        .filter(|url| is_absolute(url) && url.has_host())
        .ok_or("must be an absolute URL")?;
    spelling::check(text, &url)?;
    Ok(url)
}

/// Returns the rules that scheme, host and the end of the URL break.
pub(super) fn check_url(url: &Url, rules: &mut Vec<String>) {
    if url.scheme() != "https" {
        rules.push("must be an https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        rules.push("must not carry user information".to_owned());
    }
    if url.fragment().is_some() {
        rules.push("must not have a fragment".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    let account = AZURE_SUFFIXES
        .iter()
        .find_map(|suffix| host.strip_suffix(suffix));
    if account.is_some_and(|account| account.rsplit('.').next() != Some("blob")) {
        rules.push("must be on a host of Azure's blob service".to_owned());
    }
    // The name of an account has no hyphen, so this is the copy that Azure keeps in another region.
    if account.is_some_and(|account| {
        account
            .split('.')
            .next()
            .unwrap_or_default()
            .ends_with("-secondary")
    }) {
        rules
            .push("must not be on the account's secondary host, which is only readable".to_owned());
    }
}

/// Returns the rule that the container's name breaks (Naming and Referencing Containers, Blobs, and Metadata:
/// <https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata>).
pub(super) fn check_container(url: &Url) -> Result<(), &'static str> {
    let path = url.path().strip_prefix('/').unwrap_or_default();
    let name = path.strip_suffix('/').unwrap_or(path);
    if name.is_empty() || name.contains(['/', '%']) {
        return Err("must name exactly one container in its path");
    }
    check_name(name)
}

pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.starts_with('$') {
        return Err("must not name a container of Azure's own, such as $root, $web or $logs");
    }
    let is_word = |word: &str| {
        let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !word.is_empty() && word.bytes().all(is_known)
    };
    ((3..=63).contains(&name.len()) && name.split('-').all(is_word))
        .then_some(())
        .ok_or("must name its container in 3 to 63 lower-case letters, digits and single hyphens between them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> Vec<String> {
        let url = parse(text).unwrap();
        let mut rules = Vec::new();
        check_url(&url, &mut rules);
        rules.extend(check_container(&url).err().map(str::to_owned));
        rules
    }

    #[test]
    fn container_name_keeps_the_rules_of_azure() {
        let named = |name: &str| broken(&format!("https://account.blob.core.windows.net/{name}"));
        let longest = "a".repeat(63);
        for name in [
            "abc",
            "a-b",
            "0-1-2",
            "000",
            "xn--a".replace("--", "-").as_str(),
            &longest,
        ] {
            assert!(named(name).is_empty(), "{name}");
        }
        let longer = "a".repeat(64);
        for name in [
            "ab", "DSAR", "dsar_1", "dsar.1", "-ab", "ab-", "a--b", "a~b", "a+b", &longer,
        ] {
            let [rule] = &*named(name) else {
                panic!("{name}")
            };
            assert!(
                rule.starts_with("must name its container in 3 to 63"),
                "{name}"
            );
        }
        for name in ["$root", "$web", "$logs", "$blobchangefeed"] {
            let [rule] = &*named(name) else {
                panic!("{name}")
            };
            assert!(rule.contains("of Azure's own"), "{name}");
        }
    }

    #[test]
    fn host_of_azure_must_be_one_of_the_blob_service() {
        let at = |host: &str| broken(&format!("https://{host}/dsar"));
        for host in [
            "account.blob.core.windows.net",
            "account.z28.blob.storage.azure.net",
            "account.blob.core.usgovcloudapi.net",
            "account.blob.core.chinacloudapi.cn",
            "ACCOUNT.Blob.Core.Windows.Net",
            "files.contoso.example",
            "dfs.contoso.example",
            "127.0.0.1:10000",
            "azurite.contoso.example:10000",
            "core.windows.net.contoso.example",
        ] {
            assert!(at(host).is_empty(), "{host}");
        }
        for host in [
            "account.dfs.core.windows.net",
            "account.file.core.windows.net",
            "account.queue.core.windows.net",
            "account.table.core.windows.net",
            "account.z13.web.core.windows.net",
            "account.z28.dfs.storage.azure.net",
            "account.dfs.core.chinacloudapi.cn",
            "account.dfs.core.usgovcloudapi.net",
            "account.core.windows.net",
        ] {
            assert_eq!(at(host), ["must be on a host of Azure's blob service"]);
        }
        let [rule] = &*at("account-secondary.blob.core.windows.net") else {
            panic!("the secondary host is accepted")
        };
        assert!(rule.contains("secondary"));
    }
}
