//! The size of the functions, as binaries and as what is uploaded.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use cloud_testkit::python;

use crate::binaries::{FUNCTIONS, binary};
use crate::table::Table;

const MB: f64 = 1e6;

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    table.title("size", "MB")?;
    for name in FUNCTIONS {
        let binary = binary(name);
        let length = fs::metadata(&binary)?.len();
        table.row(&format!("{name}, binary"), length as f64 / MB, "")?;
        let zipped = zipped(&binary)?;
        table.row(&format!("{name}, zip"), zipped as f64 / MB, "<= 5.5")?;
    }
    Ok(())
}

/// The length of a zip with only this file, packed as tight as zip can.
fn zipped(file: &Path) -> Result<u64> {
    const PROGRAM: &str = "\
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as zip:
    zip.write(sys.argv[2], 'bootstrap')
";
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("functions-bench.zip");
    let mut python = Command::new(python::ministack().join("python3"));
    let output = python
        .args(["-c", PROGRAM])
        .arg(&place)
        .arg(file)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let length = fs::metadata(&place)?.len();
    fs::remove_file(&place)?;
    Ok(length)
}
