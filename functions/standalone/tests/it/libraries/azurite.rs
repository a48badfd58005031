//! Azurite, Microsoft's emulator of Azure Storage, judges our requests and the SAS that we sign.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cloud_testkit::python::{node, node_modules};
use courier_testkit::tenants::{self, STORAGE_KEY_OLD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{python, tests};
use crate::process::deployment::{QUICK, Site};
use crate::process::program::{PATIENCE, run};

const ACCOUNT: &str = "contosodsar";

struct Azurite {
    _process: Child,
    /// The root of the account's blob service.
    endpoint: String,
}

impl Azurite {
    /// Starts Azurite with the one account, whose key this is.
    async fn start(key: &str) -> Self {
        let installed = tokio::task::spawn_blocking(|| {
            let python = python();
            let modules = node_modules(&python, &tests().join("azurite"));
            (node(&python), modules)
        });
        let (node, place) = installed.await.unwrap();
        let program = place.join("node_modules/azurite/dist/src/blob/main.js");
        let mut process = Command::new(node)
            .arg(program)
            .args(["--blobPort", "0", "--inMemoryPersistence", "--silent"])
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{key}"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.unwrap().unwrap();
                if let Some((_, url)) = line.split_once("successfully listens on ") {
                    return url.trim().to_owned();
                }
            }
        });
        let url = listening.await.expect("Azurite does not start");
        Self {
            _process: process,
            endpoint: format!("{url}/{ACCOUNT}"),
        }
    }
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// Sends a request with the SAS, to a blob of the container or to the container itself.
async fn send(sas: &str, method: Method, blob: &str, query: &str, kind: &str) -> StatusCode {
    let (container, signature) = sas.split_once('?').unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(method, format!("{container}{blob}?{query}{signature}"));
    let request = request.header("x-ms-version", "2024-11-04");
    let request = match kind {
        "" => request,
        kind => request.header("x-ms-blob-type", kind),
    };
    let body = match (kind, query) {
        ("BlockBlob", _) | (_, "comp=appendblock&") => "data",
        _ => "",
    };
    // The client states no length of an empty body, and Azure wants one.
    let request = match body {
        "" => request.header("content-length", "0"),
        body => request.body(body),
    };
    request.send().await.unwrap().status()
}

/// What an export does may be done with the SAS, and nothing else.
async fn assert_writes_and_adds_only(sas: &str) {
    let put = |blob, query, kind| send(sas, Method::PUT, blob, query, kind);
    assert_eq!(put("/RequestInfo.json", "", "BlockBlob").await, 201);
    assert_eq!(put("/export.zip", "", "AppendBlob").await, 201);
    assert_eq!(put("/export.zip", "comp=appendblock&", "").await, 201);
    let get = |blob, query| send(sas, Method::GET, blob, query, "");
    assert_eq!(get("/RequestInfo.json", "").await, 403);
    assert_eq!(get("", "restype=container&comp=list&").await, 403);
    assert_eq!(send(sas, Method::DELETE, "/export.zip", "", "").await, 403);
}

#[tokio::test]
async fn azurite_makes_the_container_and_takes_the_sas_once_the_key_is_the_right_one() {
    let key = STANDARD.encode([0x5A; 64]);
    let azurite = Azurite::start(&key).await;
    let site = Site::new(QUICK).await;
    let (config, key_file) = (site.path("courier.toml"), site.path("storage.key"));
    std::fs::write(&key_file, STORAGE_KEY_OLD).unwrap();
    let table = format!(
        "[graph.tenants.contoso.storage.dsar-eu]\naccount = \"{ACCOUNT}\"\nkey = \"file:{}\"\nendpoint = \"{}\"\n",
        key_file.display(),
        azurite.endpoint
    );
    let text = std::fs::read_to_string(&config).unwrap() + &table;
    std::fs::write(&config, text).unwrap();
    let (server, api) = site.serve(&[("COURIER_LOG", "trace")]).await;
    let (_, mut body) = tenants::request(&site.receiver, "export");
    let user = body["parameters"]["userId"].clone();
    body["parameters"] = json!({ "userId": user, "storage": "dsar-eu" });

    let answer = site.post(&api, "ticket-1", &body).await.unwrap();
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body["status"], "accepted", "{answer:?}");
    assert_eq!(answer.body["reason"], "authorization_lost", "{answer:?}");
    replace(&key_file, &key);
    let again = site.post(&api, "ticket-1", &body).await.unwrap();
    assert_eq!(again.id(), answer.id());
    let closed = site.closed(&api, &answer.id()).await;
    assert_eq!(closed["status"], "succeeded", "{closed}");
    let name = answer.id().replace('_', "-");
    let container = format!("{}/{name}", azurite.endpoint);
    assert_eq!(closed["result"]["storageLocation"], container.as_str());

    let calls = site.calls();
    let starts: Vec<&Value> = calls
        .iter()
        .filter(|call| call.call == "export.start")
        .filter_map(|call| call.body.as_ref())
        .collect();
    let [start] = &*starts else {
        panic!("{starts:?}")
    };
    let sas = start["storageLocation"].as_str().unwrap();
    assert_writes_and_adds_only(sas).await;
    let ended = server.said();
    let signature = sas.rsplit("sig=").next().unwrap();
    for secret in [signature, key.as_str(), STORAGE_KEY_OLD] {
        assert!(!ended.contains(secret), "a secret is in the log");
    }
    by_hand(&config, &container).await;
}

/// The commands that use the same storage.
async fn by_hand(config: &Path, container: &str) {
    let config = format!("--config={}", config.display());
    let sas = [
        "sas",
        &config,
        "--tenant=contoso",
        "--storage=dsar-eu",
        "--create",
    ];
    let made = run(&sas, &[]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.stderr.contains("is a secret"), "{made:?}");
    assert_writes_and_adds_only(made.stdout.trim()).await;
    let name = container.rsplit('/').next().unwrap();
    let named = format!("--container={name}");
    let taken = run(&[&sas[..], &[&named]].concat(), &[]).await;
    assert_eq!(
        (taken.code, taken.stdout.as_str()),
        (Some(1), ""),
        "{taken:?}"
    );
    let signed = run(&[&sas[..4], &[&named, "--valid=1h"]].concat(), &[]).await;
    assert!(
        signed.stdout.starts_with(&format!("{container}?sv=")),
        "{signed:?}"
    );
    let checked = run(&["check", &config], &[]).await;
    let line = format!("Storage dsar-eu of contoso: account {ACCOUNT} at ");
    assert!(checked.stdout.contains(&line), "{checked:?}");
    let doctor = timeout(Duration::from_secs(20), run(&["doctor", &config], &[])).await;
    let told = format!("storage dsar-eu of contoso: {ACCOUNT} takes its key");
    let doctor = doctor.unwrap();
    assert!(doctor.stdout.contains(&told), "{doctor:?}");
}
