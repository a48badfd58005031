//! `courier evidence` and `courier verify`: from a new key to a verdict, at a real server and without it.

use serde_json::{Value, json};

use courier_testkit::world::TICKETS_KEY;

use crate::process::deployment::{QUICK, Site, file};
use crate::process::program::{Ended, SEAL_KEY, run};

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

/// The seeds of test 1 and test 2 of RFC 8032, section 7.1: the key in use, and the one before it.
const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const OLD_SEED: &str = "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=";
/// The same bytes as they would look in a JWK, and the middle of the PEM of the first.
const PRIVATE: [&str; 5] = [
    SEED,
    OLD_SEED,
    "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "IJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g",
    SEAL_KEY,
];

/// Runs `courier key public`, which never says a private key.
async fn key_public(arguments: &[&str], code: i32, words: &[&str]) -> String {
    let all = [&["key", "public"], arguments].concat();
    let secrets = [("COURIER_EVIDENCE_KEY", SEED), ("OLD_KEY", OLD_SEED)];
    let ended = run(&all, &secrets).await;
    check(&ended, code, words);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    for private in PRIVATE.iter().chain(&["PRIVATE KEY-----", "canary"]) {
        assert!(!said.contains(private), "{private} in {ended:?}");
    }
    ended.stdout
}

#[tokio::test]
async fn public_keys_that_are_printed_without_a_server_verify_its_evidence() {
    let site = Site::new(QUICK).await;
    let folder = site.directory.path();
    let config = site.path("courier.toml").to_str().unwrap().to_owned();
    let without = ["--config", &config];
    key_public(&without, 2, &["has no [evidence]"]).await;
    let table = "[evidence]\nkeys = [\"env:COURIER_EVIDENCE_KEY\", \"env:OLD_KEY\"]\n";
    let text = std::fs::read_to_string(&config).unwrap() + table;
    std::fs::write(&config, text).unwrap();
    let secrets = [("COURIER_EVIDENCE_KEY", SEED), ("OLD_KEY", OLD_SEED)];
    let (_server, api) = site.serve(&secrets).await;
    let schedule = json!({
        "operation": "team.schedule",
        "parameters": { "teamId": "871dbd5c-3a6a-4392-bfe1-042452793a50", "schedule": { "enabled": true, "timeZone": "Europe/Berlin" } },
    });
    let id = site.post(&api, "k-1", &schedule).await.unwrap().id();
    let at = site.path("evidence.json").to_str().unwrap().to_owned();
    let variables = [
        ("COURIER_URL", api.as_str()),
        ("COURIER_API_KEY", TICKETS_KEY),
    ];
    let fetched = run(&["evidence", &id, "--output", &at], &variables).await;
    check(&fetched, 0, &[]);

    let set = key_public(&["--config", &config], 0, &["\"kty\":\"OKP\""]).await;
    let listed = site.get(&api, "/v1/evidence/keys").await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&set).unwrap(), listed.body);
    assert_eq!(listed.body["keys"].as_array().unwrap().len(), 2);
    let pems = key_public(&["--config", &config, "--pem"], 0, &[]).await;
    let own = listed.body["keys"][0]["pem"].as_str().unwrap();
    let old = listed.body["keys"][1]["pem"].as_str().unwrap();
    assert_eq!(pems, format!("{own}{old}"));
    for (name, text) in [("keys.json", &set), ("key.pem", &own.to_owned())] {
        let key = file(folder, name, text);
        let verified = run(&["verify", &at, "--key", &key], &[]).await;
        check(&verified, 0, &["The evidence holds."]);
    }
    let other = file(folder, "old.pem", old);
    let verified = run(&["verify", &at, "--key", &other], &[]).await;
    check(&verified, 1, &["none of its signatures"]);
}

#[tokio::test]
async fn public_key_of_a_file_is_printed_and_a_wrong_file_is_refused_without_its_text() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    // The seed of `SEED`, as `openssl genpkey` writes it.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    let seed = file(folder, "seed", &format!("{SEED}\n"));
    let private = file(folder, "private.pem", pem);
    let of_seed = key_public(&["--key-file", &seed, "--pem"], 0, &[]).await;
    assert!(of_seed.contains("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="));
    let public = file(folder, "public.pem", &of_seed);
    for same in [&private, &public] {
        let printed = key_public(&["--key-file", same, "--pem"], 0, &[]).await;
        assert_eq!(printed, of_seed);
    }
    let old = file(folder, "old", OLD_SEED);
    let both = key_public(&["--key-file", &seed, "--key-file", &old], 0, &[]).await;
    let both: Value = serde_json::from_str(&both).unwrap();
    assert_eq!(both["keys"].as_array().unwrap().len(), 2);

    let wrong = file(folder, "wrong", "canary");
    let torn = file(
        folder,
        "torn",
        &pem.replace("-----END PRIVATE KEY-----", ""),
    );
    for wrong in [&*wrong, &torn, "-"] {
        let rule = "must be an Ed25519 private key";
        key_public(&["--key-file", wrong], 2, &[rule]).await;
    }
    key_public(&["--key-file", "/nowhere"], 2, &["cannot be read"]).await;
    let both = ["--key-file", &seed, "--config", &private];
    key_public(&both, 2, &["cannot be used with"]).await;
}
