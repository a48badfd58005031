//! `courier doctor`: what is missing is named, and no secret with it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use courier_testkit::signing;
use courier_testkit::world::{GRAPH_SECRET, REFRESH_TOKEN, SIGNING_SECRETS};
use serde_json::{Value, json};

use crate::commands::stand_in::{StandIn, answer, json_answer};
use crate::process::deployment::{QUICK, Site, config, file};
use crate::process::program::{Ended, run};

fn check(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    for secret in [GRAPH_SECRET, REFRESH_TOKEN, SIGNING_SECRETS[0]] {
        assert!(!said.contains(secret), "{ended:?}");
    }
    for word in words {
        assert!(said.contains(word), "{word:?} not in {said}");
    }
}

#[tokio::test]
async fn a_deployment_that_works_passes_and_its_receiver_takes_a_signed_example() {
    let site = Site::new(QUICK).await;
    let (_server, _) = site.serve(&[]).await;
    let (config, data) = (site.path("courier.toml"), site.path("data"));
    let ping = format!("--ping={}/hooks", site.receiver.origin());
    let arguments = [
        "doctor",
        "--config",
        config.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        &ping,
    ];
    let ended = run(&arguments, &[]).await;
    let words = [
        "ok       Microsoft Graph: http://127.0.0.1",
        "warning  application token of contoso: there is one, but it cannot be read",
        "a server is using it",
        "0 open operation(s)",
        "of tickets: reached at 127.0.0.1",
        "the example of tickets was taken",
        "Nothing failed",
    ];
    check(&ended, 0, &words);
    // The first request only looks whether somebody answers.
    let callbacks = site.receiver.arrived(2).await;
    assert_eq!(callbacks[0].method, "HEAD");
    let ping = &callbacks[1];
    let second = ping.header("webhook-timestamp").unwrap().parse().unwrap();
    let body = std::str::from_utf8(&ping.body).unwrap();
    let expected = signing::standard(
        SIGNING_SECRETS[0],
        ping.header("webhook-id").unwrap(),
        second,
        body,
    );
    assert!(
        ping.header("webhook-signature")
            .unwrap()
            .contains(&expected)
    );
    let json = run(&[&arguments[..5], &["--json"]].concat(), &[]).await;
    for line in json.stdout.lines() {
        let finding: Value = serde_json::from_str(line).unwrap();
        assert!(
            finding["check"].is_string() && finding["level"].is_string(),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_missing_permission_a_wrong_secret_and_a_private_receiver_are_named() {
    let claims = json!({ "roles": ["User.Export.All"] }).to_string();
    let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
    let server = StandIn::start(move |asked, _| {
        let is_token = asked.call.contains("/oauth2/v2.0/token");
        match (is_token, asked.call.contains("refused")) {
            (true, false) => json_answer(
                200,
                &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }),
            ),
            (true, true) => json_answer(
                401,
                &json!({ "error": "invalid_client", "error_codes": [7_000_222] }),
            ),
            (false, _) => answer(401, &[("date", "Sat, 21 Nov 2020 20:00:10 GMT")], "{}"),
        }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let text = config(&server.url, "http://127.0.0.1:9");
    let path = file(directory.path(), "courier.toml", &text);
    let ended = run(
        &["doctor", "--config", &path, "--data", "/nonexistent"],
        &[],
    )
    .await;
    let words = [
        "failed   application token of contoso: it lacks Schedule.ReadWrite.All (for team.schedule)",
        "let an administrator consent",
        "failed   clock against Microsoft Graph",
        "failed   receiver http://127.0.0.1:9 of tickets: no connection: the host refused it",
        "/nonexistent is no directory",
    ];
    check(&ended, 1, &words);

    let text = text
        .replace("contoso.example", "refused.example")
        .replace("127.0.0.0/8", "10.0.0.0/8")
        .replace("http://127.0.0.1:9\"]", "http://localhost:9\"]");
    let path = file(directory.path(), "refused.toml", &text);
    let ended = run(&["doctor", "--config", &path], &[]).await;
    let words = [
        "refused with 401 invalid_client AADSTS7000222",
        "the client secret has expired",
        "is private or special",
    ];
    check(&ended, 1, &words);
    let wrong = text.replace("client_id", "client_di");
    let path = file(directory.path(), "wrong.toml", &wrong);
    check(
        &run(&["doctor", "--config", &path], &[]).await,
        2,
        &["did you mean"],
    );
}
