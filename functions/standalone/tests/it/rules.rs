//! The project's own rules: who may depend on whom, how long a file may be, and that the README tells the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use courier_core::catalogue::{Catalogue, Restart};
use courier_core::config::Config;
use courier_core::crypto::secret::{Secret, SecretReference};
use courier_core::operation::{Outcome, Reason};
use serde_json::Value;

use crate::docs::authentication::filled;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// What cargo knows of our packages.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Package → its dependencies of the given kind (`None`: normal), by name.
fn dependencies(kind: Option<&str>) -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let names = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let wanted = all.filter(|one| one["kind"].as_str() == kind);
        wanted
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    packages
        .map(|package| (package["name"].as_str().unwrap().to_owned(), names(package)))
        .collect()
}

#[test]
fn crates_depend_only_along_the_designs_arrows() {
    let allowed: BTreeMap<&str, &[&str]> = [
        ("courier-core", [].as_slice()),
        ("graph-simulator", &[]),
        ("cloud-testkit", &[]),
        ("courier-aws", &["courier-core"]),
        ("courier-local", &["courier-core"]),
        ("poll-operation", &["courier-aws"]),
        ("start-operation", &["courier-aws", "courier-core"]),
        ("sweep-operations", &["courier-aws"]),
        (
            "courier",
            &["courier-core", "courier-local", "graph-simulator"],
        ),
        (
            "courier-simulation",
            &["courier-core", "courier-testkit", "graph-simulator"],
        ),
        (
            "courier-testkit",
            &["courier-core", "courier-local", "graph-simulator"],
        ),
    ]
    .into();
    let dependencies = dependencies(None);
    let ours: Vec<&str> = allowed.keys().copied().collect();
    let known: Vec<&str> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(known, ours);
    for (package, needs) in &dependencies {
        for need in needs.iter().filter(|need| ours.contains(&need.as_str())) {
            let arrows = allowed[package.as_str()];
            assert!(
                arrows.contains(&need.as_str()),
                "{package} must not depend on {need}"
            );
        }
        for need in needs {
            let function = package.ends_with("-operation") || package == "sweep-operations";
            // aws-lc is no cloud: it is the cryptography of rustls and of JWTs.
            let sdk = need.starts_with("aws-") && need != "aws-lc-rs";
            let cloud = sdk && package != "courier-aws"
                || need.starts_with("lambda_") && !function
                || need.starts_with("aws_lambda") && !function;
            assert!(!cloud, "{package} must not know {need}");
        }
    }
    let core = &dependencies["courier-core"];
    for platform in ["rusqlite", "hyper", "axum", "clap", "tracing-subscriber"] {
        assert!(
            !core.contains(platform),
            "the core knows no platform: {platform}"
        );
    }
}

#[test]
fn the_testkits_are_for_tests_only() {
    let allowed = [
        ("courier", vec!["cloud-testkit", "courier-testkit"]),
        ("courier-aws", vec!["cloud-testkit", "courier-testkit"]),
        ("courier-local", vec!["courier-testkit"]),
    ];
    let kits = |needs: &BTreeSet<String>| -> Vec<String> {
        let kits = needs.iter().filter(|need| need.ends_with("-testkit"));
        kits.cloned().collect()
    };
    let users: Vec<_> = dependencies(Some("dev"))
        .into_iter()
        .map(|(package, needs)| (package, kits(&needs)))
        .filter(|(_, kits)| !kits.is_empty())
        .collect();
    let allowed = allowed.map(|(package, kits)| (package.to_owned(), kits));
    let users = users.iter().map(|(package, kits)| {
        let kits: Vec<&str> = kits.iter().map(String::as_str).collect();
        (package.to_owned(), kits)
    });
    assert_eq!(users.collect::<Vec<_>>(), allowed);
    for kind in [None, Some("build")] {
        for (package, needs) in dependencies(kind) {
            // The simulation is a test itself: nobody depends on it.
            if package != "courier-simulation" {
                assert_eq!(kits(&needs), Vec::<String>::new(), "{package}");
            }
            assert!(!needs.contains("courier-simulation"), "{package}");
        }
    }
}

