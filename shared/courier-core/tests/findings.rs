//! Tests that a configuration's mistakes are all reported at once, each at its place, and none because of another.

#![cfg(test)]

use courier_core::catalogue::Catalogue;
use courier_core::config::{Config, ConfigErrors};
use courier_core::crypto::secret::{Secret, SecretReference};

const GOOD: &str = r#"[graph]
cloud = "global"
[graph.tenants.contoso]
tenant_id = "contoso.onmicrosoft.com"
client_id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
client_secret = "env:GRAPH"
refresh_token = "env:GRAPH"
[clients.tickets]
tenant = "contoso"
api_keys = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
operations = ["team.schedule", "goals.exportJob"]
callback_origins = ["https://tickets.example"]
signing_secrets = ["env:WHSEC"]
callback = { profile = "standard-webhooks" }
[clients.hr]
tenant = "contoso"
basic = { username = "hr", passwords = ["sha256:1111111111111111111111111111111111111111111111111111111111111111"] }
operations = ["team.schedule"]
[seal]
key = "env:SEAL"
"#;

fn resolve(reference: &SecretReference) -> Result<Secret, String> {
    let SecretReference::Env(name) = reference else {
        return Err("no".to_owned());
    };
    match name.as_str() {
        "SEAL" => Ok(Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        "WHSEC" => Ok(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
        "GRAPH" => Ok(Secret::new("canary")),
        _ => Err(format!("environment variable {name} is not set")),
    }
}

fn parse(changes: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let mut text = GOOD.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    Config::parse(&text, Catalogue::shipped(), &resolve)
}

/// Returns the mistakes after these changes of the good configuration, with their places.
fn mistakes(changes: &[(&str, &str)]) -> Vec<String> {
    let errors = parse(changes).err();
    let mistakes = errors.map(|errors| errors.mistakes).unwrap_or_default();
    mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn one_mistake_is_reported_once_at_its_place_and_invents_no_other() {
    let tenant_id =
        "must be the tenant's GUID or one of its domain names, such as contoso.onmicrosoft.com";
    let shared = "must be one tenant: common, organizations and consumers stand for many";
    let at = |rule: &str| format!("4:13: graph.tenants.contoso.tenant_id: {rule}");
    let cases: Vec<(&str, &str, String)> = vec![
        ("\"contoso.onmicrosoft.com\"", "\"not a guid\"", at(tenant_id)),
        ("\"contoso.onmicrosoft.com\"", "\"contoso\"", at(tenant_id)),
        ("\"contoso.onmicrosoft.com\"", "\"../common\"", at(tenant_id)),
        ("\"contoso.onmicrosoft.com\"", "\"Common\"", at(shared)),
        ("\"contoso.onmicrosoft.com\"", "7", at("must be a text")),
        (
            "\"3f2504e0-4f89-41d3-9a0c-0305e82c3301\"",
            "\"courier\"",
            "5:13: graph.tenants.contoso.client_id: must be the GUID of the app registration".into(),
        ),
        (
            "client_secret",
            "client_secrets",
            "6:1: graph.tenants.contoso.client_secrets: is not a known key; did you mean client_secret?".into(),
        ),
        (
            "client_secret = \"env:GRAPH\"\n",
            "",
            "3:16: graph.tenants.contoso.client_secret: is missing".into(),
        ),
        (
            "refresh_token",
            "refresh_tokn",
            "7:1: graph.tenants.contoso.refresh_tokn: is not a known key; did you mean refresh_token?".into(),
        ),
        ("[graph]\n", "[grahp]\n", "1:2: grahp: is not a known key; did you mean graph?".into()),
        (
            "[graph.tenants.contoso]",
            "[graph.tenant.contoso]",
            "3:8: graph.tenant: is not a known key; did you mean tenants?".into(),
        ),
        (
            "\"global\"",
            "\"us-gv\"",
            "2:9: graph.cloud: must be global, us-gov, us-gov-dod or china; did you mean us-gov?".into(),
        ),
        (
            "cloud = \"global\"",
            "base_url = \"https://graph.example/v1.0\"\nlogin_url = \"https://login.example\"",
            "2:12: graph.base_url: must be an origin: scheme, host and port only".into(),
        ),
        (
            "cloud = \"global\"",
            "base_url = \"https://graph.example\"",
            "1:2: graph.login_url: is needed beside base_url".into(),
        ),
        (
            "tenant = \"contoso\"",
            "tenant = \"contosso\"",
            "9:10: clients.tickets.tenant: there is no graph.tenants.contosso; did you mean contoso?".into(),
        ),
        (
            "goals.exportJob",
            "goals.exportjobs",
            "11:32: clients.tickets.operations[1]: goals.exportjobs is not an operation; did you mean goals.exportJob?".into(),
        ),
        (
            "\"goals.exportJob\"",
            "\"exportJob\"",
            "11:32: clients.tickets.operations[1]: exportJob is not an operation; did you mean goals.exportJob?".into(),
        ),
        (
            "[\"team.schedule\", \"goals.exportJob\"]",
            "[\"everything\"]",
            "11:15: clients.tickets.operations[0]: everything is not an operation".into(),
        ),
        (
            "operations = [\"team",
            "operation = [\"team",
            "11:1: clients.tickets.operation: is not a known key; did you mean operations?".into(),
        ),
        (
            "api_keys",
            "api_key",
            "10:1: clients.tickets.api_key: is not a known key; did you mean api_keys?".into(),
        ),
        ("[\"sha256:0", "[\"sha256:x", "10:13: clients.tickets.api_keys[0]: must be sha256: and the 64 hexadecimal digits of its SHA-256".into()),
        (
            "basic =",
            "basci =",
            "17:1: clients.hr.basci: is not a known key; did you mean basic?".into(),
        ),
        (
            "env:WHSEC",
            "env:NOWHERE",
            "13:20: clients.tickets.signing_secrets[0]: environment variable NOWHERE is not set".into(),
        ),
        (
            "\"standard-webhooks\"",
            "\"standard-webhook\"",
            "14:24: clients.tickets.callback.profile: must be one of standard-webhooks, servicenow-scripted, servicenow-hmac, servicenow-table, jira-automation, zendesk, okta-workflows, logic-apps, step-functions-task-token, step-functions, lambda-durable, eventbridge, sqs, sns, generic; did you mean standard-webhooks?".into(),
        ),
        (
            "basic = {",
            "signed = { dialect = \"body-hmacs\", header = \"x-sig\", encoding = \"hex\", algorithm = \"sha256\", secrets = [\"env:GRAPH\"] }\n#",
            String::new(),
        ),
        (
            "key = \"env:SEAL\"",
            "key = \"env:SEAL\"\nkeys = [\"env:SEAL\"]",
            "21:8: seal.keys: either key or keys, not both".into(),
        ),
        (
            "key = \"env:SEAL\"",
            "keys = [\"env:SEAL\", \"env:GRAPH\"]",
            "20:21: seal.keys[1]: the key must be 32 bytes in base64".into(),
        ),
        (
            "key = \"env:SEAL\"",
            "kyes = [\"env:SEAL\"]",
            "20:1: seal.kyes: is not a known key; did you mean keys?".into(),
        ),
        (
            "[seal]",
            "[callbacks]\nsource = \"/v1/operations\"\n[seal]",
            "20:10: callbacks.source: must be an absolute URI such as https://courier.example".into(),
        ),
        (
            "[seal]",
            "[callbacks]\nallow_networks = [\"10.0.0.0/99\"]\n[seal]",
            "20:19: callbacks.allow_networks[0]: must be a network such as 10.20.0.0/16".into(),
        ),
    ];
    for (from, to, expected) in cases {
        let found = mistakes(&[(from, to)]);
        if expected.is_empty() {
            let texts = [
                "17:22: clients.hr.signed.dialect: must be standard-webhooks, zendesk, github or body-hmac; did you mean body-hmac?",
                "17:105: clients.hr.signed.secrets[0]: must have at least 16 bytes, or it could be guessed",
            ];
            assert_eq!(found, texts, "{to}");
        } else {
            assert_eq!(found, [expected], "{to}");
        }
    }
}

#[test]
fn a_mistake_in_the_networks_makes_no_address_wrong() {
    let networks = "[callbacks]\nallow_networks = [\"10.20.0.0/99\"]\n[seal]";
    let found = mistakes(&[
        ("https://tickets.example", "http://10.20.0.1"),
        ("[seal]", networks),
    ]);
    assert_eq!(
        found,
        ["20:19: callbacks.allow_networks[0]: must be a network such as 10.20.0.0/16"]
    );
}

#[test]
fn no_mistake_hides_another() {
    let found = mistakes(&[
        ("contoso.onmicrosoft.com", "not a guid"),
        ("tenant = \"contoso\"", "tenat = \"contoso\""),
        ("team.schedule", "team.shedule"),
        ("signing_secrets = [\"env:WHSEC\"]", ""),
        (
            "basic = {",
            "api_keys = [\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"]\nbasic = {",
        ),
        ("key = \"env:SEAL\"", "key = \"env:GRAPH\"\ncolour = 1"),
    ]);
    let expected = [
        "4:13: graph.tenants.contoso.tenant_id: must be the tenant's GUID or one of its domain names, such as contoso.onmicrosoft.com",
        "8:10: clients.tickets.signing_secrets: callbacks are signed: at least one secret is needed",
        "9:1: clients.tickets.tenat: is not a known key; did you mean tenant?",
        "10:13: clients.tickets.api_keys[0]: is also clients.hr.api_keys[0]: who calls would be unclear",
        "11:15: clients.tickets.operations[0]: team.shedule is not an operation; did you mean team.schedule?",
        "21:7: seal.key: the key must be 32 bytes in base64",
        "22:1: seal.colour: is not a known key",
    ];
    assert_eq!(found, expected);
}

#[test]
fn mistakes_of_toml_are_reported_with_their_places_and_quote_no_value() {
    let found = mistakes(&[
        ("\"env:GRAPH\"", "canary canary"),
        ("tenant = \"contoso\"", "tenant = \"canary"),
    ]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("6:17: not TOML: "), "{found:?}");
    assert!(found[1].starts_with("9:"), "{found:?}");
    assert!(!found.join("").contains("canary"), "{found:?}");
}

#[test]
fn what_follows_from_an_array_that_is_not_closed_is_not_reported() {
    for (from, to) in [
        ("\"goals.exportJob\"]", "\"goals.exportJob\""),
        ("\"standard-webhooks\" }", "\"standard-webhooks\""),
    ] {
        let found = mistakes(&[(from, to)]);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn a_byte_order_mark_is_no_column() {
    let text = format!("\u{feff}colour = 1\n{GOOD}");
    let errors = Config::parse(&text, Catalogue::shipped(), &resolve).err();
    let mistake = errors.unwrap().mistakes.remove(0).to_string();
    assert_eq!(mistake, "1:1: colour: is not a known key");
}

#[test]
fn an_error_names_the_document_before_each_place() {
    let errors = parse(&[("\"global\"", "7")]).err().unwrap();
    assert_eq!(
        errors.of("courier.toml").to_string(),
        "the configuration has 1 mistake(s):\ncourier.toml:2:9: graph.cloud: must be a text"
    );
}

#[test]
fn what_is_permitted_but_surely_unwanted_is_a_warning() {
    let warnings = |changes: &[(&str, &str)]| -> Vec<String> {
        let config = parse(changes).unwrap_or_else(|errors| panic!("{errors}"));
        config.warnings.iter().map(ToString::to_string).collect()
    };
    assert_eq!(warnings(&[]), [""; 0]);
    let test_host = (
        "cloud = \"global\"",
        "base_url = \"https://graph.example\"\nlogin_url = \"https://login.example\"",
    );
    let expected =
        "2:12: graph.base_url: not Microsoft Graph: tokens and personal data go to this host";
    assert_eq!(warnings(&[test_host]), [expected]);
    let unused = (
        "[graph.tenants.contoso]",
        "[graph.tenants.fabrikam]\ntenant_id = \"fabrikam.example\"\nclient_id = \"3f2504e0-4f89-41d3-9a0c-0305e82c3301\"\nclient_secret = \"env:GRAPH\"\n[graph.tenants.contoso]",
    );
    let expected = "3:16: graph.tenants.fabrikam: no client uses this tenant";
    assert_eq!(warnings(&[unused]), [expected]);
    let no_goals = (", \"goals.exportJob\"", "");
    let expected = "3:16: graph.tenants.contoso.refresh_token: no client of this tenant asks for an operation that needs it";
    assert_eq!(warnings(&[no_goals]), [expected]);
    let expected = [
        "12:19: clients.tickets.signing_secrets: has no effect: there are no callback_origins",
        "13:1: clients.tickets.callback: has no effect: there are no callback_origins",
    ];
    let silent = ("callback_origins = [\"https://tickets.example\"]\n", "");
    assert_eq!(warnings(&[silent]), expected);
    let networks = "[callbacks]\nallow_networks = [\"0.0.0.0/0\"]\n[seal]";
    let found = warnings(&[
        ("https://tickets.example", "http://tickets.example"),
        ("[seal]", networks),
    ]);
    let expected = [
        "12:20: clients.tickets.callback_origins: an http:// origin: whoever is on the way can read the completions",
        "20:18: callbacks.allow_networks: permits every address, that of this machine and of cloud metadata too",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_test_host_may_know_its_tenants_by_any_name_but_not_by_a_path() {
    let test_host = (
        "cloud = \"global\"",
        "base_url = \"https://graph.example\"\nlogin_url = \"https://login.example\"",
    );
    let id = "contoso.onmicrosoft.com";
    assert!(parse(&[test_host, (id, "demo")]).is_ok());
    for wrong in ["not a guid", "a/b", "..", "common"] {
        assert_eq!(mistakes(&[test_host, (id, wrong)]).len(), 1, "{wrong}");
    }
}
