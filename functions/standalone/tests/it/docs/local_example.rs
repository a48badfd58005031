//! `examples/local` works as its README says: its commands, configuration, receiver and requests. Only ports differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{interval, timeout};

use crate::process::deployment::{address, file, is_closed};
use crate::process::program::{Courier, PATIENCE};

const GRAPH: &str = "127.0.0.1:8089";
const RECEIVER: &str = "127.0.0.1:9099";
const API: &str = "127.0.0.1:8080";
const ANY_PORT: &str = "127.0.0.1:0";
const CONFIG: &str = "examples/local/courier.toml";
const DATA: &str = "target/local-example";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The commands of the `sh` blocks, each as its words, as a shell splits them: at spaces, not within single quotes.
fn commands(document: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for block in document.split("```sh\n").skip(1) {
        let block = block.split("\n```").next().unwrap().replace("\\\n", " ");
        let mut words: Vec<String> = vec![String::new()];
        for (index, part) in block.split('\'').enumerate() {
            if index % 2 == 1 {
                words.last_mut().unwrap().push_str(part);
                continue;
            }
            for letter in part.chars() {
                match letter {
                    '\n' => commands.push(std::mem::replace(&mut words, vec![String::new()])),
                    ' ' => words.push(String::new()),
                    other => words.last_mut().unwrap().push(other),
                }
            }
        }
        commands.push(words);
    }
    for words in &mut commands {
        words.retain(|word| !word.is_empty());
    }
    commands.retain(|words| !words.is_empty());
    commands
}

/// What follows `cargo run --` in the command with this word.
fn courier(commands: &[Vec<String>], word: &str) -> Vec<String> {
    let found = commands
        .iter()
        .find(|words| words.starts_with(&["cargo", "run", "--", word].map(str::to_owned)));
    found.unwrap_or_else(|| panic!("no command {word}"))[3..].to_vec()
}

/// The row of an operation: its name, its reference, and the word it ends with; by id.
fn table(document: &str) -> BTreeMap<String, [String; 3]> {
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned));
    let rows = cells.map(|cells| {
        let [name, reference, id, end] = cells.collect::<Vec<_>>().try_into().unwrap();
        (id, [name, reference, end])
    });
    rows.collect()
}