#[test]
fn only_tests_ask_for_crash_points() {
    let feature = "crash-points";
    let metadata = metadata();
    let mut asking = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        for (other, enabled) in package["features"].as_object().unwrap() {
            let own = name == "courier-core" && other == feature;
            let enabled = enabled.to_string();
            assert!(
                own || !enabled.contains(feature),
                "{name}: {other} = {enabled}"
            );
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let features = dependency["features"].as_array().unwrap();
            if features.iter().any(|one| one == feature) {
                assert_eq!(dependency["kind"], "dev", "{name} {dependency}");
                asking.insert(name);
            }
        }
    }
    assert_eq!(asking, BTreeSet::from(["courier", "courier-aws"]));
    // And a build without debug assertions has none of them, asked for or not.
    let gate = r#"all(feature = "crash-points", debug_assertions)"#;
    for path in ["src/lib.rs", "src/engine/mod.rs", "src/engine/app.rs"] {
        let text = read(&format!("shared/courier-core/{path}"));
        let gated = text.lines().filter(|line| line.contains(feature));
        assert!(gated.clone().count() > 0);
        for line in gated {
            assert!(line.contains(gate), "{path}: {line}");
        }
    }
}

#[test]
fn no_source_file_is_longer_than_400_lines() {
    let mut waiting = ["functions", "shared", "fuzz/targets"]
        .map(|folder| root().join(folder))
        .to_vec();
    let mut files = 0;
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let lines = text.lines().count();
                assert!(lines <= 400, "{}: {lines} lines", path.display());
                assert!(
                    text.starts_with("//!"),
                    "{}: its first line says what it is",
                    path.display()
                );
                files += 1;
            }
        }
    }
    assert!(files > 50);
}

#[test]
fn the_readme_lists_every_operation_of_the_catalogue() {
    let readme = read("README.md");
    let rows: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    for operation in Catalogue::shipped().iter() {
        let second = match operation.restart {
            Restart::Never => "never sent",
            Restart::Adopt => "adopts the running job",
            Restart::Idempotent => "repeats harmlessly",
        };
        let row = format!(
            "| `{}` | {} | {second} | {} ({}) |",
            operation.name,
            operation.summary,
            operation.permissions.join(", "),
            operation.token.word()
        );
        assert!(rows.contains(&row.as_str()), "the README lacks\n{row}");
    }
}

#[test]
fn the_readme_lists_every_environment_variable() {
    let machine = read("functions/standalone/src/settings.rs");
    let cloud = read("shared/courier-aws/src/settings.rs");
    let declared: BTreeSet<&str> = machine
        .lines()
        .chain(cloud.lines())
        .filter_map(|line| line.split_once("const COURIER_"))
        .map(|(_, rest)| rest)
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let readme = read("README.md");
    let told: BTreeSet<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `COURIER_")?.split('`').next())
        .collect();
    assert_eq!(declared, told);
    assert!(!declared.is_empty());
}

#[test]
fn the_readme_explains_every_outcome_and_reason() {
    let readme = read("README.md");
    let reasons = [
        Reason::StartRejected,
        Reason::StartOutcomeUnknown,
        Reason::StartUntrackable,
        Reason::LocationUntrusted,
        Reason::MonitorGone,
        Reason::OperationFailed,
        Reason::DeadlinePassed,
        Reason::AuthorizationLost,
        Reason::SealedDataUnreadable,
        Reason::CancelledByCaller,
    ];
    let words = reasons.iter().map(|reason| reason.word());
    for word in words.chain(Outcome::ALL.iter().map(|outcome| outcome.word())) {
        assert!(
            readme.contains(&format!("`{word}`")),
            "the README does not explain {word}"
        );
    }
    for reason in reasons {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.word());
    }
}

#[test]
fn the_readmes_configuration_holds() {
    let readme = read("README.md");
    let text = readme
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let resolve = |reference: &SecretReference| {
        Ok(Secret::new(match reference {
            SecretReference::Env(name) if name.starts_with("WHSEC") => {
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            }
            SecretReference::Env(name) if name == "COURIER_SEAL_KEY" => {
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
            }
            SecretReference::Env(_)
            | SecretReference::File(_)
            | SecretReference::AwsSecret { .. } => "secret",
        }))
    };
    let text = filled(text);
    if let Err(errors) = Config::parse(&text, Catalogue::shipped(), &resolve) {
        panic!("{errors}");
    }
}
