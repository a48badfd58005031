//! Many hostile clients at once: measures how long legitimate requests beside them wait for their 202.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use courier_testkit::bench_report::{Report, percentile};
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::machine::{Load, Machine, Subject, TENANTS};
use crate::traffic::Connection;
use crate::{CLIENTS, script};

/// Legitimate requests a second: half of them on a new connection each, half on one persistent connection.
const REQUESTS_PER_SECOND: usize = 50;
/// Duration of each attack, in seconds; longer than any timeout of the server for these clients.
const SECONDS: usize = 15;
/// Time after which a legitimate request counts as failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause before a closed client reconnects, between the bytes of a slow one, and before the measurement begins.
const PAUSE: Duration = Duration::from_secs(1);

/// Behaviour of a hostile client, which it repeats with the bytes of its attack.
#[derive(Clone, Copy)]
enum Manner {
    /// Sends the bytes and then nothing more, until the connection is closed.
    Hold,
    /// Sends one byte a second.
    Drip,
    /// Sends the bytes without end and reads nothing.
    Deaf,
    /// Sends the bytes, reads everything, and reconnects at once.
    Flood,
}

/// Returns name, number of clients, manner and bytes of each attack.
fn attacks() -> Vec<(&'static str, usize, Manner, String)> {
    let post = |rest: &str| format!("POST /v1/operations HTTP/1.1\r\nhost: x\r\n{rest}");
    let get = "GET /v1/operations HTTP/1.1\r\nhost: x\r\n\r\n";
    let long = "x".repeat(60_000);
    vec![
        ("nobody", 0, Manner::Hold, String::new()),
        ("idle", 10_000, Manner::Hold, String::new()),
        ("half a head", 10_000, Manner::Hold, "GET / HT".to_owned()),
        ("slow heads", 5_000, Manner::Drip, get.to_owned()),
        (
            "slow bodies",
            5_000,
            Manner::Drip,
            post(&format!("content-length: 1000\r\n\r\n{long}")),
        ),
        (
            "half a body",
            10_000,
            Manner::Hold,
            post("content-length: 1000\r\n\r\n{"),
        ),
        (
            "100-continue, no body",
            10_000,
            Manner::Hold,
            post("content-length: 1000\r\nexpect: 100-continue\r\n\r\n"),
        ),
        ("deaf, pipelining", 1_000, Manner::Deaf, get.repeat(100)),
        ("pipelining", 100, Manner::Flood, get.repeat(100)),
        (
            "huge headers",
            100,
            Manner::Flood,
            format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n"),
        ),
        (
            "huge request line",
            100,
            Manner::Flood,
            format!("GET /{long} HTTP/1.1\r\n\r\n"),
        ),
        (
            "chunked nonsense",
            100,
            Manner::Flood,
            post("transfer-encoding: chunked\r\n\r\nnonsense\r\n"),
        ),
        (
            "two lengths",
            100,
            Manner::Flood,
            post("content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
        ),
        (
            "length and chunks",
            100,
            Manner::Flood,
            post("content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        ),
        (
            "HTTP/2",
            100,
            Manner::Flood,
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        ),
    ]
}

/// Runs every attack in turn on the same server.
pub(crate) async fn rude(report: &mut Report) -> Result<()> {
    let machine =
        Arc::new(Machine::with_graph(Subject::Courier, Load::Mixed, &script(0.5, 1)).await?);
    machine.send(0..TENANTS * 3, CLIENTS).await?;
    let mut first = TENANTS * 3;
    for (name, clients, manner, bytes) in attacks() {
        let bytes = Bytes::from(bytes);
        let mut crowd = JoinSet::new();
        for _ in 0..clients {
            crowd.spawn(be_rude(machine.api.clone(), manner, bytes.clone()));
        }
        // The hostile clients connect before the measured ones and stay.
        sleep(PAUSE).await;
        let (fresh, kept) = legitimate(&machine, first).await?;
        first += REQUESTS_PER_SECOND * SECONDS;
        report.scenario(&format!("{clients} rude clients: {name}"))?;
        for (kind, times) in [("own connection", &fresh), ("kept connection", &kept)] {
            let row = |part: &str| format!("{kind}, {part}");
            report.row(&row("p50"), "ms", percentile(times, 0.5), "")?;
            report.row(&row("p99"), "ms", percentile(times, 0.99), "<= 1000")?;
            report.row(&row("max"), "ms", percentile(times, 1.0), "")?;
        }
        report.row("RSS", "MB", machine.server.memory_mb("VmRSS")?, "")?;
        crowd.shutdown().await;
    }
    let arrived = machine.receiver.arrived(first).await;
    let missing = first - machine.receiver.arrivals().len();
    report.scenario("in the end")?;
    report.row("lost", "callbacks", missing as f64, "0")?;
    report.row("peak RSS", "MB", machine.server.memory_mb("VmHWM")?, "")?;
    arrived
}

async fn be_rude(address: String, manner: Manner, bytes: Bytes) {
    loop {
        if let Ok(stream) = TcpStream::connect(&address).await {
            // The server is expected to close the connection, so an error is no failure.
            drop(one_visit(stream, manner, &bytes).await);
        }
        if !matches!(manner, Manner::Flood) {
            sleep(PAUSE).await;
        }
    }
}

async fn one_visit(mut stream: TcpStream, manner: Manner, bytes: &[u8]) -> std::io::Result<()> {
    match manner {
        Manner::Hold => {
            stream.write_all(bytes).await?;
            read_all(&mut stream).await
        }
        Manner::Drip => {
            for byte in bytes {
                stream.write_all(&[*byte]).await?;
                sleep(PAUSE).await;
            }
            Ok(())
        }
        Manner::Deaf => loop {
            stream.write_all(bytes).await?;
        },
        Manner::Flood => {
            stream.write_all(bytes).await?;
            stream.shutdown().await?;
            read_all(&mut stream).await
        }
    }
}

async fn read_all(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Sends at a steady rate, whatever happens.
///
/// Returns milliseconds including connecting, for the new connections and for the persistent one.
async fn legitimate(machine: &Arc<Machine>, first: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut ticks = interval(Duration::from_secs(2) / u32::try_from(REQUESTS_PER_SECOND)?);
    let mut fresh = JoinSet::new();
    let (send, mut turns) = tokio::sync::mpsc::unbounded_channel();
    let steady = Arc::clone(machine);
    let kept = tokio::spawn(async move {
        let mut connection = None;
        let mut times = Vec::new();
        while let Some(index) = turns.recv().await {
            times.push(timed(&steady, index, &mut connection).await);
        }
        times
    });
    for index in (first..first + REQUESTS_PER_SECOND * SECONDS).step_by(2) {
        ticks.tick().await;
        let machine = Arc::clone(machine);
        fresh.spawn(async move { timed(&machine, index, &mut None).await });
        send.send(index + 1)?;
    }
    drop(send);
    Ok((fresh.join_all().await, kept.await?))
}

/// Returns the milliseconds until the 202, with as many tries as it takes.
///
/// Repeating a request with its idempotency key is safe.
async fn timed(machine: &Machine, index: usize, connection: &mut Option<Connection>) -> f64 {
    let began = Instant::now();
    let accepted = timeout(REQUEST_TIMEOUT, async {
        while !accepted(machine.request(index), &machine.api, connection).await {
            *connection = None;
        }
    });
    drop(accepted.await);
    began.elapsed().as_secs_f64() * 1e3
}

async fn accepted(
    request: Request<Full<Bytes>>,
    address: &str,
    connection: &mut Option<Connection>,
) -> bool {
    if connection.is_none() {
        *connection = Connection::open(address).await.ok();
    }
    match connection {
        Some(connection) => connection.post(request).await.is_ok(),
        None => false,
    }
}
