//! The files of the real program: only the user that runs it may read them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use courier_testkit::tenants;
use courier_testkit::world::TICKETS_KEY;

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

/// Whoever looks after operations is told that they go on, and is not asked for the key again.
#[tokio::test]
async fn console_of_a_service_that_is_unavailable_says_so_on_each_page_and_works_again_afterwards()
{
    let site = Site::new(QUICK).await;
    let (server, api) = site.serve(&[]).await;
    let client = reqwest::Client::builder().no_proxy();
    let client = client.redirect(reqwest::redirect::Policy::none()).build();
    let client = client.unwrap();
    let log_in = client.post(format!("{api}/console/login"));
    let log_in = log_in
        .header("origin", &api)
        .body(format!("key={TICKETS_KEY}"));
    let logged_in = log_in.send().await.unwrap();
    assert_eq!(logged_in.status(), 303);
    let cookie = logged_in.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let schedule = tenants::schedule(&site.receiver, "871dbd5c-3a6a-4392-bfe1-042452793a50");
    let id = site.post(&api, "first", &schedule).await.unwrap().id();
    site.closed(&api, &id).await;
    let operation = format!("/console/operations/{id}");
    let shown = async |request: reqwest::RequestBuilder| {
        let answer = request.header("cookie", &cookie).send().await.unwrap();
        let (status, head) = (answer.status().as_u16(), answer.headers().clone());
        (status, head, answer.text().await.unwrap())
    };
    let pages = [
        "/console",
        "/console/operations.csv",
        &operation,
        "/console/redeliver?callback=undeliverable",
    ];
    let file = site.path("data").join("courier.db");
    std::fs::rename(&file, file.with_file_name("away")).unwrap();
    for page in pages {
        let (status, head, text) = shown(client.get(format!("{api}{page}"))).await;
        assert_eq!(
            (status, &head["retry-after"]),
            (503, &"5".parse().unwrap()),
            "{page}: {text}"
        );
        for words in [
            "<h1>Not available just now</h1>",
            "Operations go on by themselves as soon as it can",
            "Try again",
            "Log out",
        ] {
            assert!(text.contains(words), "{words:?} on {page}: {text}");
        }
        assert!(
            !text.contains("courier.db") && !text.contains("name=\"key\""),
            "{text}"
        );
    }
    let act = client.post(format!("{api}{operation}/redeliver"));
    let (status, _, text) = shown(act.header("origin", &api)).await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("Not available just now"), "{text}");
    std::fs::rename(file.with_file_name("away"), &file).unwrap();
    for page in pages {
        let (status, head, text) = shown(client.get(format!("{api}{page}"))).await;
        assert_eq!(
            (status, head.get("retry-after")),
            (200, None),
            "{page}: {text}"
        );
    }
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
