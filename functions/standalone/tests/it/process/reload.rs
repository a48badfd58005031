//! The configuration is changed while the program serves: a good one is used, a wrong one changes nothing.

use std::path::Path;
use std::time::Duration;

use courier_testkit::receiver::Answer as Reply;
use courier_testkit::world::{SIGNING_SECRETS, TICKETS_KEY};
use courier_testkit::{signing, tenants};
use tokio::time::{interval, timeout};

use crate::process::deployment::{QUICK, Site};
use crate::process::program::{Courier, PATIENCE};

const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";
const TICKETS_HASH: &str = "bb915d5eed4b2523441dd1eaf37e5ad2448958558344f7d659b33c83dea2ead3";
/// The key after its rotation, and its hash.
const NEW_KEY: &str = "rotated-key";
const NEW_HASH: &str = "5be3b05a2339aecdb0c543afefc6a563085f5861e6c109dce236363b3319566e";
const SEAL_KEY_NEW: (&str, &str) = (
    "SEAL_KEY_NEW",
    "b3RoZXItc2VhbGluZy1rZXktb2YtMzItYnl0ZXMuLi4=",
);

/// Replaces a file in one step, as whoever renews a mounted secret does.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// Waits until the server has logged `text` this number of times.
async fn logged(server: &Courier, text: &str, times: usize) {
    let mut ticks = interval(Duration::from_millis(20));
    let logged = timeout(PATIENCE, async {
        while server.said().matches(text).count() < times {
            ticks.tick().await;
        }
    });
    let logged = logged.await;
    assert!(
        logged.is_ok(),
        "{text:?} {times} times in {}",
        server.said()
    );
}

async fn status(site: &Site, api: &str, key: &str) -> u16 {
    let list = site.http.get(format!("{api}/v1/operations"));
    let answer = list.header("x-api-key", key).send().await.unwrap();
    answer.status().as_u16()
}

const READ: &str = "the configuration was read again and is used";
const REFUSED: &str = "configuration reload failed; keeping the previous one";

#[tokio::test]
async fn a_changed_configuration_is_used_without_a_restart_and_a_wrong_one_is_refused_by_line() {
    let site = Site::new(QUICK).await;
    let (path, secret) = (site.path("courier.toml"), site.path("signing.secret"));
    std::fs::write(&secret, SIGNING_SECRETS[0]).unwrap();
    let text = std::fs::read_to_string(&path).unwrap().replace(
        "\"env:SIGNING_NEW\", \"env:SIGNING_OLD\"",
        &format!("\"file:{}\"", secret.display()),
    );
    std::fs::write(&path, &text).unwrap();
    let (server, api) = site.serve(&[SEAL_KEY_NEW, ("COURIER_LOG", "info")]).await;
    assert_eq!(status(&site, &api, NEW_KEY).await, 401);

    // A change of the file is seen; the key that it takes away ends at once.
    let rotated = text.replace(TICKETS_HASH, NEW_HASH);
    replace(&path, &rotated);
    logged(&server, READ, 1).await;
    assert_eq!(status(&site, &api, NEW_KEY).await, 200);
    assert_eq!(status(&site, &api, TICKETS_KEY).await, 401);

    let line = text.lines().count() + 1;
    for (wrong, named) in [
        (
            format!("{rotated}colour = 1\n"),
            format!("courier.toml:{line}:1: limits.colour"),
        ),
        (
            rotated.replace("[graph]", "[graph"),
            "courier.toml:2:".to_owned(),
        ),
        (
            rotated.replace("env:SEAL_KEY\"", "env:SEAL_KEY_NEW\""),
            "seal key".to_owned(),
        ),
    ] {
        let before = server.said().matches(REFUSED).count();
        std::fs::write(&path, wrong).unwrap();
        server.signal("HUP").await;
        logged(&server, REFUSED, before + 1).await;
        let said = server.said();
        let told = said.lines().rfind(|line| line.contains(REFUSED)).unwrap();
        assert!(told.contains(&named), "{named:?} in {told}");
        assert_eq!(status(&site, &api, NEW_KEY).await, 200);
    }

    // A secret in a file is read again too; what it is now signs.
    replace(&path, &text);
    server.signal("HUP").await;
    logged(&server, READ, 2).await;
    replace(&secret, "no secret");
    server.signal("HUP").await;
    logged(&server, "signing_secrets[0]", 1).await;
    replace(&secret, SIGNING_SECRETS[1]);
    server.signal("HUP").await;
    logged(&server, READ, 3).await;
    let body = tenants::schedule(&site.receiver, TEAM);
    let id = site.post(&api, "signed", &body).await.unwrap().id();
    assert_eq!(site.closed(&api, &id).await["status"], "succeeded");
    let callback = &site.receiver.journal()[0];
    let [id, second, signature] = ["id", "timestamp", "signature"]
        .map(|name| callback.header(&format!("webhook-{name}")).unwrap());
    let body = std::str::from_utf8(&callback.body).unwrap();
    let expected = signing::standard(SIGNING_SECRETS[1], id, second.parse().unwrap(), body);
    assert_eq!(signature, expected);
    server.kill().await;
}

/// A receiver that has asked for an hour is not called because somebody has changed a key.
#[tokio::test]
async fn pauses_that_others_have_asked_for_outlive_a_change_of_the_configuration() {
    let site = Site::new(QUICK).await;
    site.receiver
        .answer_otherwise(Reply::retry_after(503, "3600"));
    let (server, api) = site.serve(&[("COURIER_LOG", "info")]).await;
    let body = tenants::schedule(&site.receiver, TEAM);
    site.post(&api, "first", &body).await.unwrap();
    logged(&server, "the receiver is down or asks for a pause", 1).await;
    server.signal("HUP").await;
    logged(&server, READ, 1).await;
    let other = tenants::schedule(&site.receiver, "871dbd5c-3a6a-4392-bfe1-042452793a51");
    site.post(&api, "second", &other).await.unwrap();
    logged(&server, "status=\"succeeded\"", 2).await;
    server.signal("TERM").await;
    assert_eq!(server.ended().await.code, Some(0));
    assert_eq!(site.receiver.journal().len(), 1);
}
