//! Judges of `docs/reference/openapi.json`: a validator, a linter, and the generators of clients, whose clients then drive the program.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use courier_testkit::tenants::{SIGNING_SECRETS, TICKETS_KEY, sas};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::libraries;
use crate::process::deployment::{QUICK, Site};
use crate::process::program::PATIENCE;
use crate::rules::root;

const PERSON: &str = "6e7b768e-07e2-4810-8459-485f84f8f204";

fn document() -> PathBuf {
    root().join("docs/reference/openapi.json")
}

/// Runs a command that must succeed, and returns what it wrote.
fn run(command: &mut Command) -> String {
    libraries::output(command, "")
}

/// Returns a command of a package of `tests/npm`.
fn packaged(bin: &str) -> Command {
    let module = format!(
        "process.argv.splice(1, 0, {bin:?}); await import(process.cwd() + \"/node_modules/{bin}\");"
    );
    let mut command = libraries::node(&module);
    command.arg("--");
    command
}

/// The meta-schema, and what no schema can say: references, ids of operations, parameters of paths.
#[test]
fn the_validator_and_the_linter_accept_the_document() {
    const VALIDATE: &str = r#"
import json, sys
from openapi_spec_validator import OpenAPIV31SpecValidator
with open(json.load(sys.stdin)) as file:
    document = json.load(file)
errors = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
document["paths"]["/v1/operations/{id}"]["get"]["parameters"] = []
broken = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
json.dump([errors, broken], sys.stdout)
"#;
    let found = libraries::judge(VALIDATE, &json!(document()));
    assert_eq!(found[0], json!([]));
    assert_ne!(found[1], json!([]), "a path without its parameter");
    let lint = run(packaged("@redocly/cli/bin/cli.js")
        .args(["lint", "--format=json"])
        .arg(document())
        .envs([
            ("REDOCLY_TELEMETRY", "off"),
            ("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true"),
        ]));
    let lint: Value = serde_json::from_str(&lint[lint.find('{').unwrap()..]).unwrap();
    assert_eq!(lint["problems"], json!([]), "{lint:#}");
}

/// A folder with the files of an example and what was generated for it.
fn copied(example: &str, files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let source = root().join("examples").join(example).join(file);
        fs::copy(&source, folder.path().join(file)).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_python_client_is_well_typed_and_drives_the_program() {
    let (bin, folder) = tokio::task::spawn_blocking(|| {
        let bin = libraries::python();
        let folder = copied("client-python", &["export.py"]);
        let generator = bin.join("openapi-python-client");
        run(Command::new(generator)
            .args(["generate", "--meta=none", "--path"])
            .arg(document())
            .arg("--output-path")
            .arg(folder.path().join("courier_client")));
        run(Command::new(bin.join("mypy"))
            .args([
                "--strict",
                "--cache-dir=/dev/null",
                "export.py",
                "courier_client",
            ])
            .current_dir(folder.path()));
        (bin, folder)
    })
    .await
    .unwrap();
    drive(folder.path(), || {
        let mut python = Command::new(bin.join("python3"));
        python.args(["-B", "export.py"]);
        python
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_typescript_client_is_well_typed_and_drives_the_program() {
    let (node, folder) = tokio::task::spawn_blocking(|| {
        let folder = copied(
            "client-typescript",
            &["export.ts", "package.json", "tsconfig.json"],
        );
        let types = folder.path().join("courier.d.ts");
        let mut generate = packaged("openapi-typescript/bin/cli.js");
        let modules = generate.get_current_dir().unwrap().join("node_modules");
        std::os::unix::fs::symlink(&modules, folder.path().join("node_modules")).unwrap();
        run(generate.arg(document()).arg("--output").arg(&types));
        run(packaged("typescript/bin/tsc")
            .arg("--project")
            .arg(folder.path()));
        (generate.get_program().to_owned(), folder)
    })
    .await
    .unwrap();
    drive(folder.path(), || {
        let mut command = Command::new(&node);
        command.arg("export.ts");
        command
    })
    .await;
}

/// Lets the program of an example ask for exports: one that it polls, one that it is told of, and one that is refused.
async fn drive(folder: &Path, program: impl Fn() -> Command) {
    let site = Site::new(QUICK).await;
    // Free a moment ago: the configuration must name it before the program can listen.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = free.unwrap().port().to_string();
    let file = site.path("courier.toml");
    let config = fs::read_to_string(&file).unwrap();
    let origins = format!("callback_origins = [\"http://127.0.0.1:{port}\", ");
    fs::write(&file, config.replace("callback_origins = [", &origins)).unwrap();
    let (_server, api) = site.serve(&[]).await;
    let told = if folder.join("export.py").exists() {
        vec!["--listen", &port]
    } else {
        vec![port.as_str()]
    };
    let readable = sas("dsar-3").replace("sp=acw", "sp=racw");
    let cases = [
        ("DSAR-1", vec![], sas("dsar-1"), 0, "succeeded"),
        ("DSAR-2", told, sas("dsar-2"), 0, "succeeded"),
        ("DSAR-3", vec![], readable, 1, "/parameters/storageLocation"),
    ];
    for (ticket, options, container, code, words) in cases {
        let mut command = tokio::process::Command::from(program());
        let mut child = command
            .args([ticket, PERSON])
            .args(options)
            .current_dir(folder)
            .envs([
                ("COURIER_URL", api.as_str()),
                ("COURIER_API_KEY", TICKETS_KEY),
                ("COURIER_SIGNING_SECRET", SIGNING_SECRETS[0]),
                ("NO_PROXY", "*"),
                ("no_proxy", "*"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(container.as_bytes()).await.unwrap();
        drop(stdin);
        let output = timeout(PATIENCE, child.wait_with_output()).await;
        let output = output.expect("the program does not end").unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{ticket}: {said}");
        assert!(said.contains(words), "{ticket}: {said}");
        assert!(!said.contains("sig="), "{ticket}: {said}");
    }
    assert_eq!(site.jobs().await.len(), 2);
}
