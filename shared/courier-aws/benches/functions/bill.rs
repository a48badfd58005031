//! The bill of one operation, from the calls that were recorded while it ran through its time on a moved clock.
//!
//! List prices of us-east-1, without free tiers, in millionths of a dollar. The time of an invocation is what it took
//! here, with MiniStack and Graph on loopback; what is paid by the month is listed apart.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use cloud_testkit::proxy::Call;
use courier_core::lifecycle::forecast::Sketch;
use serde_json::json;
use tokio::time::Instant;

use crate::cloud::{Cloud, TABLE};
use crate::table::Table;
use crate::units::Units;

const HTTP_API: f64 = 1.0;
const INVOCATION: f64 = 0.2;
/// A millisecond of 128 MB on arm64.
const MILLISECOND: f64 = 13.3334 / 8.0 / 1e3;
/// For each 64 KB of a request.
const SQS: f64 = 0.4;
const SQS_CHUNK: usize = 64 * 1024;
const WRITE_UNIT: f64 = 0.625;
const READ_UNIT: f64 = 0.125;
const SECRET: f64 = 5.0;
const KMS: f64 = 3.0;
/// A byte of CloudWatch Logs; each event counts 26 more.
const LOG_BYTE: f64 = 0.5 / 1e3;
const LOG_EVENT: usize = 26;
/// The time that Graph may take to answer, which it does not on loopback.
const GRAPH_MS: f64 = 300.0;
/// The time that the start of a function may take on AWS: the configuration is read over a new connection.
const INIT_MS: f64 = 150.0;
const MOST_STEPS: usize = 20_000;

/// An operation to be billed: index of its kind, how long Graph takes, and the steps of the clock.
struct Case {
    title: &'static str,
    kind: usize,
    length: Duration,
    step: Duration,
    /// Exports have been run before, so that it is known how long they take.
    is_known: bool,
    goal: &'static str,
}

const CASES: [Case; 4] = [
    Case {
        title: "user.exportPersonalData, 24 h, the first one",
        kind: 0,
        is_known: false,
        length: Duration::from_secs(24 * 3600),
        step: Duration::from_secs(15),
        goal: "<= 100",
    },
    Case {
        title: "user.exportPersonalData, 24 h, after 40 others",
        kind: 0,
        is_known: true,
        length: Duration::from_secs(24 * 3600),
        step: Duration::from_secs(15),
        goal: "<= 100",
    },
    Case {
        title: "goals.exportJob, 1 h",
        kind: 1,
        is_known: false,
        length: Duration::from_secs(3600),
        step: Duration::from_secs(5),
        goal: "",
    },
    Case {
        title: "team.schedule, 1 min",
        kind: 2,
        is_known: false,
        length: Duration::from_secs(60),
        step: Duration::from_secs(1),
        goal: "",
    },
];

/// The counts.
struct Run {
    started: Vec<Call>,
    polled: Vec<Call>,
    /// The counts of each invocation.
    millis: Vec<f64>,
    deletes: usize,
    polls: usize,
    log: String,
}

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    for case in &CASES {
        let run = run(case).await?;
        report(case, &run, table)?;
    }
    fixed(table)
}

async fn run(case: &Case) -> Result<Run> {
    let cloud = Cloud::with(|graph| {
        let seconds = case.length.as_secs_f64();
        graph.durations.export_seconds = seconds;
        graph.durations.goals_seconds = seconds;
        graph.durations.schedule_seconds = seconds;
    })
    .await;
    if case.is_known {
        store_durations(&cloud, case.length).await?;
    }
    let mapping = cloud.mapping().await;
    // The index of the request decides its kind.
    let body = crate::body(&cloud, case.kind);
    let began = Instant::now();
    let answer = cloud.post("bill", &body).await;
    ensure!(answer.status == 202, "{answer:?}");
    let mut millis = vec![began.elapsed().as_secs_f64() * 1e3];
    let started = cloud.proxy.journal();
    let mut deletes = 0;
    for _ in 0..MOST_STEPS {
        for batch in mapping.drain().await {
            ensure!(!batch.failed, "{batch:?}");
            millis.push(batch.took.as_secs_f64() * 1e3);
            deletes += usize::from(!batch.deleted.is_empty());
        }
        let depth = cloud.ministack.depth(&cloud.queue_url).await;
        if depth.visible + depth.in_flight + depth.delayed == 0 {
            break;
        }
        cloud.clock.advance(case.step);
    }
    ensure!(cloud.receiver.journal().len() == 1, "no single callback");
    let mut polled = cloud.proxy.journal();
    polled.drain(..started.len());
    let polls = cloud.simulator.journal().into_iter();
    let polls = polls.filter(|entry| entry.call.ends_with(".poll"));
    Ok(Run {
        polls: polls.count(),
        log: cloud.start.logs() + &cloud.poll.logs(),
        started,
        polled,
        millis,
        deletes,
    })
}

