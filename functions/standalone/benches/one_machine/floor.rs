//! The floor: the least program that does the job of `courier serve` for goals exports. What it costs is what the job
//! itself costs on this machine; what `courier serve` costs beyond that, its promises cost.
//!
//! It takes requests over HTTP, starts each job in Graph, polls it when `Retry-After` is over, and delivers one callback,
//! signed as Standard Webhooks requires. Everything that it must remember is a line of one file that only grows. A line
//! is on the disk (`fdatasync`, one for all who wait at that moment) before the 202, and again before the callback. A
//! start on the same file goes on with every operation that has not been reported.
//!
//! It leaves out everything else. It asks for no API key, checks no parameter, address or length, encrypts nothing, and
//! knows one operation, one tenant and one access token, which it fetches once. It has no idempotency keys, and no claim
//! before the start: if it dies between Graph's answer and the 202, nobody follows that job. It repeats no call that has
//! failed, has no time limits, deadlines, jitter or circuit breakers, answers no question about an operation, writes no
//! log and never shortens its file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;

use crate::process::SIGNING_SECRET;
use crate::traffic::now;

/// Upper bound of polls and callbacks at once.
const CALLS_AT_ONCE: usize = 64;

/// Runs the floor on one thread, and its journal on another, until it is killed.
/// `graph` is the simulator's address. The first line of output names the address on which requests are taken.
pub(crate) fn run(graph: &str, journal: &Path) -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(serve(graph, journal))
}

async fn serve(graph: &str, journal: &Path) -> Result<()> {
    let secret = STANDARD.decode(SIGNING_SECRET.trim_start_matches("whsec_"))?;
    let (journal, lines) = Journal::open(journal)?;
    let mut floor = Floor {
        graph: graph.to_owned(),
        authorization: String::new(),
        key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
        connections: Mutex::default(),
        calls: Semaphore::new(CALLS_AT_ONCE),
        journal,
    };
    floor.authorization = format!("Bearer {}", floor.fetch_token().await?);
    let floor = Arc::new(floor);
    for (operation, completion) in unreported(&lines) {
        let floor = Arc::clone(&floor);
        tokio::spawn(async move {
            report(match completion {
                Some(body) => floor.deliver(operation, body).await,
                None => floor.follow(operation).await,
            });
        });
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "address={}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let floor = Arc::clone(&floor);
        let service = service_fn(move |request| Arc::clone(&floor).start(request));
        let connection = server::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A start that fails ends its connection without an answer.
        tokio::spawn(async move { report(connection.await.map_err(Into::into)) });
    }
}

/// Tells of a failure, which nobody repairs.
fn report(result: Result<()>) {
    if let Err(error) = result {
        let _ = writeln!(io::stderr(), "floor: {error:#}");
    }
}

type Connection = client::SendRequest<Full<Bytes>>;

struct Floor {
    graph: String,
    authorization: String,
    key: hmac::Key,
    /// Idle connections by address.
    connections: Mutex<HashMap<String, Vec<Connection>>>,
    calls: Semaphore,
    journal: Journal,
}

/// An operation that has been started.
struct Operation {
    id: String,
    /// Seconds until the first poll, as Graph has asked.
    pause: u64,
    /// Path of the job in Graph.
    monitor: Uri,
    callback: Uri,
}

impl Operation {
    /// Reads an operation from the rest of its line in the journal.
    fn parse(id: &str, rest: &str) -> Option<Self> {
        let mut words = rest.split(' ');
        Some(Self {
            id: id.to_owned(),
            pause: words.next()?.parse().ok()?,
            monitor: words.next()?.parse().ok()?,
            callback: words.next()?.parse().ok()?,
        })
    }
}

impl Floor {
    async fn start(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let body = request.into_body().collect().await?.to_bytes();
        let wanted: Value = serde_json::from_slice(&body)?;
        let path = "/beta/employeeExperience/goals/exportJobs";
        let body = wanted["parameters"].to_string();
        let answer = self.ask_graph(Method::POST, path, body).await?;
        ensure!(answer.status() == StatusCode::CREATED, "{answer:?}");
        let location = answer.headers().get(LOCATION).context("no Location")?;
        let callback = wanted["callback"]["url"].as_str().context("no url")?;
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let id = format!("op_{:032x}", u128::from_be_bytes(random));
        // Graph puts this Location in quotes.
        let monitor = location.to_str()?.trim_matches('"');
        let rest = format!("{} {monitor} {callback}", retry_after(&answer)?);
        let operation = Operation::parse(&id, &rest).context("no usable URLs")?;
        self.journal.write(format!("started {id} {rest}\n")).await?;
        tokio::spawn(async move { report(self.follow(operation).await) });
        let body = json!({ "id": id, "status": "running" }).to_string();
        let accepted = Response::builder().status(StatusCode::ACCEPTED);
        let accepted = accepted.header(CONTENT_TYPE, "application/json");
        Ok(accepted.body(Full::from(body))?)
    }

    /// Polls a job until it has ended, and delivers the completion.
    async fn follow(&self, operation: Operation) -> Result<()> {
        let mut pause = operation.pause;
        let job = loop {
            sleep(Duration::from_secs(pause)).await;
            let _turn = self.calls.acquire().await?;
            let path = operation.monitor.path();
            let answer = self.ask_graph(Method::GET, path, String::new());
            let answer = answer.await?;
            ensure!(answer.status() == StatusCode::OK, "{answer:?}");
            let mut document: Value = serde_json::from_slice(answer.body())?;
            let job = document["value"].take();
            if matches!(job["status"].as_str(), Some("succeeded" | "failed")) {
                break job;
            }
            pause = retry_after(&answer)?;
        };
        let body = completion(&operation.id, &job);
        let line = format!("ended {} {body}\n", operation.id);
        self.journal.write(line).await?;
        self.deliver(operation, body).await
    }

