//! Other people's client libraries as judges: of our callbacks, of our signatures, and of the simulator's token endpoint.
//!
//! Each judge is a short program around the library; what it reads and writes is JSON.

mod cloud_events;
mod msal;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use cloud_testkit::python::environment;
use serde_json::Value;

/// Runs a Python program that may import the libraries of `tests/requirements.txt`, and returns the list that it wrote.
pub(crate) fn judge(program: &str, input: &Value) -> Vec<Value> {
    let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/requirements.txt");
    let python = environment("libraries", Path::new(requirements)).join("python3");
    let written = output(
        Command::new(python).args(["-B", "-c", program]),
        &input.to_string(),
    );
    serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"))
}

/// Gives a command this input and returns what it wrote.
///
/// Panics, and so fails the test, if the command is missing or fails.
pub(crate) fn output(command: &mut Command, input: &str) -> String {
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?} is needed: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
