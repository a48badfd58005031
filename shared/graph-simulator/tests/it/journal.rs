//! The journal: complete, in order, and readable by another process.

use std::io::{BufRead, BufReader};

use graph_simulator::{Action, Entry, Fault, Job};
use serde_json::{Value, json};

use crate::world::*;

#[tokio::test]
async fn entry_has_caller_request_and_answer() {
    let world = World::new().await;
    let token = world.application().await;
    let url = format!("{}{}?x=1", world.simulator.base_url(), export_path());
    let request = world
        .client
        .post(url)
        .header("authorization", format!("Bearer {token}"));
    let request = request
        .header("client-request-id", "mine")
        .header("prefer", "respond-async");
    request.body(storage("c")).send().await.unwrap();
    let journal = world.simulator.journal();
    assert_eq!(
        journal.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        [1, 2]
    );
    let (granted, started) = (&journal[0], &journal[1]);
    assert_eq!(
        (granted.call.as_str(), granted.issued.as_deref()),
        ("token", Some("app:tok_1"))
    );
    assert_eq!(started.call, "export.start");
    assert_eq!(started.method, "POST");
    assert_eq!(started.path, format!("{}?x=1", export_path()));
    assert_eq!(started.authorization, granted.issued);
    assert_eq!(started.client_request_id.as_deref(), Some("mine"));
    assert_eq!(started.headers["prefer"], "respond-async");
    assert_eq!(started.body.as_ref().unwrap().to_string(), storage("c"));
    assert_eq!(started.status, Some(202));
    assert_eq!(started.retry_after.as_deref(), Some("60"));
    let wait = started.not_before.unwrap().duration_since(started.at);
    assert_eq!(wait.as_secs(), 60);
    let job = &world.simulator.jobs()[0];
    assert_eq!(started.job.as_ref(), Some(&job.id));
    assert_eq!(job.client_request_id.as_deref(), Some("mine"));
}

#[tokio::test]
async fn token_that_was_never_issued_is_called_unknown() {
    let world = World::new().await;
    world.get("/v1.0/dataPolicyOperations", "forged").await;
    world.get("/v1.0/dataPolicyOperations", "").await;
    let journal = world.simulator.journal();
    assert_eq!(journal[0].authorization.as_deref(), Some("unknown"));
    assert_eq!(journal[1].authorization, None);
}

#[tokio::test]
async fn file_has_the_entry_before_the_client_has_the_answer() {
    let folder = std::env::temp_dir().join(format!("graph-simulator-{}", uuid::Uuid::new_v4()));
    let world = World::with(|options| options.journal_file = Some(folder.clone())).await;
    for count in 1..=3 {
        world.application().await;
        let lines = BufReader::new(std::fs::File::open(&folder).unwrap()).lines();
        let entries: Vec<Entry> = lines
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        assert_eq!(entries, world.simulator.journal());
        assert_eq!(entries.len(), count);
    }
    std::fs::remove_file(folder).unwrap();
}

#[tokio::test]
async fn another_process_reads_journal_and_jobs_and_scripts_faults() {
    let world = World::new().await;
    let token = world.application().await;
    let monitor = world.start_export(&token, "c").await.location();
    let all = world.get("/__journal", "").await.json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let since: Vec<Entry> =
        serde_json::from_str(&world.get("/__journal?since=1", "").await.text).unwrap();
    assert_eq!(since, world.simulator.journal()[1..]);
    let jobs: Vec<Job> = serde_json::from_str(&world.get("/__jobs", "").await.text).unwrap();
    assert_eq!(jobs, world.simulator.jobs());
    let fault = json!({ "on": "export.poll", "action": { "word": { "value": "odd" } } });
    assert_eq!(
        world.post("/__script", "", &fault.to_string()).await.status,
        204
    );
    assert_eq!(
        world
            .get("/__script", "")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(world.get(&monitor, &token).await.string("/status"), "odd");
    let finish = json!({ "job": jobs[0].id, "word": "failed" }).to_string();
    assert_eq!(world.post("/__finish", "", &finish).await.status, 204);
    assert_eq!(
        world.get(&monitor, &token).await.string("/status"),
        "failed"
    );
    for (path, body) in [
        (
            "/__script",
            json!({ "on": "export.poll", "acton": "lost_after" }),
        ),
        (
            "/__script",
            json!({ "on": "export.pole", "action": "lost_after" }),
        ),
        ("/__finish", json!({ "job": "nobody", "word": "failed" })),
    ] {
        let reply = world.post(path, "", &body.to_string()).await;
        assert_eq!(reply.status, 400, "{body}");
    }
    let toml = "[[faults]]\non = \"export.poll\"\naction = \"lost_after\"\n";
    let reply = world.post("/__script", "", toml).await;
    let error = reply.string("/error");
    assert_eq!(reply.status, 400, "{error}");
    assert!(error.starts_with("the body must be JSON"), "{error}");
    assert_eq!(
        world.simulator.journal().len(),
        4,
        "these calls leave no entry"
    );
}

#[tokio::test]
async fn bounded_journal_keeps_the_newest_entries_and_their_numbers() {
    let world = World::with(|options| options.journal_keep = Some(10)).await;
    for _ in 0..1030 {
        world.get("/v1.0/x", "").await;
    }
    let journal = world.simulator.journal();
    assert!((10..1024).contains(&journal.len()), "{}", journal.len());
    assert_eq!(journal.last().unwrap().seq, 1030);
    let newest = world.simulator.journal_since(1028);
    assert_eq!(
        newest.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        [1029, 1030]
    );
}

#[tokio::test]
async fn one_can_wait_for_a_call() {
    let world = World::new().await;
    let waiting = world
        .simulator
        .until(|entries| entries.iter().any(|entry| entry.call == "token"));
    let (token, ()) = tokio::join!(world.application(), waiting);
    assert!(!token.is_empty());
}

#[tokio::test]
async fn stopped_simulator_leaves_no_open_port() {
    let world = World::new().await;
    world.application().await;
    let kept = world.simulator.clone();
    world.simulator.stop().await;
    assert!(
        tokio::net::TcpStream::connect(kept.address())
            .await
            .is_err()
    );
    assert_eq!(kept.journal().len(), 1);
}

#[tokio::test]
async fn lost_answers_are_distinguished_by_their_jobs() {
    let world = World::new().await;
    let token = world.application().await;
    for action in [Action::LostBefore, Action::LostAfter] {
        world.simulator.script(Fault::new("export.start", action));
        let (path, body) = (export_path(), storage("c"));
        let sent = world.send(reqwest::Method::POST, &path, &token, Some(&body));
        sent.await.unwrap_err();
    }
    let jobs = world.simulator.jobs();
    assert_eq!(jobs.len(), 1);
    let starts = world.simulator.calls("export.start");
    let listed: Vec<Value> = starts
        .iter()
        .map(|entry| json!([entry.fault, entry.status, entry.retry_after, entry.job]))
        .collect();
    assert_eq!(
        listed,
        [
            json!(["lost_before", null, null, null]),
            json!(["lost_after", null, null, jobs[0].id]),
        ]
    );
}
