//! The linters, of the versions in `infra/requirements`, without a network.

use std::process::Command;

use crate::binaries::{path_with, root, target};

/// Runs `line` in the Python environment `name`, in a home of its own.
fn passes(name: &str, line: &[&str]) {
    let home = target().join("tmp/linters");
    std::fs::create_dir_all(&home).unwrap();
    // Whoever wants to reach another machine is told that it is not there.
    let nowhere = "http://127.0.0.1:9";
    let output = Command::new("env")
        .args(line)
        .env_clear()
        .env("PATH", path_with(&[name]))
        .env("HOME", &home)
        .env("HTTPS_PROXY", nowhere)
        .env("HTTP_PROXY", nowhere)
        .env("SAM_CLI_TELEMETRY", "0")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .current_dir(root())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{line:?}: {said}");
}

#[test]
fn cfn_lint_passes_the_template() {
    passes("sam", &["cfn-lint", "infra/template.yaml"]);
}

#[test]
fn sam_validate_passes_the_template() {
    let line = ["sam", "validate", "--lint", "--template"];
    passes("sam", &[line.as_slice(), &["infra/template.yaml"]].concat());
}

#[test]
fn checkov_passes_the_template() {
    let line = ["checkov", "--config-file", "infra/checkov.yaml", "--file"];
    passes(
        "checkov",
        &[line.as_slice(), &["infra/template.yaml"]].concat(),
    );
}
