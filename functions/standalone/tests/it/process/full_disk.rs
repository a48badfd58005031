//! A server whose disk is full for a while.

use courier_testkit::tenants;
use tokio::process::Command;

use crate::process::deployment::{QUICK, Site, address};
use crate::process::program::Courier;

/// A limit on the size of files stands for the full disk, because it can be lifted while the process runs.
#[tokio::test]
async fn a_full_disk_is_answered_503_and_then_work_resumes() {
    let site = Site::new(QUICK).await;
    let arguments = site.arguments("127.0.0.1:0");
    // Without the trap the signal XFSZ would end the process at a write beyond the limit; with it the write fails.
    let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let mut command = Command::new("prlimit");
    command.args(["--fsize=400000:unlimited", "sh", "-c", script]);
    command.arg(env!("CARGO_BIN_EXE_courier")).args(&arguments);
    let server = Courier::spawn(&mut command, &[]);
    let api = address(&server).await;

    let mut bodies = Vec::new();
    let mut refused = 0;
    for number in 0..300 {
        let key = format!("full-{number}");
        let body = tenants::schedule(
            &site.receiver,
            &format!("871dbd5c-3a6a-4392-bfe1-{number:012}"),
        );
        let answer = site.post(&api, &key, &body).await.unwrap();
        let acknowledged = (answer.status == 202).then(|| answer.id());
        if acknowledged.is_none() {
            assert_eq!((answer.status, answer.problem()), (503, "unavailable"));
            refused += 1;
        }
        bodies.push((key, body, acknowledged));
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "the disk was never full");

    let mut prlimit = Command::new("prlimit");
    let lift = prlimit.args([
        "--fsize=unlimited:unlimited",
        "--pid",
        &server.id().to_string(),
    ]);
    assert!(lift.status().await.unwrap().success());
    for (key, body, acknowledged) in &bodies {
        let answer = site.post(&api, key, body).await.unwrap();
        assert!([200, 202].contains(&answer.status), "{answer:?}");
        let replayed = answer.header("idempotency-replayed").is_some();
        if let Some(id) = acknowledged {
            assert!(replayed && answer.id() == *id, "{answer:?}");
        }
    }
    let fresh = site
        .post(
            &api,
            "fresh",
            &tenants::schedule(&site.receiver, "871dbd5c-3a6a-4392-bfe1-042452793a50"),
        )
        .await
        .unwrap();
    assert_eq!(site.closed(&api, &fresh.id()).await["status"], "succeeded");
    server.signal("TERM").await;
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
}