    async fn deliver(&self, operation: Operation, body: String) -> Result<()> {
        let Operation { id, callback, .. } = operation;
        let event = id.replacen("op_", "msg_", 1) + "_ended";
        let second = now().as_second();
        let signed = format!("{event}.{second}.{body}");
        let signature = STANDARD.encode(hmac::sign(&self.key, signed.as_bytes()));
        let address = callback.authority().context("no address")?.as_str();
        let request = Request::post(callback.path())
            .header(HOST, address)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", event)
            .header("webhook-timestamp", second)
            .header("webhook-signature", format!("v1,{signature}"))
            .header("ce-subject", &id)
            .body(Full::from(body))?;
        let _turn = self.calls.acquire().await?;
        let answer = self.call(address, request).await?;
        ensure!(answer.status().is_success(), "{answer:?}");
        self.journal.note(format!("closed {id}\n"))
    }

    async fn ask_graph(&self, method: Method, path: &str, body: String) -> Result<Response<Bytes>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.graph)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        self.call(&self.graph, request).await
    }

    async fn fetch_token(&self) -> Result<String> {
        let form =
            "grant_type=refresh_token&client_id=bench&client_secret=bench&refresh_token=bench";
        let request = Request::post("/bench/oauth2/v2.0/token")
            .header(HOST, &self.graph)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form))?;
        let answer = self.call(&self.graph, request).await?;
        let document: Value = serde_json::from_slice(answer.body())?;
        Ok(document["access_token"]
            .as_str()
            .context("no token")?
            .to_owned())
    }

    /// Makes a call on an idle connection to this address, or on a new one.
    async fn call(&self, address: &str, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let idle = self.connections().get_mut(address).and_then(Vec::pop);
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(address).await?,
        };
        connection.ready().await?;
        let (head, body) = connection.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut connections = self.connections();
        let idle = connections.entry(address.to_owned());
        idle.or_default().push(connection);
        Ok(Response::from_parts(head, body))
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<String, Vec<Connection>>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(address: &str) -> Result<Connection> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn retry_after(answer: &Response<Bytes>) -> Result<u64> {
    let header = answer
        .headers()
        .get(RETRY_AFTER)
        .context("no Retry-After")?;
    Ok(header.to_str()?.parse()?)
}

fn completion(id: &str, job: &Value) -> String {
    let status = &job["status"];
    let result = json!({
        "resourceLocation": job["resourceLocation"],
        "expiresAt": job["expirationDateTime"],
    });
    json!({
        "type": format!("operation.{}", status.as_str().unwrap_or_default()),
        "timestamp": now().to_string(),
        "data": { "id": id, "operation": "goals.exportJob", "status": status, "result": result },
    })
    .to_string()
}

/// The file of all that must outlive the process, behind the thread that writes it.
struct Journal(mpsc::Sender<Line>);

/// A line, and who is told once it is on the disk.
type Line = (String, Option<oneshot::Sender<()>>);

impl Journal {
    /// Opens or creates the file; returns its lines too.
    ///
    /// A last line that a crash has cut off was acknowledged to nobody, and is removed.
    fn open(path: &Path) -> Result<(Self, String)> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).read(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        file.set_len(text.len() as u64)?;
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || keep(file, &lines));
        Ok((Self(send), text))
    }

    /// Returns once the line is on the disk.
    async fn write(&self, text: String) -> Result<()> {
        let (synced, done) = oneshot::channel();
        self.0.send((text, Some(synced)))?;
        Ok(done.await?)
    }

    /// Adds a line that may be lost in a crash: its operation is then reported once more.
    fn note(&self, text: String) -> Result<()> {
        Ok(self.0.send((text, None))?)
    }
}

/// Writes all lines that wait together, with one `fdatasync` if somebody waits for it.
fn keep(mut file: File, lines: &mpsc::Receiver<Line>) -> io::Result<()> {
    while let Ok(first) = lines.recv() {
        let batch: Vec<Line> = std::iter::once(first).chain(lines.try_iter()).collect();
        let text: String = batch.iter().map(|(text, _)| text.as_str()).collect();
        file.write_all(text.as_bytes())?;
        let waiting: Vec<_> = batch.into_iter().filter_map(|(_, synced)| synced).collect();
        if !waiting.is_empty() {
            file.sync_data()?;
        }
        for synced in waiting {
            // Whoever waited may be gone.
            let _ = synced.send(());
        }
    }
    Ok(())
}

/// Returns the operations that have not been reported, each with its completion if it has ended.
fn unreported(lines: &str) -> Vec<(Operation, Option<String>)> {
    let mut open = HashMap::new();
    for line in lines.lines() {
        let mut words = line.splitn(3, ' ');
        let (word, id) = (words.next(), words.next().unwrap_or_default());
        let rest = words.next().unwrap_or_default();
        if word == Some("closed") {
            open.remove(id);
        } else if word == Some("started") {
            let operation = Operation::parse(id, rest);
            open.extend(operation.map(|operation| (id, (operation, None))));
        } else if let Some((_, completion)) = open.get_mut(id) {
            *completion = Some(rest.to_owned());
        }
    }
    open.into_values().collect()
}
