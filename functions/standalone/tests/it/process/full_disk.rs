//! A disk that is full for a while.

use courier_testkit::tenants;
use tokio::process::Command;

use crate::process::deployment::{QUICK, Site, address};
use crate::process::program::Courier;

/// The size of a file is limited as a full disk would limit it; the limit of a running process can be lifted.
#[tokio::test]
async fn a_full_disk_is_503_and_after_it_everything_goes_on() {
    let site = Site::new(QUICK).await;
    let arguments = site.arguments("127.0.0.1:0");
    // Without the trap a write beyond the limit would end the process; with it the write fails.
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

    let mut lift = Command::new("prlimit");
    let lift = lift.args([
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
