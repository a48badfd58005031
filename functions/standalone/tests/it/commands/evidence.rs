//! `courier evidence` and `courier verify`: from a new key to a verdict, at a real server and without it.

use serde_json::{Value, json};

use courier_testkit::world::TICKETS_KEY;

use crate::process::deployment::{QUICK, Site, file};
use crate::process::program::{Ended, run};

fn check(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for word in words {
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(word), "{word:?} not in {ended:?}");
    }
}

#[tokio::test]
async fn evidence_is_fetched_and_verified_offline_and_a_forged_one_is_found() {
    let made = run(&["key", "new", "--evidence-key"], &[]).await;
    check(
        &made,
        0,
        &["keys = [\"env:COURIER_EVIDENCE_KEY\"]", "Its id is"],
    );
    let seed = made.stdout.lines().next().unwrap();
    let pem = made.stdout.find("-----BEGIN").unwrap();
    let site = Site::new(QUICK).await;
    let folder = site.directory.path();
    let pem = file(folder, "evidence.pem", &made.stdout[pem..]);
    let config = site.path("courier.toml");
    let table = "[evidence]\nkeys = [\"env:COURIER_EVIDENCE_KEY\"]\n";
    let text = std::fs::read_to_string(&config).unwrap() + table;
    std::fs::write(&config, text).unwrap();
    let secret = [("COURIER_EVIDENCE_KEY", seed)];
    let checked = run(&["check", "--config", config.to_str().unwrap()], &secret).await;
    check(&checked, 0, &["Evidence: signed with the key "]);
    let (_server, api) = site.serve(&secret).await;
    let schedule = json!({
        "operation": "team.schedule",
        "parameters": { "teamId": "871dbd5c-3a6a-4392-bfe1-042452793a50", "schedule": { "enabled": true, "timeZone": "Europe/Berlin" } },
        "callback": { "url": site.receiver.url("/hooks") },
    });
    let id = site.post(&api, "k-1", &schedule).await.unwrap().id();
    site.closed(&api, &id).await;
    let variables = [
        ("COURIER_URL", api.as_str()),
        ("COURIER_API_KEY", TICKETS_KEY),
    ];
    let at = site.path("evidence.json").to_str().unwrap().to_owned();
    check(
        &run(&["evidence", &id, "--output", &at], &variables).await,
        0,
        &[],
    );
    let printed = run(&["evidence", &id], &variables).await;
    check(&printed, 0, &["\"payload\":"]);

    let completion = site.receiver.journal().pop().unwrap();
    let body = String::from_utf8(completion.body.to_vec()).unwrap();
    let completion = file(folder, "completion.json", &body);
    let verify = ["verify", &at, "--key", &pem, "--completion", &completion];
    let words = [
        "The evidence holds.",
        "team.schedule",
        "(ended)",
        "complete or correct",
    ];
    check(&run(&verify, &[]).await, 0, &words);
    check(&run(&["verify", &at], &[]).await, 2, &["no key was given"]);
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let unknown = run(&["verify", &at, "--key", other, "--json"], &[]).await;
    check(&unknown, 1, &["\"verified\":false"]);
    let text = std::fs::read_to_string(&at).unwrap();
    let mut forged: Value = serde_json::from_str(&text).unwrap();
    let payload = forged["payload"].as_str().unwrap().replacen('a', "b", 1);
    forged["payload"] = payload.into();
    let forged = file(folder, "forged.json", &forged.to_string());
    let told = run(&["verify", &forged, "--key", &pem], &[]).await;
    check(&told, 1, &["does not hold", "none of its signatures"]);
    let head = ["verify", &at, "--key", &pem, "--head", "sha256:0"];
    check(&run(&head, &[]).await, 2, &["--head must be"]);
    check(
        &run(&["verify", "/nowhere"], &[]).await,
        2,
        &["cannot be read"],
    );
}
