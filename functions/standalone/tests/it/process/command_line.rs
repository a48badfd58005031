//! The program itself: exit codes, words, signals, files it cannot use, secrets it does not tell.

use std::time::{Duration, Instant};

use courier_testkit::tenants;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::process::deployment::{QUICK, Site, config, file};
use crate::process::program::{Courier, Ended, run};

const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

/// It failed with this code, without a panic, and said all of these words.
fn check_failure(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert!(!ended.stderr.contains(" serving"), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} not in {ended:?}");
    }
}

#[tokio::test]
async fn check_says_what_each_client_may_do() {
    let directory = tempfile::tempdir().unwrap();
    let text = config("http://127.0.0.1:9", "http://127.0.0.1:8");
    let path = file(directory.path(), "courier.toml", &text);
    let by_argument = run(&["check", "--config", &path], &[]).await;
    assert_eq!(by_argument.code, Some(0), "{by_argument:?}");
    for line in [
        "The configuration holds.",
        "client tickets (tenant contoso)",
        "may ask for user.exportPersonalData",
        "Graph permission: User.Export.All (application)",
        "may ask for goals.exportJob",
        "may ask for team.schedule",
        "may have callbacks at http://127.0.0.1:8\n    as standard-webhooks (unless a request names another): POST with no credentials, signed with 2 secret(s)",
    ] {
        assert!(
            by_argument.stdout.contains(line),
            "{line:?} {by_argument:?}"
        );
    }
    let by_variable = [("COURIER_CONFIG", format!("file:{path}"))];
    let by_variable = by_variable
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let by_variable = run(&["check"], &by_variable).await;
    assert_eq!(by_variable.stdout, by_argument.stdout, "{by_variable:?}");
}

#[tokio::test]
async fn a_wrong_configuration_names_every_key_and_nothing_is_started() {
    let directory = tempfile::tempdir().unwrap();
    let text = config("http://127.0.0.1:9", "http://127.0.0.1:8")
        .replace(
            "tenant_id = \"contoso.example\"",
            "tenant_id = \"not a guid\"\ncolour = \"red\"",
        )
        .replace("env:SIGNING_OLD", "env:NOWHERE")
        .replace("\"sha256:bb915d5e", "\"sha256:xx")
        .replace("127.0.0.0/8", "127.0.0.0/99")
        .replace("= 1000000", "= 0");
    let path = file(directory.path(), "courier.toml", &text);
    let data = directory.path().join("data");
    let keys = [
        "courier.toml:6:13: graph.tenants.contoso.tenant_id: must be the tenant's GUID",
        "graph.tenants.contoso.colour",
        "clients.tickets.api_keys[0]",
        "clients.tickets.signing_secrets[1]",
        "NOWHERE",
        "callbacks.allow_networks[0]",
        "limits.requests_per_minute",
    ];
    check_failure(&run(&["check", "--config", &path], &[]).await, 2, &keys);
    let serve = ["serve", "--config", &path, "--data", data.to_str().unwrap()];
    check_failure(&run(&serve, &[]).await, 2, &keys);
    assert!(
        !data.exists(),
        "the data directory was made before the check"
    );
}

