//! A wrong seal key, a rotation, and what a configuration would leave behind in the data.

use courier_testkit::tenants;
use courier_testkit::world::TICKETS_KEY;

use crate::process::deployment::{QUICK, Site, file};
use crate::process::program::{Ended, run};

const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";
const OTHER_KEY: (&str, &str) = ("SEAL_KEY", "b3RoZXItc2VhbGluZy1rZXktb2YtMzItYnl0ZXMuLi4=");

/// A site with one closed operation, and one that runs for hours.
async fn used() -> Site {
    let slow = QUICK.replace("goals_seconds = 1.5", "goals_seconds = 90000.0");
    let site = Site::new(&slow).await;
    let (server, api) = site.serve(&[]).await;
    let body = tenants::schedule(&site.receiver, TEAM);
    let closed = site.post(&api, "closed", &body).await.unwrap().id();
    site.closed(&api, &closed).await;
    let (_, body) = tenants::request(&site.receiver, "goals");
    assert_eq!(site.post(&api, "open", &body).await.unwrap().status, 202);
    server.signal("TERM").await;
    assert_eq!(server.ended().await.code, Some(0));
    site
}

fn configured(site: &Site, name: &str, change: impl FnOnce(String) -> String) -> String {
    let text = std::fs::read_to_string(site.path("courier.toml")).unwrap();
    file(site.directory.path(), name, &change(text))
}

async fn check(site: &Site, config: &str, variables: &[(&str, &str)]) -> Ended {
    let data = site.path("data");
    let arguments = [
        "check",
        "--config",
        config,
        "--data",
        data.to_str().unwrap(),
    ];
    run(&arguments, variables).await
}

#[tokio::test]
async fn a_wrong_seal_key_is_named_at_the_start_and_nothing_is_served() {
    let site = used().await;
    let owned = site.arguments("127.0.0.1:0");
    let arguments: Vec<&str> = owned.iter().map(String::as_str).collect();
    let ended = run(&arguments, &[OTHER_KEY]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let words = "seal.key: the data here was sealed with another key, which has the id ";
    assert!(ended.stderr.contains(words), "{ended:?}");
    assert!(!ended.stderr.contains("serving"), "{ended:?}");
    let (server, _) = site.serve(&[]).await;
    server.kill().await;
}

#[tokio::test]
async fn a_rotation_needs_both_keys_until_nothing_is_sealed_with_the_old_one() {
    let site = used().await;
    let old = site.path("courier.toml").to_str().unwrap().to_owned();
    let rotated = |keys: &str| {
        let keys = format!("keys = [{keys}]");
        move |text: String| text.replace("key = \"env:SEAL_KEY\"", &keys)
    };
    let new = [("SEAL_KEY_NEW", OTHER_KEY.1)];
    let alone = configured(&site, "new.toml", rotated("\"env:SEAL_KEY_NEW\""));
    let both = rotated("\"env:SEAL_KEY_NEW\", \"env:SEAL_KEY\"");
    let both = configured(&site, "both.toml", both);

    let found = check(&site, &alone, &new).await;
    assert_eq!(found.code, Some(2), "{found:?}");
    for line in [
        "1 open operation(s)",
        "orphaned: 1 open operations whose callback no configured seal key opens",
        "orphaned: 1 document deployment, which no configured seal key opens",
        "warning: 1 closed operations whose completion no configured seal key could deliver again",
    ] {
        assert!(found.stdout.contains(line), "{line} {found:?}");
    }
    assert_eq!(check(&site, &both, &new).await.code, Some(0));

    std::fs::copy(&both, &old).unwrap();
    let (server, api) = site.serve(&new).await;
    let body = tenants::schedule(&site.receiver, TEAM);
    let replayed = site.post(&api, "closed", &body).await.unwrap();
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    server.signal("TERM").await;
    assert_eq!(server.ended().await.code, Some(0));
    let found = check(&site, &alone, &new).await;
    assert!(!found.stdout.contains("document deployment"), "{found:?}");
    assert!(
        found
            .stdout
            .contains("orphaned: 1 open operations whose callback"),
        "{found:?}"
    );
}

#[tokio::test]
async fn check_counts_what_a_configuration_would_leave_behind_and_changes_nothing() {
    let site = used().await;
    let whole = site.path("courier.toml").to_str().unwrap().to_owned();
    let found = check(&site, &whole, &[]).await;
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(found.stdout.contains(": 1 open operation(s)"), "{found:?}");
    let renamed = configured(&site, "renamed.toml", |text| {
        text.replace("clients.tickets", "clients.helpdesk")
            .replace("contoso]", "fabrikam]")
            .replace("\"contoso\"", "\"fabrikam\"")
    });
    let before = std::fs::read(site.path("data/courier.db")).unwrap();
    let found = check(&site, &renamed, &[]).await;
    assert_eq!(found.code, Some(2), "{found:?}");
    for line in [
        "orphaned: 1 open operations of clients.tickets, which is not configured",
        "orphaned: 1 open operations in graph.tenants.contoso, which is not configured",
    ] {
        assert!(found.stdout.contains(line), "{line} {found:?}");
    }
    let files = std::fs::read_dir(site.path("data")).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["courier.db", "serving.lock"],
        "no log is left beside the data file"
    );
    assert_eq!(std::fs::read(site.path("data/courier.db")).unwrap(), before);

    // While the service runs, what it has just written is seen too.
    let (server, api) = site.serve(&[]).await;
    let (_, body) = tenants::request(&site.receiver, "export");
    assert_eq!(site.post(&api, "more", &body).await.unwrap().status, 202);
    let found = check(&site, &whole, &[]).await;
    assert!(found.stdout.contains(": 2 open operation(s)"), "{found:?}");
    server.kill().await;

    let nowhere = ["check", "--config", &whole, "--data", "/nonexistent"];
    let ended = run(&nowhere, &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("/nonexistent/courier.db"),
        "{ended:?}"
    );
    assert!(!ended.stderr.contains(TICKETS_KEY));
}
