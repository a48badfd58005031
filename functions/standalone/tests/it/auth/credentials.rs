//! Credentials: API keys, Basic, several at once, the rate limit of a client, `courier check` and `courier key`.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use courier_core::operation::OperationId;
use courier_testkit::tenants::REQUEST_SECRETS;
use courier_testkit::world::{HR_KEY, TICKETS_KEY, World};
use sha2::{Digest, Sha256};

use crate::api::operations::SEVERAL;
use crate::auth::signed::{SIGNERS, signed};
use crate::auth::signed_corpus::standard_signature;
use crate::process::deployment::{address, config, file};
use crate::process::program::{Courier, run};

pub(crate) fn hash(secret: &str) -> String {
    let digits: Vec<String> = Sha256::digest(secret)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"sha256:{}\"", digits.concat())
}

/// Returns the configuration of a client with a user name, two passwords and its own rate limit.
fn with_basic() -> String {
    let passwords = format!("[{}, {}]", hash("new: päss"), hash("old"));
    format!(
        r#"
[clients.servicenow]
tenant = "contoso"
operations = ["team.schedule"]
requests_per_minute = 40
api_keys = [{}]
[clients.servicenow.basic]
username = "Sérvice"
passwords = {passwords}
[seal]
"#,
        hash("servicenow-key")
    )
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

#[tokio::test]
async fn a_password_is_accepted_only_with_its_user_name() {
    let world =
        World::with(|setup| setup.config = setup.config.replace("[seal]\n", &with_basic())).await;
    let good = basic("Sérvice:new: päss");
    let bare = good.strip_prefix("Basic ").unwrap();
    let (lower, cut) = (format!("bAsIc  {bare} "), bare.trim_end_matches('='));
    let latin_1 = |pair: &str| {
        let bytes: Vec<u8> = pair.chars().map(|letter| letter as u32 as u8).collect();
        format!("Basic {}", STANDARD.encode(bytes))
    };
    for (value, status) in [
        (good.clone(), 200),
        (basic("Sérvice:old"), 200),
        // Python's requests and aiohttp send ISO 8859-1.
        (latin_1("Sérvice:new: päss"), 200),
        (latin_1("Sérvice:new: pöss"), 401),
        (lower, 200),
        ("Bearer servicenow-key".to_owned(), 200),
        (basic("Sérvice:new: pass"), 401),
        (basic("Sérvice:new: päss "), 401),
        (basic("sérvice:old"), 401),
        (basic("Sérvice"), 401),
        (basic("Sérvice:"), 401),
        (basic(":old"), 401),
        (basic("old"), 401),
        (basic("tickets:tickets-key"), 401),
        (basic("Sérvice:servicenow-key"), 401),
        (basic("servicenow-key:x"), 200),
        (basic(""), 401),
        ("Basic".to_owned(), 401),
        ("Basic Sérvice:old".replace('é', "e"), 401),
        (format!("Basic {cut}!"), 401),
        (format!("Basic {bare}="), 401),
        (format!("Basic{bare}"), 401),
        (format!("Bearer {bare}"), 401),
        ("Bearer old".to_owned(), 401),
        ("Digest username=\"x\"".to_owned(), 401),
        ("Negotiate x".to_owned(), 401),
    ] {
        let headers = [("authorization", value.as_str())];
        let answer = world.call("GET", "/v1/operations", &headers, "").await;
        assert_eq!(answer.status, status, "{value}: {answer:?}");
        if status == 401 {
            assert_eq!(answer.problem(), "unauthenticated");
            assert_eq!(answer.body["detail"], serde_json::Value::Null, "{value}");
        }
    }
    for other in [("x-api-key", TICKETS_KEY), ("authorization", &good)] {
        let headers = [("authorization", good.as_str()), other];
        let answer = world.call("GET", "/v1/operations", &headers, "").await;
        assert_eq!(
            answer.status, 401,
            "two credentials in one request: {other:?}"
        );
    }
    let refused = world
        .post_with(&[("x-api-key", "servicenow-key")], &world.goals())
        .await;
    assert_eq!(refused.problem(), "operation-forbidden");
}

#[tokio::test]
async fn an_api_key_may_be_the_user_name_of_basic_with_any_password() {
    let ambiguous = format!(
        r#"
[clients.ambiguous]
tenant = "contoso"
operations = ["team.schedule"]
api_keys = [{}]
basic = {{ username = "plain-name", passwords = [{}] }}
[clients.other]
tenant = "contoso"
operations = ["team.schedule"]
api_keys = [{}, {}]
[seal]
"#,
        hash("own-key"),
        hash("password"),
        hash("plain-name"),
        hash(""),
    );
    let world =
        World::with(|setup| setup.config = setup.config.replace("[seal]\n", &ambiguous)).await;
    let key = TICKETS_KEY;
    for (pair, status) in [
        (format!("{key}:x"), 200),
        (format!("{key}:X"), 200),
        (format!("{key}:"), 200),
        (format!("{key}::"), 200),
        // The password decides nothing, not even if it is somebody's key.
        (format!("{key}:{HR_KEY}"), 200),
        ("own-key:x".to_owned(), 200),
        ("plain-name:x".to_owned(), 200),
        // The key of one client and the user name and password of another: who calls is unclear.
        ("plain-name:password".to_owned(), 401),
        (key.to_owned(), 401),
        (format!(" {key}:x"), 401),
        (format!("{}:x", key.to_uppercase()), 401),
        (format!("x:{key}"), 401),
        (format!(":{key}"), 401),
        // The hash of the empty text is the key of a client that nobody can be.
        (":x".to_owned(), 401),
        (":".to_owned(), 401),
    ] {
        let value = basic(&pair);
        let headers = [("authorization", value.as_str())];
        let answer = world.call("GET", "/v1/operations", &headers, "").await;
        assert_eq!(answer.status, status, "{pair}: {answer:?}");
    }
    let value = basic(&format!("{key}:{HR_KEY}"));
    let headers = [("authorization", value.as_str())];
    let posted = world.post_with(&headers, &world.schedule()).await;
    let id = OperationId::parse(&posted.id()).unwrap();
    let record = world.app.store.load(&id).await.unwrap().unwrap();
    assert_eq!(record.client, "tickets");
    let headers = [("authorization", value.as_str()), ("x-api-key", key)];
    let both = world.call("GET", "/v1/operations", &headers, "").await;
    assert_eq!(
        (both.status, both.body["detail"].as_str()),
        (401, Some(SEVERAL))
    );
    world.closed(&posted.id()).await;
}

#[tokio::test]
async fn a_client_may_have_its_own_rate_limit() {
    let config = with_basic().replace("= 40", "= 2");
    let world = World::with(|setup| setup.config = setup.config.replace("[seal]\n", &config)).await;
    let own = [("x-api-key", "servicenow-key")];
    for status in [200, 200, 429, 429] {
        let answer = world.call("GET", "/v1/operations", &own, "").await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    for _ in 0..20 {
        assert_eq!(world.get("/v1/operations").await.status, 200);
    }
}

#[tokio::test]
async fn check_prints_how_each_client_authenticates_and_no_secret() {
    let jwt = r#"
[clients.tokens]
tenant = "contoso"
operations = ["team.schedule"]
[clients.tokens.jwt]
issuer = "https://login.example/v2"
audience = "api://courier"
jwks_url = "https://login.example/keys"
required_role = "Operations.Start"
subject = "robot"
algorithms = ["RS256", "ES256"]
"#;
    let directory = tempfile::tempdir().unwrap();
    let clients = format!("{jwt}{}", with_basic()).replace("[seal]\n", SIGNERS);
    let text = config("http://127.0.0.1:9", "http://127.0.0.1:8").replace("[seal]\n", &clients);
    let text = format!("public_url = \"https://courier.example/it/\"\n{text}");
    let path = file(directory.path(), "courier.toml", &text);
    let ended = run(&["check", "--config", &path], &REQUEST_SECRETS).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in [
        "Callers: https://courier.example/it/v1/operations\n",
        "client servicenow (tenant contoso)\n  proves itself with one of 1 API key(s)\n  proves itself with Basic as Sérvice, one of 2 password(s)\n  may send 40 requests a minute",
        "by signing (standard-webhooks, header webhook-signature), one of 2 secret(s); that only starts operations\n  may send 1000000 requests a minute",
        "by signing (zendesk, header x-zendesk-webhook-signature), one of 2 secret(s)",
        "by signing (github, header x-hub-signature-256), one of 1 secret(s)",
        "by signing (body-hmac, header x-body-signature, sha512 in hex), one of 1 secret(s)",
        "by signing (body-hmac, header x-sn-hmac, sha384 in base64), one of 1 secret(s)",
        "with a JWT (RS256, ES256) of https://login.example/v2 for api://courier with role Operations.Start and sub robot, keys at https://login.example/keys",
    ] {
        assert!(
            ended.stdout.contains(line),
            "{line:?} not in {}",
            ended.stdout
        );
    }
    for (_, secret) in REQUEST_SECRETS {
        assert!(!ended.stdout.contains(secret), "{}", ended.stdout);
    }
    assert!(!ended.stdout.contains("sha256:"), "{}", ended.stdout);
}

/// Makes a secret of each kind and uses the printed configuration line.
#[tokio::test]
async fn a_new_secret_matches_its_printed_configuration_line() {
    let mut made = BTreeSet::new();
    for (flag, from, secret_of) in [
        (None, "api_keys", None),
        (Some("--api-key"), "api_keys", None),
        (Some("--password"), "passwords", None),
        (Some("--signing-secret"), "signing_secrets", Some("WHSEC")),
        (Some("--seal-key"), "key", Some("COURIER_SEAL_KEY")),
    ] {
        let mut arguments = vec!["key", "new"];
        arguments.extend(flag);
        let ended = run(&arguments, &[]).await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        let secret = ended.stdout.lines().next().unwrap().to_owned();
        let line = ended.stdout.lines().last().unwrap();
        assert!(line.starts_with(&format!("{from} = ")), "{line}");
        assert_eq!(ended.stdout.matches(&secret).count(), 1, "shown once");
        assert!(made.insert(secret.clone()), "made twice");
        let base = config("http://127.0.0.1:9", "http://127.0.0.1:8");
        let text = match from {
            "api_keys" => base.replace(&format!("api_keys = [{}]", hash(TICKETS_KEY)), line),
            "passwords" => base.replace(
                "[seal]",
                &format!("[clients.tickets.basic]\nusername = \"u\"\n{line}\n[seal]"),
            ),
            "signing_secrets" => base.replace(
                "signing_secrets = [\"env:SIGNING_NEW\", \"env:SIGNING_OLD\"]",
                line,
            ),
            _ => base.replace("key = \"env:SEAL_KEY\"", line),
        };
        assert!(text.contains(line), "{line} is in\n{text}");
        let directory = tempfile::tempdir().unwrap();
        let path = file(directory.path(), "courier.toml", &text);
        let variables: Vec<_> = secret_of.map(|name| (name, &*secret)).into_iter().collect();
        let check = run(&["check", "--config", &path], &variables).await;
        assert_eq!(check.code, Some(0), "{check:?}");
        if secret_of.is_none() {
            assert!(line.contains(&hash(&secret)), "{line} is of {secret}");
        }
    }
    let two = run(&["key", "new", "--password", "--seal-key"], &[]).await;
    assert_eq!(two.code, Some(2), "{two:?}");
}

/// The log of a refused request names the client where it is known, and never what was sent.
#[tokio::test]
async fn the_log_names_client_and_kind_of_credential_but_not_the_credential() {
    let directory = tempfile::tempdir().unwrap();
    let clients = SIGNERS.replace("[seal]", &with_basic());
    let text = config("http://127.0.0.1:9", "http://127.0.0.1:8").replace("[seal]\n", &clients);
    let path = file(directory.path(), "courier.toml", &text);
    let data = directory.path().join("data");
    let mut arguments = vec!["serve", "--listen=127.0.0.1:0", "--config", &path, "--data"];
    arguments.push(data.to_str().unwrap());
    let server = Courier::start(&arguments, &REQUEST_SECRETS);
    let api = address(&server).await;
    // The signed time, 5 seconds after 1970, is far away from now on any machine's clock.
    let signature = signed(|sign| standard_signature(sign, "REQUESTS_NEW", "canary-id", 5, "{}"));
    let wrong = basic("canary-user:canary-password");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (headers, line) in [
        (&[("x-api-key", "canary-key")][..], "credential=\"key\""),
        (
            &[("authorization", "Bearer canary.a.b")],
            "credential=\"bearer\"",
        ),
        (&[("authorization", &wrong)], "credential=\"basic\""),
        (&[("authorization", "Canary x")], "credential=\"unusable\""),
        (
            &[("authorization", "Canary x"), ("x-api-key", "canary")],
            "credential=\"several\"",
        ),
        (&[("x-sn-hmac", "v=canary")], "credential=\"signature\""),
        (&[], "credential=\"signature\""),
        (
            &[
                ("webhook-id", "canary-id"),
                ("webhook-timestamp", "5"),
                ("webhook-signature", &signature),
            ],
            "credential=\"signature\" client=\"standard\" rule=\"the signed timestamp is more than 5 minutes away\"",
        ),
    ] {
        let bare = http.post(format!("{api}/v1/operations")).body("{}");
        let request = headers
            .iter()
            .fold(bare, |request, (name, value)| request.header(*name, *value));
        assert_eq!(request.send().await.unwrap().status(), 401, "{headers:?}");
        server.says(line).await;
    }
    server.signal("TERM").await;
    let ended = server.ended().await;
    let output = format!("{}{}", ended.stdout, ended.stderr).to_lowercase();
    for secret in ["canary", &signature.to_lowercase(), &wrong.to_lowercase()] {
        assert!(!output.contains(secret), "{output}");
    }
}
