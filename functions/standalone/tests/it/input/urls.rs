//! The callback URL of a request.

use courier_testkit::world::{Answer, CALLBACK_TOKEN, SAS_SIGNATURE, World};
use serde_json::{Value, json};

pub(super) async fn world() -> World {
    World::with(|setup| {
        let config = setup.config.replace("\"127.0.0.0/8\"", "");
        setup.config = config.replace("{receiver}", "https://hooks.example");
    })
    .await
}

pub(super) fn rules(answer: &Answer, pointer: &str) -> Vec<String> {
    let text = answer.body.to_string();
    for secret in ["canary", SAS_SIGNATURE, CALLBACK_TOKEN, "contoso.blob"] {
        assert!(!text.contains(secret), "{text}");
    }
    let errors = answer.body["errors"].as_array().unwrap();
    let rule = |error: &Value| {
        assert_eq!(error["pointer"], pointer, "{text}");
        error["rule"].as_str().unwrap().to_owned()
    };
    errors.iter().map(rule).collect()
}

pub(super) async fn assert_untouched(world: &World) {
    let list = world.get("/v1/operations").await;
    assert_eq!(list.body, json!({ "operations": [], "next": null }));
    assert!(world.simulator.journal().is_empty());
    assert!(world.database.next_due().is_none());
}

#[tokio::test]
async fn a_callback_url_outside_the_registered_public_origins_is_refused() {
    let world = world().await;
    let private = "must not point to a private or local address";
    let dropped = "no space, control character or backslash";
    let absolute = "must be an absolute URL";
    let foreign = "registered origins";
    let mut cases: Vec<(String, u16, &str)> = Vec::new();
    let mut add = |status, rule, texts: &str| {
        let texts = texts.split_whitespace();
        cases.extend(texts.map(|text| (text.to_owned(), status, rule)));
    };
    add(
        400,
        "must be https",
        "http://hooks.example/canary ftp://hooks.example/ ws://hooks.example/ file:///etc/passwd data:,canary
         javascript:alert(1) http://127.0.0.1/ http://169.254.169.254/latest",
    );
    add(
        400,
        "user information",
        "https://canary@hooks.example/ https://canary:canary@hooks.example/ https://hooks.example@evil.example/",
    );
    add(
        400,
        "fragment",
        "https://hooks.example/#canary https://hooks.example/#",
    );
    add(
        400,
        absolute,
        "canary /canary //hooks.example/ https:// https:///a https://hooks.example:99999/",
    );
    // These are the registered host in other spellings.
    add(
        400,
        "host and port as they are sent",
        "https://hooks%2eexample/canary https://ｈooks.example/canary https://hooks。example/canary
         https://hooks.example:0443/canary https://hooks.example:/canary",
    );
    for host in "127.0.0.1 127.1 2130706433 0x7f000001 0177.0.0.1 %31%32%37.0.0.1 １２７.0.0.1 0.0.0.0 10.0.0.1
        172.16.0.1 192.168.1.1 100.64.0.1 169.254.169.254 0xA9FEA9FE 2852039166 [::1] [::] [::ffff:127.0.0.1]
        [::ffff:a9fe:a9fe] [64:ff9b::a9fe:a9fe] [fe80::1] [fd00:ec2::254] [2002:a9fe:a9fe::] localhost LOCALHOST
        localhost. a.localhost printer.local metadata.google.internal hooks.example."
        .split_whitespace()
    {
        cases.push((format!("https://{host}/canary"), 400, private));
    }
    for text in [
        " https://hooks.example/",
        "https://hooks.example/a b",
        "https://hooks.example\\@evil.example/",
    ] {
        cases.push((text.to_owned(), 400, dropped));
    }
    for text in [
        "https://hooks.example/\r\nx: canary",
        "https://hooks.example/\0",
    ] {
        cases.push((text.to_owned(), 400, dropped));
    }
    cases.push((String::new(), 400, absolute));
    let long = format!("https://hooks.example/{}", "x".repeat(2_048));
    cases.push((long, 400, "2048 bytes"));
    for text in
        "https://evil.example/canary https://hooks.example:444/ https://hooks.example.evil.example/
        https://evil.hooks.example/ https://93.184.215.14/ https://169.254.169.254.nip.io/"
            .split_whitespace()
    {
        cases.push((text.to_owned(), 403, foreign));
    }
    for (url, status, rule) in cases {
        let mut body = world.schedule();
        body["callback"]["url"] = url.clone().into();
        let answer = world.post(&body).await;
        let problem = if status == 403 {
            "callback-forbidden"
        } else {
            "invalid-request"
        };
        assert_eq!(
            (answer.status, answer.problem()),
            (status, problem),
            "{url}"
        );
        let rules = rules(&answer, "/callback/url");
        assert!(
            rules.iter().any(|found| found.contains(rule)),
            "{url}: {rules:?}"
        );
    }
    assert_untouched(&world).await;
}

#[tokio::test]
async fn a_callback_url_that_would_be_called_in_another_spelling_is_refused() {
    let world = World::new().await;
    let registered = world.receiver.url("/hooks/graph");
    let spelt = |host: &str| registered.replacen("127.0.0.1", host, 1);
    for host in [
        "2130706433",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127.0.0.1.",
    ] {
        let mut body = world.schedule();
        body["callback"]["url"] = spelt(host).into();
        let answer = world.post(&body).await;
        assert_eq!((answer.status, answer.problem()), (400, "invalid-request"));
        let [rule] = &*rules(&answer, "/callback/url") else {
            panic!("{host}: {answer:?}")
        };
        assert!(
            rule.starts_with("must name host and port as they are sent"),
            "{host}: {rule}"
        );
    }
    assert_untouched(&world).await;
    let mut body = world.schedule();
    body["callback"]["url"] = registered.replacen("http", "HTTP", 1).into();
    assert_eq!(world.post(&body).await.status, 202);
}