/// Stores what 40 exports teach whose durations are distributed as in the simulation of the timetable: their logarithms
/// normally, around the median's, with a deviation of 0.5.
async fn store_durations(cloud: &Cloud, median: Duration) -> Result<()> {
    /// The quantiles 1/16, 3/16 and so on of the standard normal distribution.
    const QUANTILES: [f64; 8] = [-1.534, -0.887, -0.489, -0.157, 0.157, 0.489, 0.887, 1.534];
    let mut sketch = Sketch::default();
    for quantile in QUANTILES.iter().cycle().take(40) {
        sketch.add(median.mul_f64((0.5 * quantile).exp()));
    }
    let item = json!({
        "pk": { "S": "document/durations/contoso/user.exportPersonalData" },
        "revision": { "N": "1" },
        "body": { "S": serde_json::to_string(&sketch)? },
    });
    let request = json!({ "TableName": TABLE, "Item": item });
    let stored = cloud
        .ministack
        .call("DynamoDB_20120810.PutItem", &request)
        .await;
    stored.map_err(|error| anyhow!("{error:?}"))?;
    Ok(())
}

fn report(case: &Case, run: &Run, table: &mut Table) -> Result<()> {
    let mut units = Units::default();
    let calls = || run.started.iter().chain(&run.polled);
    for call in calls().filter(|call| call.service == "DynamoDB") {
        units.add(call)?;
    }
    let batches = run.millis.len().checked_sub(1).context("no request")?;
    let chunks = |call: &Call| call.request.len().div_ceil(SQS_CHUNK).max(1);
    let sqs = calls().filter(|call| call.service == "SQS");
    let sqs: usize = sqs.map(chunks).sum();
    let secrets = calls().filter(|call| call.service == "SecretsManager");
    let secrets = secrets.count() as f64;
    let billed: f64 = run.millis.iter().map(|millis| millis.ceil()).sum();
    let log = run.log.len() + run.log.lines().count() * LOG_EVENT;

    table.title(case.title, "µ$")?;
    table.note(&format!("{} polls, {batches} batches", run.polls))?;
    table.note(&format!("start function: {}", names(&run.started)))?;
    table.note(&format!("poll function: {}", names(&run.polled)))?;
    table.note(&format!("largest item: {} bytes", units.largest))?;
    let mut sum = 0.0;
    for (name, count, price) in [
        ("HTTP API, requests", 1.0, HTTP_API),
        ("Lambda, invocations", run.millis.len() as f64, INVOCATION),
        ("Lambda, ms as measured here", billed, MILLISECOND),
        ("SQS, the functions' requests", sqs as f64, SQS),
        ("SQS, the mapping's receives", batches as f64, SQS),
        ("SQS, the mapping's deletes", run.deletes as f64, SQS),
        ("DynamoDB, write units", units.writes, WRITE_UNIT),
        ("DynamoDB, read units", units.reads, READ_UNIT),
        ("CloudWatch Logs, bytes", log as f64, LOG_BYTE),
    ] {
        sum += count * price;
        table.row(&format!("{name}: {count}"), count * price, "")?;
    }
    table.row("sum", sum, case.goal)?;
    let secret = format!("Secrets Manager, if it runs alone: {secrets}");
    table.row(&secret, secrets * SECRET, "")?;
    let slow = run.millis.len() as f64 * GRAPH_MS * MILLISECOND;
    table.row("more if Graph takes 300 ms each time", slow, "")?;
    let starts = run.millis.len() as f64 * INIT_MS * MILLISECOND;
    table.row("more if each invocation starts a function", starts, "")?;
    Ok(())
}

/// `GetItem 3, PutItem 4`
fn names(calls: &[Call]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls {
        *counts.entry(&call.operation).or_default() += 1;
    }
    let texts = counts.iter().map(|(name, count)| format!("{name} {count}"));
    texts.collect::<Vec<_>>().join(", ")
}

/// The dollars a month that are paid however many operations there are.
fn fixed(table: &mut Table) -> Result<()> {
    const MINUTES: f64 = 30.0 * 24.0 * 60.0;
    const DOLLAR: f64 = 1e6;
    table.title("fixed", "$ a month of 30 days")?;
    // Lambda begins with five long polls of 20 s each.
    let receives = 5.0 * 3.0 * MINUTES;
    table.row("SQS, five long polls", receives * SQS / DOLLAR, "")?;
    // Every five minutes sixteen partitions of an index, half a unit each.
    let sweep = INVOCATION + 16.0 * 0.5 * READ_UNIT + 30.0 * MILLISECOND;
    table.row("sweeper", MINUTES / 5.0 * sweep / DOLLAR, "")?;
    let reread = MINUTES / 15.0 * 2.0 * SECRET;
    let text = "Secrets Manager, each process always warm";
    table.row(text, reread / DOLLAR, "")?;
    // DynamoDB asks for a table's key after five minutes without it, for each of the two roles.
    let keys = MINUTES / 5.0 * 2.0 * KMS;
    table.row("KMS, requests for the table's key", keys / DOLLAR, "")?;
    table.row("KMS, the key itself", 1.0, "")?;
    Ok(())
}
