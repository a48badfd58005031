//! A copy is made under load, the machine is lost, and the copy is put in place: what it knows goes on, and nothing that
//! it cannot know is started a second time.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use courier_testkit::tenants;
use serde_json::Value;
use tokio::time::{interval, timeout};

use crate::process::deployment::{Site, address};
use crate::process::program::{Courier, Ended, PATIENCE, run};

/// Graph throttles the second start of an export for a second. Jobs take a second.
const SCRIPT: &str = r#"
client_secret = "canary-graph-client-secret"
[durations]
export_seconds = 1.0
schedule_seconds = 0.5
[behaviour.export]
retry_after_start = 2
retry_after_poll = 1
[behaviour.schedule]
retry_after_start = 1
retry_after_poll = 1
[[faults]]
on = "export.start"
skip = 1
times = 1
action = { status = { status = 429, retry_after = 1 } }
"#;

fn team(number: usize) -> String {
    format!("871dbd5c-3a6a-4392-bfe1-{number:012}")
}

fn export(site: &Site, number: usize) -> Value {
    let user = format!("6e7b768e-07e2-4810-8459-{number:012}");
    tenants::export(&site.receiver, &user, &format!("dsar-{number}"))
}

/// Runs `courier backup FILE` or `courier restore FILE` on the site's data.
async fn run_on(site: &Site, command: &str, file: &str, further: &[&str]) -> Ended {
    let (file, data) = (site.path(file), site.path("data"));
    let arguments = [
        command,
        file.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ];
    run(&[&arguments, further].concat(), &[]).await
}

/// Sends requests for schedules until `copied` is done; returns the ids of those answered before it began.
async fn load(site: &Site, api: &str, copied: impl Future<Output = Ended>) -> (Vec<String>, Ended) {
    let send = async |number: usize| {
        let body = tenants::schedule(&site.receiver, &team(number));
        let answer = site.post(api, &format!("load-{number}"), &body).await;
        answer.unwrap().id()
    };
    let mut before = Vec::new();
    for number in 0..20 {
        before.push(send(number).await);
    }
    let mut copied = std::pin::pin!(copied);
    for number in 20.. {
        tokio::select! {
            ended = &mut copied => return (before, ended),
            _ = send(number) => {}
        }
    }
    unreachable!("the numbers do not end");
}

