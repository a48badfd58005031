//! The cost of the Lambda functions: processor time, memory, size, and the bill of one operation.
//!
//! `cargo bench -p courier-aws --profile dev` runs everything, and spares the optimised build of this program itself: the
//! functions are release binaries in any case. A number after `--` replaces the 1,000 invocations, and the other
//! repetitions with it. The functions are processes of their own and their figures are what the kernel says of them;
//! MiniStack (through the proxy that keeps the journal), Graph and the receiver share the machine. Plain HTTP. The figures
//! are also written to target/bench/functions.json.

use std::path::Path;

use anyhow::Result;
use courier_testkit::bench_report::print_origin;

use self::cloud::Cloud;
use self::table::Table;

mod bill;
#[path = "../../tests/it/binaries.rs"]
#[allow(clippy::unwrap_used, reason = "the tests' own")]
mod binaries;
#[path = "../../tests/it/cloud.rs"]
#[allow(clippy::unwrap_used, dead_code, reason = "the tests' own")]
mod cloud;
mod cold;
mod meter;
mod size;
mod table;
mod units;
mod warm;

const INVOCATIONS: usize = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let given = std::env::args().skip(1);
    let given = given.filter_map(|text| text.parse().ok()).next();
    let invocations: usize = given.unwrap_or(INVOCATIONS);
    print_origin(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let mut table = Table::default();
    size::measure(&mut table)?;
    cold::measure(invocations.div_ceil(33), &mut table).await?;
    warm::measure(invocations, &mut table).await?;
    bill::measure(&mut table).await?;
    table.note(&format!("load average {}", load()?))?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    Ok(table.write(&folder.join("functions.json"))?)
}

fn load() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    let averages: Vec<&str> = text.split(' ').take(3).collect();
    Ok(averages.join(" "))
}

/// A request body of one of the three operations, with a resource that no other index has.
fn body(cloud: &Cloud, index: usize) -> serde_json::Value {
    use courier_testkit::tenants;
    let id = format!("6e7b768e-07e2-4810-8459-{index:012}");
    match index % 3 {
        0 => tenants::export(&cloud.receiver, &id, &format!("dsar-{index}")),
        1 => tenants::goals(&cloud.receiver, "94a356ab-53d5-40e7-8a85-053d6d3b9eb3", &id),
        _ => tenants::schedule(&cloud.receiver, &id),
    }
}

/// The operations of [`body`], by index modulo 3.
const OPERATIONS: [&str; 3] = ["export", "goals", "schedule"];
