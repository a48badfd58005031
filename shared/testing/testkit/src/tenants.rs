//! The clients of a World (two of one tenant, one of another), their secrets, and valid requests of theirs.

use courier_core::catalogue::Catalogue;
use courier_core::crypto::secret::{Secret, SecretReference};
use graph_simulator::{STORAGE_ACCOUNT, STORAGE_KEY};
use serde_json::{Value, json};

use crate::receiver::Receiver;

/// The keys of the two clients of the same tenant, and of one in another tenant.
pub const TICKETS_KEY: &str = "tickets-key";
pub const HR_KEY: &str = "hr-key";
pub const FABRIKAM_KEY: &str = "fabrikam-key";
/// Secrets that must not appear outside their place.
pub const GRAPH_SECRET: &str = "canary-graph-client-secret";
pub const REFRESH_TOKEN: &str = "canary-graph-refresh-token";
/// The signature of every SAS, without the padding of its base64, which a URL writes as `%3D`.
pub const SAS_SIGNATURE: &str = "canarySasSignature0123456789abcdefABCDEFGHI";
pub const CALLBACK_TOKEN: &str = "canary-callback-token";
pub const SIGNING_SECRETS: [&str; 2] = [
    "whsec_bmV3LXNlY3JldC1vZi10aGUtdGlja2V0cy1jbGllbnQ=",
    "whsec_b2xkLXNlY3JldC1vZi10aGUtdGlja2V0cy1jbGllbnQ=",
];
/// The credentials that graph-courier sends to a receiver.
pub const RECEIVER_TOKEN: &str = "canary-receiver-token";
pub const RECEIVER_PASSWORD: &str = "canary-receiver-password";
pub const RECEIVER_HMAC: &str = "canary-receiver-hmac-secret";
pub const RECEIVER_OAUTH: &str = "canary-receiver-oauth-secret";
/// The temporary keys with which requests to AWS are signed: id, key and session token.
pub const AWS_KEYS: [&str; 3] = [
    "canary-aws-key-id",
    "canary-aws-secret-key",
    "canary-aws-session-token",
];
/// The secrets with which clients sign their requests, by the names under which a configuration finds them.
pub const REQUEST_SECRETS: [(&str, &str); 6] = [
    (
        "REQUESTS_NEW",
        "whsec_bmV3LXNlY3JldC1mb3Itc2lnbmVkLXJlcXVlc3Rz",
    ),
    (
        "REQUESTS_OLD",
        "whsec_b2xkLXNlY3JldC1mb3Itc2lnbmVkLXJlcXVlc3Rz",
    ),
    ("ZENDESK_NEW", "canary-zendesk-secret-new"),
    ("ZENDESK_OLD", "canary-zendesk-secret-old"),
    ("GITHUB_SECRET", "canary-github-secret-text"),
    ("PLAIN_SECRET", "canary-plain-secret-text-ü"),
];
/// A person whom Graph's answers and a callback's URL may name.
pub const PERSON: &str = "canary.person@contoso.example";
pub const SEAL_KEY: &str = "dGVzdC1zZWFsaW5nLWtleS1vZi0zMi1ieXRlcy4uLi4=";
/// A key that no storage account has any more.
pub const STORAGE_KEY_OLD: &str =
    "b2xkLXN0b3JhZ2Uta2V5LW9sZC1zdG9yYWdlLWtleS1vbGQtc3RvcmFnZS1rZXktb2xkLXN0b3JhZ2Uta2V5LQ==";
/// The seal key after a rotation.
pub const SEAL_KEY_NEW: &str = "bmV3LXNlYWxpbmcta2V5LW9mLTMyLWJ5dGVzLi4uLi4=";

/// Returns a callback to the receiver, with a secret in its query.
pub fn callback(receiver: &Receiver) -> Value {
    json!({ "url": receiver.url(&format!("/hooks/graph?token={CALLBACK_TOKEN}&person={PERSON}")) })
}

