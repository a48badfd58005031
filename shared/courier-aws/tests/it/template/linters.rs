//! The linters, of the versions in `infra/requirements`, without a network.

use std::process::Command;

use crate::binaries::{path_with, root, target};

/// Runs `line` in the Python environment `name`, in a home of its own.
pub(super) fn passes(name: &str, line: &[&str]) {
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

/// The template without the resources and outputs of these names: a block is a name and what is indented below it.
fn without(names: &[&str]) -> String {
    let template = std::fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    let mut is_left_out = false;
    let lines = template.lines().filter(|line| {
        if !line.starts_with("   ") && !line.is_empty() {
            let name = line
                .strip_prefix("  ")
                .and_then(|line| line.strip_suffix(':'));
            is_left_out = name.is_some_and(|name| names.contains(&name));
        }
        !is_left_out
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn without_the_function_url_cfn_lint_passes_the_template_where_there_are_none() {
    let readme = std::fs::read_to_string(root().join("infra/README.md")).unwrap();
    let told = readme.split("In `us-gov-west-1`").nth(1).unwrap();
    let told = told.split("\n\n").next().unwrap();
    let names = [
        "FunctionUrl",
        "FunctionUrlPermission",
        "FunctionUrlInvokePermission",
    ];
    for name in names {
        assert!(told.contains(&format!("`{name}`")), "{name}");
    }
    let place = target().join("tmp/without-function-url.yaml");
    std::fs::write(&place, without(&names)).unwrap();
    let regions = ["us-gov-west-1", "us-gov-east-1", "cn-northwest-1"];
    let line = [
        "cfn-lint",
        place.to_str().unwrap(),
        "--ignore-checks",
        "W8001",
        "--regions",
    ];
    passes("sam", &[line.as_slice(), &regions].concat());
}
