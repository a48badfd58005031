//! The three functions, built as they are deployed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cloud_testkit::python;

pub(crate) const FUNCTIONS: [&str; 3] = ["start-operation", "poll-operation", "sweep-operations"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// The search path with the programs of these Python environments in front.
pub(crate) fn path_with(environments: &[&str]) -> String {
    let mut places: Vec<String> = environments
        .iter()
        .map(|name| {
            let requirements = root().join(format!("infra/requirements/{name}.txt"));
            let place = python::environment(name, &requirements);
            place.to_str().unwrap().to_owned()
        })
        .collect();
    #[expect(clippy::disallowed_methods, reason = "children need the search path")]
    places.push(std::env::var("PATH").unwrap_or_default());
    places.join(":")
}

/// The release binary of `function`, made by `cargo lambda build --release` if it is not up to date.
pub(crate) fn binary(function: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "dev")]
    if let Ok(dir) = std::env::var("FUNCTIONS_DIR") {
        return PathBuf::from(dir).join(function);
    }
    let place = BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let mut build = Command::new("cargo");
        build
            .args(["lambda", "build", "--release", "--locked"])
            .args(FUNCTIONS.iter().flat_map(|name| ["--package", name]))
            .env("CARGO_TARGET_DIR", target)
            .env("PATH", path_with(&["cargo-lambda"]))
            .current_dir(root());
        let output = build
            .output()
            .unwrap_or_else(|error| panic!("{build:?}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo lambda build: {said}");
        target.join("lambda")
    });
    place.join(function).join("bootstrap")
}
