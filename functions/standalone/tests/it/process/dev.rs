//! `courier dev` as a newcomer starts it: what its first lines say, and a clock that runs ahead.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::process::program::{Courier, now, run};

#[tokio::test]
async fn dev_shows_where_everything_is_and_days_pass_in_seconds() {
    let dev = Courier::start(&["dev", "--listen", "127.0.0.1:0", "--speed", "7d/s"], &[]);
    dev.says("signature verified").await;
    dev.says("operation.unknown").await;
    dev.signal("INT").await;
    let ended = dev.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in [
        "console   http://",
        "API       http://",
        "Graph     http://",
        "curl -H 'X-Api-Key: dev'",
        "7 days a second",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {}", ended.stdout);
    }
    assert!(
        !ended.stdout.contains("SIGNATURE WRONG"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn a_speed_that_is_none_is_refused_with_the_form() {
    let ended = run(&["dev", "--speed", "fast"], &[]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("a speed is a number of s, m, h or d for each second"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn watch_reckons_by_the_clock_that_runs_ahead() {
    let dev = Courier::start(&["dev", "--listen", "127.0.0.1:0", "--speed", "1d/s"], &[]);
    let line = dev.says("console   http://").await;
    let origin = line.split("http://").nth(1).unwrap();
    let origin = format!("http://{}", origin.split('/').next().unwrap());
    let variables = [("COURIER_URL", &*origin), ("COURIER_API_KEY", "dev")];
    dev.says("signature verified").await;
    let newest = ["list", "--status", "open", "--limit", "1", "--json"];
    let listed = run(&newest, &variables).await;
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let id = listed["id"].as_str().unwrap();
    let watched = run(&["watch", id], &variables).await;
    let last = watched.stdout.lines().last().unwrap_or_default();
    let told: Timestamp = last.split(' ').next().unwrap().parse().unwrap();
    let shown = run(&["show", id, "--json"], &variables).await;
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let ended: Timestamp = shown["endedAt"].as_str().unwrap().parse().unwrap();
    let second = SignedDuration::from_secs(1);
    assert!(ended > now() + SignedDuration::from_hours(1), "{shown}");
    // The header has whole seconds.
    assert!(told + second > ended, "{watched:?} {shown}");
}
