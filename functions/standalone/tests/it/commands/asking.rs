//! The commands at a real server: from the request to the end, and what it refuses.

use courier_testkit::tenants;
use courier_testkit::world::TICKETS_KEY;
use serde_json::Value;

use crate::process::deployment::{QUICK, Site};
use crate::process::program::{Ended, now, run};

const SCHEDULE: &str = r#"schedule:={"enabled":true,"timeZone":"Europe/Berlin"}"#;
const TEAM: &str = "teamId=871dbd5c-3a6a-4392-bfe1-042452793a50";

async fn ask(api: &str, arguments: &[&str]) -> Ended {
    ask_as(api, TICKETS_KEY, arguments).await
}

async fn ask_as(api: &str, key: &str, arguments: &[&str]) -> Ended {
    let variables = [("COURIER_URL", api), ("COURIER_API_KEY", key)];
    run(arguments, &variables).await
}

/// It ended with this code and said all of these words, and never the key.
fn check(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(
        !said.contains(TICKETS_KEY) && !said.contains("panicked"),
        "{ended:?}"
    );
    for word in words {
        assert!(said.contains(word), "{word:?} not in {ended:?}");
    }
}

fn id_of(ended: &Ended) -> String {
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    document["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_operation_is_asked_for_watched_listed_and_erased_at_a_real_server() {
    let site = Site::new(QUICK).await;
    let (_server, api) = site.serve(&[]).await;
    let callback = format!("--callback={}/hooks", site.receiver.origin());
    let submit = [
        "submit",
        "team.schedule",
        "--param",
        TEAM,
        "--param",
        SCHEDULE,
        "--reference",
        "T-1",
        &callback,
        "--json",
    ];
    let submitted = ask(&api, &submit).await;
    check(&submitted, 0, &[]);
    let id = id_of(&submitted);
    let shown = ask(&api, &["show", &id]).await;
    check(&shown, 5, &[&id, "running", "T-1"]);
    // An hour is left, by a clock that tells whole seconds.
    let left = ["in 59 min", "in 1 h"];
    assert!(
        left.iter().any(|left| shown.stdout.contains(left)),
        "{shown:?}"
    );
    check(
        &ask(&api, &["watch", &id]).await,
        0,
        &["running", "succeeded"],
    );
    let again = ask(&api, &submit).await;
    check(&again, 0, &["asked for before"]);
    assert_eq!(id_of(&again), id);
    site.closed(&api, &id).await;

    check(
        &ask(&api, &["list", "--status", "succeeded"]).await,
        0,
        &["REFERENCE", &id, "delivered"],
    );
    check(
        &ask(&api, &["list", "--reference", "other"]).await,
        0,
        &["no operation is found"],
    );
    let listed = ask(&api, &["list", "--json"]).await;
    assert_eq!(id_of(&listed), id);
    let csv = ask(&api, &["list", "--csv", "--created-after", "1h"]).await;
    assert!(
        csv.stdout.starts_with("id,") && csv.stdout.contains(&id),
        "{csv:?}"
    );
    let open = [
        "list", "--status", "open", "--sort", "deadline", "--limit", "1",
    ];
    check(&ask(&api, &open).await, 0, &["no operation is found"]);
    let note = ["acknowledge", &id, "--note", "seen"];
    check(&ask(&api, &note).await, 1, &["409 conflict"]);
    let hook = format!("{}/hooks", site.receiver.origin());
    let by_server = ["trigger", "failed", &hook, "--by-server"];
    check(&ask(&api, &by_server).await, 0, &["taken: answered 2"]);
    check(
        &ask(&api, &["history", &id]).await,
        0,
        &["startClaimed", "callbackAttempt", "HTTP 2"],
    );

    check(
        &ask(&api, &["cancel", &id]).await,
        1,
        &["already ended", "409 conflict"],
    );
    check(
        &ask(&api, &["redeliver", &id]).await,
        2,
        &[&id, "give --yes"],
    );
    check(
        &ask(&api, &["redeliver", &id, "--yes"]).await,
        0,
        &["is delivered again"],
    );
    site.receiver.arrived(3).await;
    site.closed(&api, &id).await;
    check(&ask(&api, &["erase", &id]).await, 2, &["T-1", "give --yes"]);
    check(&ask(&api, &["erase", &id, "--yes"]).await, 0, &["erased"]);
}

#[tokio::test]
async fn what_a_server_refuses_is_told_with_the_field_and_what_to_do_next() {
    let site = Site::new(QUICK).await;
    let (_server, api) = site.serve(&[]).await;
    let wrong = [
        "submit",
        "team.schedule",
        "--param",
        "teamId=canary",
        "--callback",
        "ftp://x",
    ];
    let refused = ask(&api, &wrong).await;
    let rules = [
        "/parameters/teamId must be a GUID",
        "/parameters/schedule is required",
        "request id",
    ];
    check(&refused, 1, &rules);
    assert!(!refused.stderr.contains("canary"), "{refused:?}");
    check(
        &ask(&api, &["list", "--status", "nope"]).await,
        1,
        &["the parameter status is not a status"],
    );
    let unknown = "op_00000000000000000000000000000000";
    check(
        &ask(&api, &["show", unknown]).await,
        1,
        &["404 not-found", "next: look at the id"],
    );
    check(
        &ask_as(&api, "wrong", &["list"]).await,
        1,
        &["401", "COURIER_API_KEY"],
    );
    check(
        &ask(&api, &["list", "--url", &site.graph_url]).await,
        1,
        &["does not answer like graph-courier"],
    );
    let https = api.replace("http:", "https:");
    check(&ask(&https, &["list"]).await, 1, &["does not speak TLS"]);
}

#[tokio::test]
async fn wrong_use_is_told_before_anything_is_asked() {
    for (url, key, arguments, word) in [
        ("", "k", &["list"][..], "set COURIER_URL"),
        ("http://127.0.0.1:9", "", &["list"], "set COURIER_API_KEY"),
        ("http://127.0.0.1:9", "a b", &["list"], "cannot be a key"),
        ("https://x.example/v1", "k", &["list"], "before /v1"),
        (
            "http://127.0.0.1:9",
            "k",
            &["show", "RITM1"],
            "no id of an operation",
        ),
        (
            "http://127.0.0.1:9",
            "k",
            &["list", "--created-after", "soon"],
            "--created-after must be",
        ),
        (
            "http://127.0.0.1:9",
            "k",
            &["submit", "x", "--param", "canary"],
            "name=value",
        ),
        (
            "http://127.0.0.1:9",
            "k",
            &["submit", "x", "--parameters", "/nonexistent"],
            "/nonexistent",
        ),
        (
            "http://127.0.0.1:9",
            "k",
            &["list", "--api-key-file", "/nonexistent"],
            "/nonexistent",
        ),
        ("http://127.0.0.1:9", "k", &["watch"], "ID"),
        (
            "http://127.0.0.1:9",
            "k",
            &["trigger", "won", "http://127.0.0.1:9"],
            "succeeded",
        ),
        (
            "http://127.0.0.1:9",
            "k",
            &["listen", "--fail", "x"],
            "503x3",
        ),
    ] {
        let ended = ask_as(url, key, arguments).await;
        assert_eq!(ended.code, Some(2), "{arguments:?} {ended:?}");
        assert!(ended.stderr.contains(word), "{word:?} not in {ended:?}");
    }
    // The server is what is missing here.
    let refused = ask_as("http://127.0.0.1:9", "k", &["submit", "x"]).await;
    check(&refused, 1, &["no connection to http://127.0.0.1:9"]);
    assert!(
        !refused.stderr.contains("may have been taken"),
        "{refused:?}"
    );
}

/// The simulated Graph names a foreign host as the place of an export, and its goals exports last longer than their deadline.
#[tokio::test]
async fn an_unknown_outcome_is_acknowledged_and_an_expired_operation_is_resumed() {
    let script = format!(
        "{}[[faults]]\non = \"export.start\"\naction.location = {{ value = \"https://elsewhere.example/monitor\" }}\n",
        QUICK.replace("goals_seconds = 1.5", "goals_seconds = 1000.0")
    );
    let site = Site::new(&script).await;
    let (_server, api) = site.serve(&[]).await;
    let export = tenants::request(&site.receiver, "export").1;
    let id = site.post(&api, "export", &export).await.unwrap().id();
    assert_eq!(site.closed(&api, &id).await["reason"], "location_untrusted");
    let resume = ["resume", &id];
    check(
        &ask(&api, &resume).await,
        1,
        &["409 conflict", "only an operation that ended as expired"],
    );
    let listed = ask(&api, &["list", "--status", "unknown"]).await;
    assert!(!listed.stdout.contains("acknowledged"), "{listed:?}");
    for note in ["the container is empty", "asked for again as DSAR-2"] {
        let acknowledged = ask(&api, &["acknowledge", &id, "--note", note]).await;
        let by = format!("by client tickets: {note}");
        check(&acknowledged, 0, &["unknown (location_untrusted)", &by]);
    }
    let listed = ask(&api, &["list", "--status", "unknown"]).await;
    check(&listed, 0, &[&id, "(location_untrusted), acknowledged"]);
    let history = ask(&api, &["history", &id]).await;
    check(
        &history,
        0,
        &["the container is empty", "asked for again as DSAR-2"],
    );

    let mut goals = tenants::request(&site.receiver, "goals").1;
    let deadline = now() + jiff::SignedDuration::from_secs(3);
    goals["deadline"] = deadline.to_string().into();
    let expired = site.post(&api, "goals", &goals).await.unwrap().id();
    assert_eq!(site.closed(&api, &expired).await["status"], "expired");
    let resumed = ask(&api, &["resume", &expired]).await;
    let from = format!("resumed from        {expired}");
    check(&resumed, 0, &["running", &from]);
    let again = ask(&api, &["resume", &expired, "--json"]).await;
    let told = format!("{expired} has been resumed before");
    check(&again, 0, &[&told]);
    let new = id_of(&again);
    assert_ne!(new, expired);
    check(
        &resumed,
        0,
        &[&format!("courier watch {new} waits for its end")],
    );
    let jobs = site.jobs().await;
    let job = jobs.iter().find(|job| job.operation == "goals.exportJob");
    let end = serde_json::json!({ "job": job.unwrap().id, "word": "succeeded" });
    let finish = site.http.post(format!("{}/__finish", site.graph_url));
    let finish = finish.header("content-type", "application/json");
    let finished = finish.body(end.to_string()).send().await.unwrap();
    assert!(finished.status().is_success(), "{finished:?}");
    check(&ask(&api, &["watch", &new]).await, 0, &["succeeded"]);
}
