//! The files of the real program: only the user that runs it may read them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use courier_testkit::tenants;

use crate::process::deployment::{QUICK, Site, address};
use crate::process::program::Courier;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

#[tokio::test]
async fn new_data_belongs_to_its_owner_alone() {
    let site = Site::new(QUICK).await;
    let (server, api) = site.serve(&[]).await;
    assert_eq!(site.get(&api, "/healthz").await.unwrap().status, 200);
    let data = site.path("data");
    assert_eq!(mode(&data), 0o700);
    for name in ["courier.db", "courier.db-wal", "courier.db-shm"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    assert!(!server.said().contains("chmod"), "{}", server.said());
    server.kill().await;
}

#[tokio::test]
async fn existing_data_that_others_can_reach_is_warned_of_and_left_as_it_is() {
    let site = Site::new(QUICK).await;
    let data = site.path("data");
    let (server, _) = site.serve(&[]).await;
    server.kill().await;
    let file = data.join("courier.db");
    for (path, mode) in [(&data, 0o755), (&file, 0o644)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let (server, _) = site.serve(&[]).await;
    for path in [&data, &file] {
        let told = server.said();
        let line = told.lines().find(|line| {
            let path = path.to_str().unwrap();
            line.contains("WARN") && line.contains(&format!("path={path} "))
        });
        assert!(line.is_some(), "{} in {told}", path.display());
    }
    assert_eq!((mode(&data), mode(&file)), (0o755, 0o644));
    server.kill().await;
}

/// Nothing more is accepted or sent to Graph, because it would be forgotten with the process.
#[tokio::test]
async fn data_that_is_moved_away_or_replaced_while_it_is_used_makes_the_service_unavailable_until_it_is_back()
 {
    let site = Site::new(QUICK).await;
    let (server, api) = site.serve(&[]).await;
    let file = site.path("data").join("courier.db");
    let schedule = tenants::schedule(&site.receiver, "871dbd5c-3a6a-4392-bfe1-042452793a50");
    let first = site.post(&api, "first", &schedule).await.unwrap();
    assert_eq!(site.closed(&api, &first.id()).await["status"], "succeeded");
    let calls = site.calls().len();
    for name in ["courier.db", "courier.db-wal"] {
        let (path, away) = (file.with_file_name(name), file.with_file_name("away"));
        std::fs::rename(&path, &away).unwrap();
        for replaced in [false, true] {
            if replaced {
                std::fs::copy(&away, &path).unwrap();
            }
            for answer in [
                site.post(&api, "second", &schedule).await,
                site.post(&api, "first", &schedule).await,
                site.get(&api, &format!("/v1/operations/{}", first.id()))
                    .await,
                site.get(&api, "/readyz").await,
            ] {
                let answer = answer.unwrap();
                assert_eq!((answer.status, answer.problem()), (503, "unavailable"));
            }
        }
        // Whoever ends a process for being unhealthy would destroy the only copy of a deleted file.
        assert_eq!(site.get(&api, "/healthz").await.unwrap().status, 200);
        let told = format!("{} was deleted, moved or replaced", path.display());
        server.says(&told).await;
        std::fs::rename(&away, &path).unwrap();
        assert_eq!(site.get(&api, "/readyz").await.unwrap().status, 200);
    }
    assert_eq!(site.calls().len(), calls, "nothing was sent to Graph");
    let known = site.post(&api, "first", &schedule).await.unwrap();
    assert_eq!((known.status, known.id()), (200, first.id()));
    server.kill().await;
}

/// The messages of open operations are in the memory of the process that serves the data, so no other may.
#[tokio::test]
async fn a_second_process_waits_until_the_first_one_has_ended_and_goes_on_with_its_operations() {
    let site = Site::new("[durations]\nschedule_seconds = 2.0\n").await;
    let (first, api) = site.serve(&[]).await;
    let schedule = tenants::schedule(&site.receiver, "871dbd5c-3a6a-4392-bfe1-042452793a50");
    let answer = site.post(&api, "first", &schedule).await.unwrap();
    assert_eq!(answer.body["status"], "running");
    let arguments = site.arguments("127.0.0.1:0");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let second = Courier::start(&arguments, &[]);
    second
        .says("another process serves this data directory")
        .await;
    assert!(!second.said().contains(" serving"), "{}", second.said());
    first.kill().await;
    let api = address(&second).await;
    let closed = site.closed(&api, &answer.id()).await;
    assert_eq!(closed["status"], "succeeded");
    second.kill().await;
}
