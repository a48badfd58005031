//! The project's own rules: which package and module may depend on which, and how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Returns `cargo metadata` of the workspace's packages.
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

/// Returns the names of each package's dependencies of the given kind; `None` means normal dependencies.
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
fn packages_depend_only_on_permitted_packages() {
    let allowed: BTreeMap<&str, &[&str]> = [
        ("courier-core", [].as_slice()),
        ("graph-simulator", &[]),
        ("cloud-testkit", &[]),
        ("courier-aws", &["courier-core"]),
        ("courier-local", &["courier-core"]),
        ("courier-console", &[]),
        ("courier-model", &[]),
        ("accept-request", &["courier-aws"]),
        ("poll-operation", &["courier-aws"]),
        (
            "start-operation",
            &["courier-aws", "courier-console", "courier-core"],
        ),
        ("sweep-operations", &["courier-aws"]),
        (
            "courier",
            &[
                "courier-console",
                "courier-core",
                "courier-local",
                "graph-simulator",
            ],
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
            let function = package.ends_with("-operation")
                || ["accept-request", "sweep-operations"].contains(&package.as_str());
            // aws-lc is no part of the AWS SDK: it is the cryptography library of rustls and for JWTs.
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

/// The modules of the core, each before the modules that it may import.
const LAYERS: [&str; 23] = [
    "http",
    "engine",
    "lifecycle",
    "evidence",
    "storage",
    "graph",
    "announcing",
    "callback",
    "auth",
    "config",
    "ports",
    "selection",
    "catalogue",
    "events",
    "legal",
    "operation",
    "profile",
    "outbound",
    "crypto",
    "cached",
    "redact",
    "error_chain",
    "time",
];
/// Module of the core that imports no other and may be imported by all.
const FOUNDATION: &str = "strict_json";

#[test]
fn modules_of_the_core_import_only_modules_below_them() {
    let folder = root().join("shared/courier-core/src");
    let mut imports = 0;
    for file in source_files(std::slice::from_ref(&folder)) {
        let first = file.strip_prefix(&folder).unwrap().components().next();
        let name = first.unwrap().as_os_str().to_str().unwrap();
        let module = name.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let level = |name: &str| LAYERS.iter().position(|layer| *layer == name);
        let text = std::fs::read_to_string(&file).unwrap();
        for path in text.split("crate::").skip(1) {
            let mut parts = path.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            let used = parts.next().unwrap();
            let Some(below) = level(used) else {
                let known = used == FOUNDATION || used.contains("crash_point");
                assert!(known, "{}: {used} has no place in LAYERS", file.display());
                continue;
            };
            let above = level(module);
            assert!(
                used == module || above.is_some_and(|above| above < below),
                "{}: {module} must not import {used}, which is above it",
                file.display()
            );
            imports += 1;
        }
    }
    assert!(imports > 100, "{imports} imports found");
}

#[test]
fn testkits_are_dev_dependencies_only() {
    let allowed = [
        ("courier", vec!["cloud-testkit", "courier-testkit"]),
        ("courier-aws", vec!["cloud-testkit", "courier-testkit"]),
        ("courier-local", vec!["courier-testkit"]),
    ];
    let kits = |needs: &BTreeSet<String>| -> Vec<String> {
        let kits = needs.iter().filter(|need| need.ends_with("-testkit"));
        kits.cloned().collect()
    };
    let dev_dependencies: Vec<_> = dependencies(Some("dev"))
        .into_iter()
        .map(|(package, needs)| (package, kits(&needs)))
        .filter(|(_, kits)| !kits.is_empty())
        .collect();
    let expected = allowed.map(|(package, kits)| (package.to_owned(), kits));
    let users = dev_dependencies.iter().map(|(package, kits)| {
        let kits: Vec<&str> = kits.iter().map(String::as_str).collect();
        (package.to_owned(), kits)
    });
    assert_eq!(users.collect::<Vec<_>>(), expected);
    for kind in [None, Some("build")] {
        for (package, needs) in dependencies(kind) {
            // The simulation is itself a test, so no package may depend on it.
            if package != "courier-simulation" {
                assert_eq!(kits(&needs), Vec::<String>::new(), "{package}");
            }
            assert!(!needs.contains("courier-simulation"), "{package}");
        }
    }
}

#[test]
fn only_tests_enable_crash_points() {
    let feature = "crash-points";
    let metadata = metadata();
    let mut enabling = BTreeSet::new();
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
                enabling.insert(name);
            }
        }
    }
    assert_eq!(enabling, BTreeSet::from(["courier", "courier-aws"]));
    // A build without debug assertions has no crash points, even if the feature is enabled.
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

/// Returns all Rust files below these folders.
fn source_files(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut waiting = folders.to_vec();
    let mut files = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn no_source_file_is_longer_than_400_lines() {
    let folders = ["functions", "shared", "fuzz/targets"].map(|folder| root().join(folder));
    let files = source_files(&folders);
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().count();
        assert!(lines <= 400, "{}: {lines} lines", path.display());
        assert!(
            text.starts_with("//!"),
            "{}: its first line says what it is",
            path.display()
        );
    }
    assert!(files.len() > 50);
}

#[test]
fn every_fuzz_target_is_fuzzed_each_night() {
    let manifest: toml::Table = read("fuzz/Cargo.toml").parse().unwrap();
    let targets = manifest["bin"].as_array().unwrap().iter();
    let targets: BTreeSet<&str> = targets.map(|one| one["name"].as_str().unwrap()).collect();
    let workflow = read(".github/workflows/scheduled.yml");
    let matrix = workflow
        .lines()
        .find_map(|line| line.trim().strip_prefix("target: ["));
    let nightly = matrix.unwrap().trim_end_matches(']').split(", ");
    assert_eq!(nightly.collect::<BTreeSet<_>>(), targets);
}
