//! The program with peers that accept a call and never answer: nobody waits longer than one call, and it ends when asked.

use std::sync::Arc;

use courier_testkit::tenants;
use courier_testkit::world::TICKETS_KEY;
use tokio::task::JoinSet;

use crate::process::deployment::{QUICK, Site};

/// A script in which this call is never answered.
fn hanging(call: &str) -> String {
    format!(
        "{QUICK}\n[[faults]]\non = \"{call}\"\ntimes = 0\naction.hang = {{ processed = false }}\n"
    )
}

#[tokio::test]
async fn a_login_host_that_hangs_is_asked_once_for_all_starts_and_keeps_no_server_from_ending() {
    let site = Arc::new(Site::new(&hanging("token")).await);
    let (server, api) = site.serve(&[]).await;
    let mut starts = JoinSet::new();
    for number in 0..8 {
        let (_, mut body) = tenants::request(&site.receiver, "schedule");
        let team = format!("871dbd5c-3a6a-4392-bfe1-{number:012}");
        body["parameters"]["teamId"] = team.into();
        let (site, api) = (Arc::clone(&site), api.clone());
        starts.spawn(async move { site.post(&api, &number.to_string(), &body).await.unwrap() });
    }
    for answer in starts.join_all().await {
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &"accepted".into())
        );
    }
    let calls = site.calls();
    assert_eq!(calls.iter().filter(|call| call.call == "token").count(), 1);
    server.signal("TERM").await;
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        !ended.stderr.contains("the shutdown time is over"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_second_signal_ends_a_server_that_waits_for_graph_at_once() {
    let site = Site::new(&hanging("schedule.start")).await;
    let (server, api) = site.serve(&[]).await;
    let (_, body) = tenants::request(&site.receiver, "schedule");
    let start = async { site.post(&api, "a", &body).await };
    let signals = async {
        site.asked("schedule.start").await;
        server.signal("TERM").await;
        server.says("a second signal ends it at once").await;
        server.signal("TERM").await;
        server
            .says("what was in flight goes on with the next start")
            .await;
    };
    let (answer, ()) = tokio::join!(start, signals);
    assert!(answer.is_none(), "{answer:?}");
    assert_eq!(server.ended().await.code, Some(1));
    let (server, api) = site.serve(&[]).await;
    let known = site.post(&api, "a", &body).await.unwrap();
    assert_eq!(known.header("idempotency-replayed"), Some("true"));
    drop(server);
}

#[tokio::test]
async fn a_request_that_waits_for_the_end_is_answered_when_the_server_is_asked_to_end() {
    let script = QUICK.replace("schedule_seconds = 1.0", "schedule_seconds = 1000.0");
    let site = Site::new(&script).await;
    let (server, api) = site.serve(&[]).await;
    let (_, body) = tenants::request(&site.receiver, "schedule");
    let request = site
        .http
        .post(format!("{api}/v1/operations"))
        .header("content-type", "application/json")
        .header("x-api-key", TICKETS_KEY)
        .header("idempotency-key", "a")
        .header("prefer", "wait=25")
        .body(body.to_string());
    let signal = async {
        site.asked("schedule.poll").await;
        server.signal("TERM").await;
    };
    let (answer, ()) = tokio::join!(request.send(), signal);
    assert_eq!(answer.unwrap().status(), 202);
    assert_eq!(server.ended().await.code, Some(0));
}