pub fn export(receiver: &Receiver, user: &str, container: &str) -> Value {
    json!({
        "operation": "user.exportPersonalData",
        "parameters": { "userId": user, "storageLocation": sas(container) },
        "callback": callback(receiver),
    })
}

pub fn goals(receiver: &Receiver, organization: &str, view: &str) -> Value {
    json!({
        "operation": "goals.exportJob",
        "parameters": { "goalsOrganizationId": organization, "explorerViewId": view },
        "callback": callback(receiver),
    })
}

pub fn schedule(receiver: &Receiver, team: &str) -> Value {
    json!({
        "operation": "team.schedule",
        "parameters": {
            "teamId": team,
            "schedule": { "enabled": true, "timeZone": "America/Chicago" },
        },
        "callback": callback(receiver),
    })
}

/// The names of the three operations in the simulator.
pub const OPERATIONS: [&str; 3] = ["export", "goals", "schedule"];

/// Returns a valid request for one of [`OPERATIONS`], for `ediscovery` or for `team`, and the key by which Graph knows its resource.
pub fn request(receiver: &Receiver, operation: &str) -> (String, Value) {
    request_for(receiver, operation, "e5e7a3c1-8cdf-409d-9ce9-ff730d65d95e")
}

/// Returns such a request for the resource with this id.
pub fn request_for(receiver: &Receiver, operation: &str, id: &str) -> (String, Value) {
    let organization = "94a356ab-53d5-40e7-8a85-053d6d3b9eb3";
    match operation {
        "export" => ("dsar".to_owned(), export(receiver, id, "dsar")),
        "goals" => (
            format!("{organization}/{id}"),
            goals(receiver, organization, id),
        ),
        "ediscovery" => {
            let parameters = json!({
                "caseId": organization,
                "searchId": id,
                "exportCriteria": "searchHits",
                "additionalOptions": "splitSource",
                "exportFormat": "pst",
            });
            let body = json!({
                "operation": "ediscovery.exportResult",
                "parameters": parameters,
                "callback": callback(receiver),
            });
            (format!("{organization}/{id}"), body)
        }
        "team" => {
            let body = json!({
                "operation": "team.fromGroup",
                "parameters": { "groupId": id },
                "callback": callback(receiver),
            });
            (id.to_owned(), body)
        }
        _ => (id.to_owned(), schedule(receiver, id)),
    }
}

/// Returns a container SAS that satisfies every rule.
pub fn sas(container: &str) -> String {
    format!(
        "https://contoso.blob.core.windows.net/{container}?sv=2024-11-04&sr=c&sp=acw&se=2028-01-01T00:00:00Z&sig={SAS_SIGNATURE}%3D"
    )
}

/// Returns [`config_with_storages`] with every operation of the catalogue for the client `tickets`, and with the hosts on which the
/// simulator has monitors besides Graph's (`{anonymous}`).
pub fn config_with_all_operations() -> String {
    let names = Catalogue::shipped()
        .iter()
        .map(|operation| operation.name.as_str());
    let names: Vec<&str> = names.collect();
    let few = r#"["user.exportPersonalData", "goals.exportJob", "team.schedule"]"#;
    let config = config_with_storages();
    config.replacen(few, &format!("{names:?}"), 1).replacen(
        "[graph]\n",
        "[graph]\nmonitor_hosts = [\"{anonymous}\"]\n",
        1,
    )
}

/// Returns [`CONFIG`] with two storages of the tenant `contoso`, both in the simulator's account: of `dsar-eu` the key is
/// right, of `dsar-us` it is not.
pub fn config_with_storages() -> String {
    let storage = |name: &str, key: &str| {
        format!(
            "[graph.tenants.contoso.storage.{name}]\naccount = \"{STORAGE_ACCOUNT}\"\nkey = \"env:{key}\"\n\
             endpoint = \"{{graph}}/{STORAGE_ACCOUNT}\"\n"
        )
    };
    let (eu, us) = (
        storage("dsar-eu", "STORAGE_KEY"),
        storage("dsar-us", "STORAGE_KEY_OLD"),
    );
    format!("{CONFIG}{eu}{us}")
}

