//! Tests what a configuration must not allow: private or unsigned callbacks, empty strings, operations that cannot run.

#![cfg(test)]

use courier_core::catalogue::{Catalogue, TokenKind};
use courier_core::config::{Config, ConfigErrors};
use courier_core::crypto::secret::{Secret, SecretReference};

const GOOD: &str = r#"
    [graph]
    base_url = "https://graph.example"
    login_url = "https://login.example"
    [graph.tenants.contoso]
    tenant_id = "t"
    client_id = "c"
    client_secret = "env:GRAPH"
    [clients.tickets]
    tenant = "contoso"
    api_keys = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
    operations = ["team.schedule"]
    callback_origins = ["https://tickets.example"]
    signing_secrets = ["env:WHSEC"]
    [seal]
    key = "env:SEAL"
"#;

fn resolve(reference: &SecretReference) -> Result<Secret, String> {
    match reference {
        SecretReference::Env(name) if name == "SEAL" => {
            Ok(Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
        }
        SecretReference::Env(name) if name == "WHSEC" => {
            Ok(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        }
        SecretReference::Env(_) | SecretReference::File(_) | SecretReference::AwsSecret { .. } => {
            Ok(Secret::new("canary"))
        }
    }
}

/// Returns the mistakes in the good configuration after one change.
fn mistakes(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    let text = GOOD.replacen(from, to, 1);
    let config = Config::parse(&text, Catalogue::shipped(), &resolve);
    config.err().map(ConfigErrors::texts).unwrap_or_default()
}

fn mistaken(from: &str, to: &str, expected: &str) {
    assert_eq!(mistakes(from, to), [expected], "{to}");
}

#[test]
fn unchanged_configuration_of_these_tests_is_accepted() {
    assert_eq!(mistakes("", ""), [""; 0]);
    let config = Config::parse(GOOD, Catalogue::shipped(), &resolve).unwrap();
    assert_eq!(config.requests_per_minute, 600);
}

#[test]
fn private_or_clear_text_callback_origin_needs_allow_networks() {
    let https = "clients.tickets.callback_origins[0]: must be https unless allow_networks is set";
    let private =
        "clients.tickets.callback_origins[0]: must not point to a private or local address";
    let origin = "https://tickets.example";
    let seal = "[seal]";
    for (other, rule) in [
        ("http://tickets.example", https),
        ("https://10.20.0.1", private),
        ("https://tickets.local", private),
    ] {
        mistaken(origin, other, rule);
        let networks = "[callbacks]\nallow_networks = [\"10.20.0.0/16\"]\n[seal]";
        let text = GOOD.replace(origin, other).replace(seal, networks);
        assert!(Config::parse(&text, Catalogue::shipped(), &resolve).is_ok());
        let none = text.replace("\"10.20.0.0/16\"", "");
        let errors = Config::parse(&none, Catalogue::shipped(), &resolve).err();
        assert_eq!(errors.unwrap().texts(), [rule]);
    }
}

#[test]
fn client_needs_a_signing_secret_only_if_it_has_callbacks() {
    let secrets = "signing_secrets = [\"env:WHSEC\"]";
    let rule =
        "clients.tickets.signing_secrets: callbacks are signed: at least one secret is needed";
    mistaken(secrets, "", rule);
    mistaken(secrets, "signing_secrets = []", rule);
    let silent =
        "callback_origins = [\"https://tickets.example\"]\n    signing_secrets = [\"env:WHSEC\"]";
    assert_eq!(mistakes(silent, ""), [""; 0]);
}

#[test]
fn only_an_operation_for_a_signed_in_user_needs_a_refresh_token() {
    let rule =
        "graph.tenants.contoso.refresh_token: goals.exportJob needs a signed-in user's token";
    mistaken("team.schedule", "goals.exportJob", rule);
    let both = "team.schedule\", \"user.exportPersonalData";
    assert_eq!(mistakes("team.schedule", both), [""; 0]);
    let text = GOOD
        .replace("team.schedule", "goals.exportJob")
        .replace("client_id", "refresh_token = \"env:R\"\nclient_id");
    assert!(Config::parse(&text, Catalogue::shipped(), &resolve).is_ok());
}

#[test]
fn blank_string_counts_as_empty() {
    for blank in ["", " ", "\\t"] {
        let tenant = format!("tenant = \"{blank}\"");
        let rule = "clients.tickets.tenant: must not be empty";
        mistaken("tenant = \"contoso\"", &tenant, rule);
    }
}

#[test]
fn bad_key_of_a_tenant_does_not_make_its_other_keys_unknown() {
    for (key, other) in [
        ("tenant_id = \"t\"", "tenant_id = 7"),
        ("client_id = \"c\"", "client_id = \"\""),
        ("client_secret = \"env:GRAPH\"", "refresh_token = \"env:R\""),
    ] {
        let found = mistakes(key, other).join("\n");
        let place = key.split_once(' ').unwrap().0;
        assert!(
            found.contains(&format!("graph.tenants.contoso.{place}: ")),
            "{found}"
        );
        assert!(!found.contains("is not a known key"), "{found}");
    }
}

#[test]
fn graph_base_url_must_be_an_origin_without_user_or_password() {
    let rule = "graph.base_url: must be an origin: scheme, host and port only";
    for other in [
        "u@graph.example",
        ":p@graph.example",
        "u:p@graph.example",
        "graph.example/v1.0",
        "graph.example?x",
        "graph.example#x",
    ] {
        let found = mistakes("https://graph.example", &format!("https://{other}"));
        assert!(found.contains(&rule.to_owned()), "{other}: {found:?}");
    }
}

#[test]
fn token_kinds_are_named_application_and_delegated() {
    assert_eq!(TokenKind::Application.as_str(), "application");
    assert_eq!(TokenKind::Delegated.as_str(), "delegated");
}

#[test]
fn the_public_url_is_where_callers_find_us_and_nothing_else() {
    let with = |url: &str| {
        let text = format!("public_url = \"{url}\"\n{GOOD}");
        Config::parse(&text, Catalogue::shipped(), &resolve)
            .map(|config| config.public_url)
            .map_err(ConfigErrors::texts)
    };
    for (url, read) in [
        ("https://courier.contoso.com", "https://courier.contoso.com"),
        (
            "https://courier.contoso.com/",
            "https://courier.contoso.com",
        ),
        (
            "https://a.example:8443/it/graph",
            "https://a.example:8443/it/graph",
        ),
        ("https://a.example/prod/", "https://a.example/prod"),
        ("https://a.example/v1", "https://a.example/v1"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost/x", "http://localhost/x"),
    ] {
        assert_eq!(with(url), Ok(Some(read.to_owned())), "{url}");
    }
    let https = "must be https (http only on a loopback address)";
    let bare = "must have no user information, query or fragment";
    let plain = "must be in its plain form: in lower case, without the default port, and with nothing to resolve or encode in its path";
    for (url, rule) in [
        ("", "must not be empty"),
        ("courier.contoso.com", "must be a URL"),
        ("/it/graph", "must be a URL"),
        ("http://courier.contoso.com", https),
        ("ftp://courier.contoso.com", https),
        ("https://canary@a.example", bare),
        ("https://:canary@a.example", bare),
        ("https://a.example?canary", bare),
        ("https://a.example/#canary", bare),
        ("https://A.example", plain),
        ("https://a.example:443", plain),
        ("https://a.example/x/../y", plain),
        ("https://a.example/ü", plain),
        ("https://a.example/x//", plain),
        ("https://a.example//", plain),
        ("https://a.example\\\\x", plain),
        (
            "https://a.example/v1/operations",
            "must end before /v1/operations",
        ),
    ] {
        assert_eq!(with(url), Err(vec![format!("public_url: {rule}")]), "{url}");
    }
}

/// Returns the mistakes in the good configuration with this table `[events]`, and with AWS keys.
fn mistakes_of_events(table: &str) -> Vec<String> {
    let keys = "[aws]\naccess_key_id = \"env:ID\"\nsecret_access_key = \"env:KEY\"\n";
    let text = format!("{GOOD}\n{keys}[events]\n{table}");
    let config = Config::parse(&text, Catalogue::shipped(), &resolve);
    config.err().map(ConfigErrors::texts).unwrap_or_default()
}

#[test]
fn events_have_a_source_and_one_target_that_can_be_called() {
    let source = "source = \"https://courier.example\"";
    let bus = "bus = \"arn:aws:events:eu-central-1:123456789012:event-bus/courier\"";
    let url = "url = \"https://events.example/in\"\nsigning_secrets = [\"env:WHSEC\"]";
    for good in [
        format!("{source}\n{bus}"),
        format!("{source}\n{url}\ntypes = [\"operation.*\", \"deadline.passed\"]"),
    ] {
        assert_eq!(mistakes_of_events(&good), [""; 0], "{good}");
    }
    let no_bus =
        "events.bus: must be the ARN of an event bus: arn:aws:events:REGION:ACCOUNT:event-bus/NAME";
    for (table, expected) in [
        (bus.to_owned(), "events.source: is missing"),
        (
            source.to_owned(),
            "events.bus: is missing: events need a bus or a url",
        ),
        (
            format!("{source}\n{bus}\n{url}"),
            "events.url: either bus or url, not both",
        ),
        (format!("{source}\nbus = \"courier\""), no_bus),
        (
            format!("{source}\n{}", bus.replace(":events:", ":sqs:")),
            no_bus,
        ),
        (
            format!("{source}\nurl = \"https://events.example\""),
            "events.signing_secrets: events are signed: at least one secret is needed",
        ),
        (
            format!("{source}\n{}", url.replace("events.example", "10.1.2.3")),
            "events.url: must not point to a private or local address",
        ),
    ] {
        assert_eq!(mistakes_of_events(&table), [expected], "{table}");
    }
    let wrong = mistakes_of_events(&format!("{source}\n{bus}\ntypes = [\"ended\"]"));
    assert!(wrong[0].starts_with("events.types[0]: matches no event: write *, operation.*"));
    let keyless = format!("{GOOD}\n[events]\n{source}\n{bus}");
    let keyless = Config::parse(&keyless, Catalogue::shipped(), &resolve).err();
    let needs = "events.bus: needs keys: access_key_id and secret_access_key in [aws]";
    assert_eq!(keyless.unwrap().texts(), [needs]);
}

#[test]
fn a_storage_is_on_the_blob_host_of_the_cloud_unless_it_names_its_endpoint() {
    const KEY: &str =
        "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmFyeS1jYW5hcnk=";
    let resolve = |reference: &SecretReference| match reference {
        SecretReference::Env(name) if name == "KEY" => Ok(Secret::new(KEY)),
        SecretReference::Env(_) | SecretReference::File(_) | SecretReference::AwsSecret { .. } => {
            resolve(reference)
        }
    };
    let parsed = |hosts: &str, table: &str| {
        let test_host =
            "base_url = \"https://graph.example\"\n    login_url = \"https://login.example\"";
        let text = GOOD
            .replace(test_host, hosts)
            .replace("\"t\"", "\"contoso.example\"")
            .replace("team.schedule", "user.exportPersonalData")
            .replace("\"c\"", "\"3f2504e0-4f89-41d3-9a0c-0305e82c3301\"");
        let storage =
            format!("[graph.tenants.contoso.storage.eu]\naccount = \"contosodsar\"\n{table}\n");
        let config = Config::parse(&format!("{text}{storage}"), Catalogue::shipped(), &resolve);
        let config = config.map_err(ConfigErrors::texts)?;
        let storage = &config.graph.tenants["contoso"].storages["eu"];
        assert!(!format!("{storage:?}").contains("Y2Fu"));
        Ok::<_, Vec<String>>(storage.container("c"))
    };
    let test_host = "base_url = \"https://graph.example\"\nlogin_url = \"https://login.example\"";
    let key = "key = \"env:KEY\"";
    let of_endpoint = |text: &str| format!("{key}\nendpoint = \"{text}\"");
    for (hosts, table, container) in [
        ("", key, "https://contosodsar.blob.core.windows.net/c"),
        (
            "cloud = \"us-gov\"",
            key,
            "https://contosodsar.blob.core.usgovcloudapi.net/c",
        ),
        (
            "cloud = \"china\"",
            key,
            "https://contosodsar.blob.core.chinacloudapi.cn/c",
        ),
        (
            "",
            &of_endpoint("https://dsar.contoso.example/"),
            "https://dsar.contoso.example/c",
        ),
        (
            test_host,
            &of_endpoint("http://127.0.0.1:10000/contosodsar"),
            "http://127.0.0.1:10000/contosodsar/c",
        ),
    ] {
        assert_eq!(parsed(hosts, table), Ok(container.to_owned()), "{table}");
    }
    let place = "graph.tenants.contoso.storage.eu";
    for (hosts, table, rule) in [
        (test_host, key, "endpoint: is needed beside base_url"),
        ("", "", "key: is missing"),
        (
            "",
            "key = \"env:OTHER\"",
            "key: must be the key of the storage account",
        ),
        (
            "",
            &of_endpoint("http://files.example"),
            "endpoint: must be https",
        ),
        (
            "",
            &of_endpoint("https://files.example/a/b"),
            "endpoint: must be the root",
        ),
        (
            "",
            &of_endpoint("https://files.example/?sig=canary"),
            "endpoint: must be the root",
        ),
        (
            "",
            &format!("{key}\nacount = \"x\""),
            "acount: is not a known key",
        ),
    ] {
        let mistakes = parsed(hosts, table).unwrap_err();
        let [mistake] = &*mistakes else {
            panic!("{mistakes:?}")
        };
        assert!(mistake.contains(&format!("{place}.{rule}")), "{mistake}");
        assert!(!mistake.contains("canary"), "{mistake}");
    }
}
