//! Other people's client libraries as judges and as callers: of our callbacks, of our signatures, of events, and of the simulator's token endpoint.
//!
//! Each judge is a short program in Python or JavaScript around the library; what it reads and writes is JSON.

mod addresses;
mod azurite;
mod cloud_events;
mod event_senders;
mod evidence;
mod legal;
mod msal;
mod openapi;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cloud_testkit::python::{self, environment};
use serde_json::Value;

/// Runs a Python program that may import the libraries of `tests/requirements.txt`, and returns the list that it wrote.
pub(crate) fn judge(program: &str, input: &Value) -> Vec<Value> {
    list(
        Command::new(python().join("python3")).args(["-B", "-c", program]),
        input,
    )
}

/// Runs a module that may import the packages of `tests/npm`, and returns the list that it wrote.
pub(crate) fn judge_in_node(module: &str, input: &Value) -> Vec<Value> {
    list(&mut node(module), input)
}

/// The `bin` directory of the environment of `tests/requirements.txt`.
pub(crate) fn python() -> PathBuf {
    environment("libraries", &tests().join("requirements.txt"))
}

/// Returns a command that runs this module where it may import the packages of `tests/npm`.
pub(crate) fn node(module: &str) -> Command {
    let python = python();
    let mut command = Command::new(python::node(&python));
    command
        .current_dir(python::node_modules(&python, &tests().join("npm")))
        .args(["--input-type=module", "-e", module]);
    command
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn list(command: &mut Command, input: &Value) -> Vec<Value> {
    let written = output(command, &input.to_string());
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

/// So the packages come from the registry that npm is configured with, and from no other content.
#[test]
fn each_package_of_npm_is_pinned_by_its_hash_and_by_no_address() {
    for (folder, one) in [("npm", "axios"), ("azurite", "azurite")] {
        let lock = std::fs::read(tests().join(folder).join("package-lock.json")).unwrap();
        let lock: Value = serde_json::from_slice(&lock).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        assert!(packages.contains_key(&format!("node_modules/{one}")));
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            let hash = package["integrity"].as_str().unwrap_or_default();
            assert!(hash.starts_with("sha512-"), "{name}: {package}");
            assert_eq!(package["resolved"], Value::Null, "{name}");
        }
    }
}
