//! Cold starts: from the start of the process until it asks for its first invocation, and what that one costs.

use anyhow::{Context, Result, ensure};
use cloud_testkit::function::{Function, Options, Outcome};
use cloud_testkit::gateway::Gateway;
use serde_json::json;

use crate::binaries::{FUNCTIONS, binary};
use crate::cloud::Cloud;
use crate::meter::{Meter, living};
use crate::table::Table;

/// The figures of the cold starts of one function, in milliseconds.
#[derive(Default)]
struct Starts {
    cpu: Vec<f64>,
    wall: Vec<f64>,
    first: Vec<f64>,
}

pub(crate) async fn measure(count: usize, table: &mut Table) -> Result<()> {
    let mut cloud = Cloud::new().await;
    table.title("cold start (wall: with the answers of MiniStack)", "ms")?;
    for name in FUNCTIONS {
        let function = function(&cloud, name);
        if name == "start-operation" {
            cloud.api = Gateway::http_api(&function);
        }
        let mut starts = Starts::default();
        for index in 0..count {
            invoke(&cloud, &function, name, index).await?;
            let total = Meter::new(&function)?.total().await?;
            let process = living(&function)?;
            let cpu = process.init_cpu.context("no init")?.as_secs_f64() * 1e3;
            let wall = process.init.context("no init")?.as_secs_f64() * 1e3;
            starts.cpu.push(cpu);
            starts.wall.push(wall);
            starts.first.push(total - cpu);
            function.kill_all().await;
        }
        let goal = if name == "sweep-operations" {
            ""
        } else {
            "<= 5"
        };
        table.spread(&format!("{name}, init, CPU"), &starts.cpu, goal)?;
        table.spread(&format!("{name}, init, wall"), &starts.wall, "")?;
        let what = match name {
            "start-operation" => "a request",
            "poll-operation" | "accept-request" => "an empty batch",
            _ => "a sweep",
        };
        let text = format!("{name}, first, {what}, CPU");
        table.spread(&text, &starts.first, "")?;
    }
    Ok(())
}

/// By the machine's clock: the one that can be moved is one library more to load.
fn function(cloud: &Cloud, name: &str) -> Function {
    let options = Options {
        name: name.to_owned(),
        memory_mb: 128,
        ..Options::default()
    };
    let variables: Vec<(&str, &str)> = cloud
        .variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Function::start(&binary(name), &variables, options)
}

async fn invoke(cloud: &Cloud, function: &Function, name: &str, index: usize) -> Result<()> {
    if name == "start-operation" {
        let body = crate::body(cloud, index);
        let answer = cloud.post(&format!("cold-{index}"), &body).await;
        ensure!(answer.status == 202, "{answer:?}");
        return Ok(());
    }
    let outcome = function.invoke(&json!({ "Records": [] })).await;
    let answered = matches!(outcome, Outcome::Answer(_));
    ensure!(answered, "{outcome:?}: {}", function.logs());
    Ok(())
}
