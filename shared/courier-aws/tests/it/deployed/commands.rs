//! The commands that build and deploy the template, as its README has them.

use std::path::{Path, PathBuf};
use std::process::Command;

use cloud_testkit::REGION;

use crate::binaries::{FUNCTIONS, binary, lock, path_with, root, target, unoptimised};

/// The functions are built for this machine.
pub(super) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// The command that deploys a stack.
pub(super) fn deployment(url: &str, name: &str, built: &Path, parameters: &[String]) -> Command {
    let mut sam = command(&["sam"], "sam", url);
    sam.args(["deploy", "--stack-name", name, "--resolve-s3"])
        .args(["--capabilities", "CAPABILITY_IAM"])
        .args(["--no-confirm-changeset", "--no-progressbar"])
        .arg("--template-file")
        .arg(built)
        .arg("--parameter-overrides")
        .args(parameters);
    sam
}

/// Builds the stack; its template. The functions are those that the other tests run.
pub(super) fn build() -> PathBuf {
    let place = place();
    let mut sam = Command::new("sam");
    sam.args(["build", "--template"])
        .arg(root().join("infra/template.yaml"))
        .arg("--build-dir")
        .arg(place.join("build"))
        .args(["--parameter-overrides"])
        .arg(format!("Architecture={ARCHITECTURE}"))
        .env("PATH", path_with(&["cargo-lambda", "sam"]))
        .env("CARGO_TARGET_DIR", target())
        .envs(unoptimised())
        .env("SAM_CLI_TELEMETRY", "0")
        .env("AWS_DEFAULT_REGION", REGION)
        .current_dir(&place);
    let tested = FUNCTIONS.map(|name| std::fs::read(binary(name)).unwrap());
    let held = lock();
    run(&mut sam);
    drop(held);
    for (name, tested) in [
        "StartOperation",
        "PollOperation",
        "SweepOperations",
        "AcceptRequest",
    ]
    .iter()
    .zip(tested)
    {
        let bootstrap = place.join("build").join(name).join("bootstrap");
        let built = std::fs::read(bootstrap).unwrap();
        assert!(built == tested, "{name} is not what the other tests run");
    }
    place.join("build/template.yaml")
}

/// A directory of this test below `target`.
fn place() -> PathBuf {
    let place = target().join("tmp/deployed");
    std::fs::create_dir_all(&place).unwrap();
    place
}

/// A program that talks to MiniStack as its root, and knows nothing else of this machine.
pub(super) fn command(environments: &[&str], program: &str, endpoint: &str) -> Command {
    let mut command = Command::new("env");
    command
        .arg(program)
        .env_clear()
        .env("PATH", path_with(environments))
        .env("HOME", place())
        .env("SAM_CLI_TELEMETRY", "0")
        // It would ask PyPI for newer versions.
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_DEFAULT_REGION", REGION)
        .current_dir(place());
    command
}

/// What a command that must succeed says.
pub(super) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}{complaint}");
    said
}