/// The example, running: where its parts really are, and what it runs in.
struct Example {
    hosts: [(&'static str, String); 3],
    http: reqwest::Client,
    heard: Lines<BufReader<ChildStdout>>,
    _parts: (Courier, Child, Courier),
    _directory: TempDir,
}

impl Example {
    async fn start(commands: &[Vec<String>]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let graph = here(&courier(commands, "simulate-graph"), &[(GRAPH, ANY_PORT)]);
        let line = graph.says("simulating Microsoft Graph at http://").await;
        let graph_host = host(&line);

        let script = ["python3", "examples/local/receiver.py"].map(str::to_owned);
        assert!(commands.contains(&script.to_vec()));
        let mut receiver = Command::new(&script[0])
            .args([&script[1], "0"])
            .current_dir(root())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut heard = BufReader::new(receiver.stdout.take().unwrap()).lines();
        let receiver_host = host(&heard_line(&mut heard).await);

        let config = read(CONFIG)
            .replace(GRAPH, &graph_host)
            .replace(RECEIVER, &receiver_host);
        let config = file(directory.path(), "courier.toml", &config);
        let data = directory.path().join("data").to_str().unwrap().to_owned();
        let server = here(
            &courier(commands, "serve"),
            &[(CONFIG, &config), (DATA, &data), (API, ANY_PORT)],
        );
        let api_host = host(&address(&server).await);
        Self {
            hosts: [
                (GRAPH, graph_host),
                (RECEIVER, receiver_host),
                (API, api_host),
            ],
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            heard,
            _parts: (graph, receiver, server),
            _directory: directory,
        }
    }

    /// Where the parts really are, in place of where the README says.
    fn located(&self, text: &str) -> String {
        let hosts = self.hosts.iter();
        hosts.fold(text.to_owned(), |text, (said, real)| {
            text.replace(said, real)
        })
    }

    /// Sends what `curl` with these words sends: the URL asked, the status and the body of the answer.
    async fn curl(&self, words: &[String]) -> (String, u16, Value) {
        let mut words = words.iter().skip(1);
        let (mut url, mut headers, mut data) = (String::new(), Vec::new(), None);
        while let Some(word) = words.next() {
            match word.as_str() {
                "-H" => headers.push(words.next().unwrap().split_once(": ").unwrap()),
                "-d" => data = words.next(),
                option if option.starts_with('-') => panic!("{option} is not known here"),
                word => url = word.to_owned(),
            }
        }
        let method = if data.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut request = self.http.request(method, self.located(&url));
        if let Some(data) = data {
            let typed = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("content-type");
            if !headers.iter().any(typed) {
                headers.push(("content-type", "application/x-www-form-urlencoded"));
            }
            request = request.body(self.located(data));
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        (url, status, body)
    }

    /// Asks as `words` do until the operation has ended and nothing more is owed to its receiver.
    async fn closed(&self, words: &[String]) -> Value {
        let mut ticks = interval(Duration::from_millis(100));
        let closed = timeout(PATIENCE, async {
            loop {
                ticks.tick().await;
                let (_, _, body) = self.curl(words).await;
                if is_closed(&body) {
                    return body;
                }
            }
        });
        closed
            .await
            .unwrap_or_else(|_| panic!("{words:?} never ended"))
    }
}

/// Starts `courier` in the repository's root with these arguments, changed in places.
fn here(arguments: &[String], changes: &[(&str, &str)]) -> Courier {
    let changed = arguments.iter().map(|argument| {
        let change = changes.iter().find(|(said, _)| argument == said);
        change.map_or(argument.as_str(), |(_, real)| real)
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_courier"));
    Courier::spawn(command.args(changed).current_dir(root()), &[])
}

/// Host and port of the URL at the end of a line.
fn host(line: &str) -> String {
    let (_, host) = line.rsplit_once("http://").unwrap();
    host.to_owned()
}

async fn heard_line(heard: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(PATIENCE, heard.next_line());
    line.await
        .expect("the receiver says nothing")
        .unwrap()
        .unwrap()
}

/// The words in backticks of the line that begins like this.
fn listed<'a>(document: &'a str, beginning: &str) -> Vec<&'a str> {
    let line = document.lines().find(|line| line.starts_with(beginning));
    line.unwrap().split('`').skip(1).step_by(2).collect()
}

#[tokio::test]
async fn the_configuration_of_the_example_holds_as_it_is() {
    let commands = commands(&read("examples/local/README.md"));
    let checked = here(&courier(&commands, "check"), &[]).ended().await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("client example"), "{checked:?}");
    let serve = courier(&commands, "serve");
    for said in [CONFIG, DATA, API] {
        assert!(serve.iter().any(|word| word == said), "{said} {serve:?}");
    }
}

#[tokio::test]
async fn the_examples_requests_end_as_its_readme_says() {
    let document = read("examples/local/README.md");
    let commands = commands(&document);
    let table = table(&document);
    assert_eq!(table.len(), 4);
    let mut example = Example::start(&commands).await;
    let curls = commands.iter().filter(|words| words[0] == "curl");
    let mut asked = Vec::new();
    // The reader puts the ids of the answers in the place of these words.
    let mut ids: BTreeMap<&str, String> = BTreeMap::new();
    for words in curls.clone() {
        let named = table
            .keys()
            .find(|name| words.iter().any(|word| word.contains(*name)));
        let words: Vec<String> = match named {
            Some(name) => words
                .iter()
                .map(|word| word.replace(name, &ids[name.as_str()]))
                .collect(),
            None => words.clone(),
        };
        if let Some(name) = named {
            let url = format!("http://{API}/v1/operations/{}", ids[name.as_str()]);
            let ask = ["curl", "-H", &words[2], &url].map(str::to_owned);
            let closed = example.closed(&ask).await;
            assert_eq!(closed["status"], table[name][2].as_str(), "{closed}");
            assert_eq!(closed["callback"]["status"], "delivered", "{closed}");
        }
        let (url, status, body) = example.curl(&words).await;
        match url.rsplit('/').next().unwrap() {
            "operations" if body["id"].is_string() => {
                assert_eq!(status, 202, "{words:?} {body}");
                let reference = body["reference"].as_str().unwrap();
                let row = table.iter().find(|(_, row)| row[1] == reference);
                let (name, [operation, ..]) = row.unwrap();
                assert_eq!(body["operation"], operation.as_str());
                ids.insert(name, body["id"].as_str().unwrap().to_owned());
                asked.push(words);
            }
            "__script" => assert_eq!(status, 204, "{body}"),
            _ => assert_eq!(status, 200, "{words:?} {body}"),
        }
        let is_first = named.is_some_and(|name| name == "ID_1");
        if is_first && url.ends_with("/history") {
            let mut events: Vec<&str> = listed(&document, "The events of its history are");
            for entry in body["history"].as_array().unwrap() {
                let event = entry["event"].as_str().unwrap();
                assert!(listed(&document, "The events").contains(&event), "{body}");
                events.retain(|one| *one != event);
            }
            assert!(events.is_empty(), "{events:?} {body}");
        }
        if url.ends_with("/__journal") {
            let calls = body.as_array().unwrap().iter();
            let starts = calls.filter(|entry| entry["call"] == "schedule.start");
            assert_eq!(starts.count(), 3, "{body}");
        }
    }
    assert_eq!(asked.len(), table.len());
    for _ in &table {
        let line = heard_line(&mut example.heard).await;
        let id = line.strip_prefix("verified: operation.succeeded ");
        let is_known = |id: &str| ids.values().any(|known| known == id);
        assert!(id.is_some_and(is_known), "{line}");
    }
    refuses_an_unknown_storage(&example, &asked[0]).await;
}

/// "A name that the configuration does not have, such as `dsar-us`, is refused with `400`."
async fn refuses_an_unknown_storage(example: &Example, words: &[String]) {
    let change = |word: &String| {
        word.replace("dsar-eu", "dsar-us")
            .replace("LOCAL-1", "LOCAL-9")
    };
    let words: Vec<String> = words.iter().map(change).collect();
    let (_, status, body) = example.curl(&words).await;
    assert_eq!(status, 400, "{body}");
    let pointer = &body["errors"][0]["pointer"];
    assert_eq!(pointer, "/parameters/storage", "{body}");
}