/// The configuration document of a World; `{graph}` and `{receiver}` are to be filled in.
pub const CONFIG: &str = r#"
[graph]
base_url = "{graph}"
login_url = "{graph}"
[graph.tenants.contoso]
tenant_id = "contoso.example"
client_id = "courier"
client_secret = "env:GRAPH_SECRET"
refresh_token = "env:REFRESH_TOKEN"
[graph.tenants.fabrikam]
tenant_id = "fabrikam.example"
client_id = "courier"
client_secret = "env:GRAPH_SECRET"
[clients.tickets]
tenant = "contoso"
api_keys = ["sha256:bb915d5eed4b2523441dd1eaf37e5ad2448958558344f7d659b33c83dea2ead3"]
operations = ["user.exportPersonalData", "goals.exportJob", "team.schedule"]
callback_origins = ["{receiver}"]
signing_secrets = ["env:SIGNING_NEW", "env:SIGNING_OLD"]
[clients.hr]
tenant = "contoso"
api_keys = ["sha256:32b148fafb7f13528348d132ee917ccbcebff5e2d6053f7bac76c566050d152c"]
operations = ["team.schedule", "goals.exportJob"]
[clients.fabrikam]
tenant = "fabrikam"
api_keys = ["sha256:e0fcb823bed9091357d9c9d7a0f464e604f2fd1e573a9d3815349a60308d928a"]
operations = ["team.schedule"]
[seal]
key = "env:SEAL_KEY"
[callbacks]
allow_networks = ["127.0.0.0/8"]
[limits]
requests_per_minute = 1000000
"#;

/// A seed of an Ed25519 key, which signs evidence.
const EVIDENCE_KEY: &str = "Y2FuYXJ5LWV2aWRlbmNlLXNlZWQtMzItYnl0ZXMtLS0=";

/// Returns the secrets that `CONFIG` names.
pub fn resolve(reference: &SecretReference) -> Result<Secret, String> {
    let SecretReference::Env(name) = reference else {
        return Err("not in a test".to_owned());
    };
    match name.as_str() {
        "GRAPH_SECRET" => Ok(Secret::new(GRAPH_SECRET)),
        "REFRESH_TOKEN" => Ok(Secret::new(REFRESH_TOKEN)),
        "SIGNING_NEW" => Ok(Secret::new(SIGNING_SECRETS[0])),
        "SIGNING_OLD" => Ok(Secret::new(SIGNING_SECRETS[1])),
        "RECEIVER_TOKEN" => Ok(Secret::new(RECEIVER_TOKEN)),
        "RECEIVER_PASSWORD" => Ok(Secret::new(RECEIVER_PASSWORD)),
        "RECEIVER_HMAC" => Ok(Secret::new(RECEIVER_HMAC)),
        "RECEIVER_OAUTH" => Ok(Secret::new(RECEIVER_OAUTH)),
        "AWS_KEY_ID" => Ok(Secret::new(AWS_KEYS[0])),
        "AWS_KEY" => Ok(Secret::new(AWS_KEYS[1])),
        "AWS_SESSION" => Ok(Secret::new(AWS_KEYS[2])),
        "SEAL_KEY" => Ok(Secret::new(SEAL_KEY)),
        "EVIDENCE_KEY" => Ok(Secret::new(EVIDENCE_KEY)),
        "STORAGE_KEY" => Ok(Secret::new(STORAGE_KEY)),
        "STORAGE_KEY_OLD" => Ok(Secret::new(STORAGE_KEY_OLD)),
        "SEAL_KEY_NEW" => Ok(Secret::new(SEAL_KEY_NEW)),
        other => {
            let found = REQUEST_SECRETS.iter().find(|(name, _)| *name == other);
            let found = found.map(|(_, secret)| Secret::new(*secret));
            found.ok_or_else(|| format!("{other} is not set"))
        }
    }
}