async fn history(site: &Site, api: &str, id: &str) -> Vec<String> {
    let path = format!("/v1/operations/{id}/history");
    let answer = site.get(api, &path).await.unwrap().body;
    let lines = answer["history"].as_array().unwrap().iter();
    lines
        .map(|line| line["event"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until Graph runs this number of exports.
async fn exports_run(site: &Site, count: usize) {
    let mut ticks = interval(Duration::from_millis(50));
    let run = timeout(PATIENCE, async {
        while exports(site).await < count {
            ticks.tick().await;
        }
    });
    run.await.expect("Graph never ran so many exports");
}

async fn exports(site: &Site) -> usize {
    let jobs = site.jobs().await;
    let exports = jobs
        .iter()
        .filter(|job| job.operation == "user.exportPersonalData");
    exports.count()
}

#[tokio::test]
async fn a_copy_made_under_load_goes_on_with_what_it_knows_and_starts_no_export_a_second_time() {
    let site = Site::new(SCRIPT).await;
    let (server, api) = site.serve(&[("COURIER_LOG", "info")]).await;
    let runs = site.post(&api, "runs", &export(&site, 1)).await.unwrap();
    assert_eq!(runs.body["status"], "running");
    let waits = site.post(&api, "waits", &export(&site, 2)).await.unwrap();
    assert_eq!(waits.body["status"], "accepted", "{waits:?}");

    let (known, copied) = load(&site, &api, run_on(&site, "backup", "copy.db", &[])).await;
    assert_eq!(copied.code, Some(0), "{copied:?}");
    assert!(copied.stdout.contains("; checked"), "{copied:?}");
    assert_eq!(
        site.path("copy.db").metadata().unwrap().mode() & 0o777,
        0o600
    );
    let again = run_on(&site, "backup", "copy.db", &[]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("copy.db exists already"), "{again:?}");

    // After the copy: the export that waited is started, and another one is asked for.
    let forgotten = site.post(&api, "forgotten", &export(&site, 3)).await;
    assert_eq!(forgotten.unwrap().status, 202);
    exports_run(&site, 3).await;
    server.kill().await;

    let config = format!("--config={}", site.path("courier.toml").display());
    let refused = run_on(&site, "restore", "copy.db", &[&config]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("courier.db exists already"),
        "{refused:?}"
    );
    std::fs::rename(site.path("data"), site.path("lost")).unwrap();
    let restored = run_on(&site, "restore", "copy.db", &[&config]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let files = std::fs::read_dir(site.path("data")).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["courier.db", "serving.lock"]);

    let (server, api) = site.serve(&[("COURIER_LOG", "info")]).await;
    let unknown = site.closed(&api, &waits.id()).await;
    assert_eq!(unknown["status"], "unknown", "{unknown}");
    assert_eq!(unknown["reason"], "start_outcome_unknown");
    let told = history(&site, &api, &waits.id()).await;
    assert!(told.contains(&"restored".to_owned()), "{told:?}");
    let held = site
        .post(&api, "forgotten", &export(&site, 3))
        .await
        .unwrap();
    assert_eq!(
        (held.status, &held.body["status"]),
        (202, &"accepted".into())
    );
    assert_eq!(
        history(&site, &api, &held.id()).await,
        ["accepted", "startHeld"]
    );
    for id in known.iter().chain([&runs.id()]) {
        let closed = site.closed(&api, id).await;
        assert_eq!(closed["status"], "succeeded", "{closed}");
    }
    assert_eq!(
        exports(&site).await,
        3,
        "no export was started a second time"
    );
    server.kill().await;

    let journal = site.receiver.journal();
    let ids: Vec<&str> = journal
        .iter()
        .filter_map(|one| one.header("webhook-id"))
        .collect();
    for id in known.iter().chain([&runs.id()]) {
        let event = format!("msg_{}_succeeded", id.trim_start_matches("op_"));
        assert!(ids.contains(&event.as_str()), "{event} in {ids:?}");
    }
}

/// It would start what had been started already.
#[tokio::test]
async fn a_copy_that_is_put_in_place_by_hand_is_not_served_nor_restored_where_a_server_runs() {
    let site = Site::new(SCRIPT).await;
    let (server, api) = site.serve(&[("COURIER_LOG", "info")]).await;
    let body = tenants::schedule(&site.receiver, &team(1));
    site.post(&api, "first", &body).await.unwrap();
    let copied = run_on(&site, "backup", "copy.db", &[]).await;
    assert_eq!(copied.code, Some(0), "{copied:?}");
    let config = format!("--config={}", site.path("courier.toml").display());
    let refused = run_on(&site, "restore", "copy.db", &[&config]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("is served by another process"),
        "{refused:?}"
    );
    server.kill().await;

    std::fs::rename(site.path("data"), site.path("lost")).unwrap();
    std::fs::create_dir(site.path("data")).unwrap();
    std::fs::copy(site.path("copy.db"), site.path("data/courier.db")).unwrap();
    let arguments = site.arguments("127.0.0.1:0");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = run(&arguments, &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("courier restore FILE"), "{ended:?}");

    // A damaged copy and another seal key are noticed before anything is in place.
    std::fs::remove_dir_all(site.path("data")).unwrap();
    let other_key = [("SEAL_KEY", "b3RoZXItc2VhbGluZy1rZXktb2YtMzItYnl0ZXMuLi4=")];
    let (copy, data) = (site.path("copy.db"), site.path("data"));
    let restore = [
        "restore",
        copy.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        &config,
    ];
    let wrong = run(&restore, &other_key).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let mut bytes = std::fs::read(&copy).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0);
    std::fs::write(&copy, bytes).unwrap();
    let damaged = run(&restore, &[]).await;
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    assert!(damaged.stderr.contains("is damaged"), "{damaged:?}");
    assert!(!site.path("data/courier.db").exists());
    // The copy is as whole as before in the place that was lost.
    std::fs::rename(site.path("lost"), site.path("data")).ok();
    let server = Courier::start(&arguments, &[]);
    address(&server).await;
    server.kill().await;
}
