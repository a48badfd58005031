//! Signs the right to write into one container: a service SAS
//! ([Create a service SAS](https://learn.microsoft.com/rest/api/storageservices/create-service-sas)).

use std::time::Duration;

use jiff::Timestamp;
use url::form_urlencoded;

use super::SERVICE_VERSION;
use crate::config::Storage;
use crate::crypto::secret::Secret;
use crate::time::{earlier, later};

/// Write and add, in Azure's order. Graph refuses a SAS with which it could read or list.
const PERMISSIONS: &str = "aw";
/// Time before now at which a SAS begins: Azure's clock may be behind ours.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(15 * 60);
/// Time after its last use at which a SAS ends: Azure's clock may be ahead of ours.
const AFTER_THE_END: Duration = Duration::from_secs(3600);

/// Returns the URL of a container with the right to write into it from now until a while after `until`.
///
/// It is a secret, and can be withdrawn only by a new account key: so it is signed anew wherever one is needed, and kept
/// nowhere.
pub fn container_sas(
    storage: &Storage,
    container: &str,
    now: Timestamp,
    until: Timestamp,
) -> Secret {
    let start = seconds(earlier(now, CLOCK_DIFFERENCE));
    let expiry = seconds(later(until, AFTER_THE_END));
    // The address is one of this machine, where an emulator may have no TLS.
    let protocols = if storage.endpoint.starts_with("http://") {
        "https,http"
    } else {
        "https"
    };
    let text = string_to_sign(&storage.account, container, (&start, &expiry), protocols);
    let signature = storage.key.sign(&text);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("sv", SERVICE_VERSION)
        .append_pair("sr", "c")
        .append_pair("sp", PERMISSIONS)
        .append_pair("st", &start)
        .append_pair("se", &expiry)
        .append_pair("spr", protocols)
        .append_pair("sig", &signature)
        .finish();
    Secret::new(format!("{}?{query}", storage.container(container)))
}

/// Returns the text that is signed, in the form of version 2020-12-06 and later.
fn string_to_sign(
    account: &str,
    container: &str,
    (start, expiry): (&str, &str),
    protocols: &str,
) -> String {
    let resource = format!("/blob/{account}/{container}");
    // A stored policy and a range of addresses would stand between the resource and the protocols. After the kind of
    // the resource: a snapshot, an encryption scope and five headers of answers.
    [
        PERMISSIONS,
        start,
        expiry,
        &resource,
        "",
        "",
        protocols,
        SERVICE_VERSION,
        "c",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
    ]
    .join("\n")
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::sas::{Times, check};
    use crate::crypto::account_key::AccountKey;

    fn storage(endpoint: &str) -> Storage {
        Storage {
            name: "dsar-eu".to_owned(),
            account: "contosodsar".to_owned(),
            key: AccountKey::parse(&Secret::new(
                "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmFyeS1jYW5hcnk=",
            ))
            .unwrap(),
            endpoint: endpoint.to_owned(),
        }
    }

    #[test]
    fn what_is_signed_passes_the_checks_for_what_callers_send() {
        let now: Timestamp = "2026-11-27T22:00:00.123Z".parse().unwrap();
        let deadline = "2026-12-28T22:00:00.123Z".parse().unwrap();
        let azure = storage("https://contosodsar.blob.core.windows.net");
        let signed = container_sas(&azure, "op-1", now, deadline);
        let times = Times {
            now,
            deadline,
            deadline_is_default: true,
        };
        let sas = check(signed.expose(), times).unwrap();
        assert_eq!(
            sas.container,
            "https://contosodsar.blob.core.windows.net/op-1"
        );
        assert!(sas.late.is_empty());
        let (_, query) = signed.expose().split_once('?').unwrap();
        assert!(query.starts_with(
            "sv=2024-11-04&sr=c&sp=aw&st=2026-11-27T21%3A45%3A00Z&se=2026-12-28T23%3A00%3A00Z&spr=https&sig="
        ));
        assert!(!query.contains("anary"));
    }

    #[test]
    fn http_is_permitted_to_an_emulator_only() {
        let now = Timestamp::UNIX_EPOCH;
        let emulator = storage("http://127.0.0.1:10000/contosodsar");
        let signed = container_sas(&emulator, "op-1", now, now);
        let url = signed.expose();
        assert!(
            url.starts_with("http://127.0.0.1:10000/contosodsar/op-1?"),
            "{url}"
        );
        assert!(url.contains("&spr=https%2Chttp&"), "{url}");
    }
}