#[tokio::test]
async fn check_warns_of_what_is_surely_unwanted() {
    let directory = tempfile::tempdir().unwrap();
    let text = config("http://127.0.0.1:9", "http://127.0.0.1:8");
    let path = file(directory.path(), "courier.toml", &text);
    let ended = run(&["check", "--config", &path], &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let warning = format!("warning: {path}:3:12: graph.base_url: not Microsoft Graph");
    assert!(ended.stdout.contains(&warning), "{ended:?}");
}

#[tokio::test]
async fn a_wrong_log_filter_or_format_is_told_instead_of_silence() {
    let filter = [("COURIER_LOG", "inof")];
    let words = ["COURIER_LOG: \"inof\" is not a level (off, error, warn, info, debug or trace)"];
    check_failure(&run(&["check"], &filter).await, 1, &words);
    let format = [("COURIER_LOG_FORMAT", "xml")];
    let words = ["COURIER_LOG_FORMAT must be text or json"];
    check_failure(&run(&["check"], &format).await, 1, &words);
}

#[tokio::test]
async fn the_start_is_logged_as_one_line_of_json_when_asked_for() {
    let site = Site::new(QUICK).await;
    let started = async |operations: u64, data_file: &str| {
        let format = [("COURIER_LOG_FORMAT", "json"), ("COURIER_LOG", "info")];
        let owned = site.arguments("127.0.0.1:0");
        let arguments: Vec<&str> = owned.iter().map(String::as_str).collect();
        let server = Courier::start(&arguments, &format);
        let line = server.says("\"message\":\"serving\"").await;
        let line: Value = serde_json::from_str(&line).unwrap();
        let api = format!("http://{}", line["address"].as_str().unwrap());
        for (field, expected) in [
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("data_file", json!(data_file)),
            ("open_operations", json!(operations)),
            ("cloud", json!("test-host")),
            ("graph", json!(site.graph_url)),
            ("clients", json!(1)),
        ] {
            assert_eq!(line[field], expected, "{field} of {line}");
        }
        (server, api)
    };
    let (server, api) = started(0, "new").await;
    let late = tenants::schedule(&site.receiver, TEAM);
    let answer = site.post(&api, "k", &late).await.unwrap();
    assert_eq!(answer.status, 202);
    server.kill().await;
    let (server, api) = started(1, "continued").await;
    site.closed(&api, &answer.id()).await;
    server.kill().await;
}

#[tokio::test]
async fn without_a_configuration_it_says_how_to_give_one() {
    let profiles = ["--config", "COURIER_CONFIG"];
    check_failure(
        &run(&["serve", "--listen=127.0.0.1:0"], &[]).await,
        1,
        &profiles,
    );
    check_failure(&run(&["check"], &[]).await, 1, &profiles);
    let nowhere = ["serve", "--config=/nonexistent/courier.toml"];
    check_failure(&run(&nowhere, &[]).await, 1, &["/nonexistent/courier.toml"]);
    let cloud = [("COURIER_CONFIG", "aws-ssm:courier")];
    check_failure(&run(&["check"], &cloud).await, 1, &["file:PATH"]);
}

#[tokio::test]
async fn data_that_cannot_be_used_is_told_and_not_touched() {
    let site = Site::new(QUICK).await;
    let serve = async || {
        let arguments = site.arguments("127.0.0.1:0");
        run(
            &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
            &[],
        )
        .await
    };
    let data = site.path("data");
    std::fs::write(&data, "a file, no directory").unwrap();
    check_failure(&serve().await, 1, &["cannot be made", "data"]);
    std::fs::remove_file(&data).unwrap();

    std::fs::create_dir(&data).unwrap();
    let database = data.join("courier.db");
    let letters = "Dear diary, ".repeat(1000);
    std::fs::write(&database, &letters).unwrap();
    check_failure(&serve().await, 1, &["is not a data file of this program"]);
    assert_eq!(std::fs::read_to_string(&database).unwrap(), letters);
    std::fs::remove_file(&database).unwrap();

    let (server, _) = site.serve(&[]).await;
    server.signal("TERM").await;
    assert_eq!(server.ended().await.code, Some(0));
    let mut bytes = std::fs::read(&database).unwrap();
    // SQLite's file format, 1.3: the user version is a big-endian number at offset 60.
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&database, &bytes).unwrap();
    check_failure(
        &serve().await,
        1,
        &["has version 99", "use a newer program"],
    );
    assert_eq!(std::fs::read(&database).unwrap(), bytes);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let site = Site::new(QUICK).await;
    let listen = site.graph_url.trim_start_matches("http://").to_owned();
    let arguments = site.arguments(&listen);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    check_failure(
        &run(&arguments, &[]).await,
        1,
        &["cannot listen at", &listen],
    );
}

#[tokio::test]
async fn a_request_becomes_a_callback_across_three_processes() {
    let site = Site::new(QUICK).await;
    let (server, api) = site.serve(&[]).await;
    let answer = site
        .post(&api, "k", &tenants::schedule(&site.receiver, TEAM))
        .await
        .unwrap();
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &"running".into())
    );
    let closed = site.closed(&api, &answer.id()).await;
    assert_eq!(closed["status"], "succeeded");
    let callbacks = site.receiver.arrived(1).await;
    courier_testkit::invariants::check(&site.calls(), &site.jobs().await, &callbacks);
    server.signal("TERM").await;
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("operation changed"), "{ended:?}");
}

#[tokio::test]
async fn told_to_stop_it_answers_the_request_it_is_working_on() {
    let late = "\n[[faults]]\non = \"schedule.start\"\naction = { delay = { ms = 700 } }\n";
    for signal in ["INT", "TERM"] {
        let site = Site::new(&format!("{QUICK}{late}")).await;
        let (server, api) = site.serve(&[]).await;
        let body = tenants::schedule(&site.receiver, TEAM);
        let stop = async {
            site.asked("schedule.start").await;
            server.signal(signal).await;
        };
        let (answer, ()) = tokio::join!(site.post(&api, "k", &body), stop);
        let answer = answer.unwrap_or_else(|| panic!("{signal}: the request got no answer"));
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &"running".into())
        );
        let ended = server.ended().await;
        assert_eq!(ended.code, Some(0), "{signal}: {ended:?}");
        assert!(
            ended.stderr.contains("finishing what is in flight"),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn told_to_stop_it_finishes_the_callback_it_is_sending() {
    let site = Site::new(QUICK).await;
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", receiver.local_addr().unwrap());
    file(
        site.directory.path(),
        "courier.toml",
        &config(&site.graph_url, &origin),
    );
    let (server, api) = site.serve(&[]).await;
    let mut body = tenants::schedule(&site.receiver, TEAM);
    body["callback"]["url"] = format!("{origin}/hooks").into();
    let answer = site.post(&api, "k", &body).await.unwrap();

    let (mut peer, _) = receiver.accept().await.unwrap();
    assert!(peer.read(&mut [0; 65_536]).await.unwrap() > 0);
    server.signal("TERM").await;
    peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let (_server, api) = site.serve(&[]).await;
    let operation = site.closed(&api, &answer.id()).await;
    assert_eq!(operation["callback"]["status"], "delivered", "{operation}");
    assert_eq!(operation["callback"]["attempts"], 1, "{operation}");
}

#[tokio::test]
async fn told_to_stop_it_does_not_wait_for_idle_connections() {
    let site = Site::new(QUICK).await;
    let (server, api) = site.serve(&[]).await;
    let peer = api.trim_start_matches("http://");
    let _silent = TcpStream::connect(peer).await.unwrap();
    let mut idle = TcpStream::connect(peer).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);
    let began = Instant::now();
    server.signal("TERM").await;
    assert_eq!(server.ended().await.code, Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}
