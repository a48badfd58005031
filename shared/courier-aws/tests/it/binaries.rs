//! The four functions, built as they are deployed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cloud_testkit::python;

pub(crate) const FUNCTIONS: [&str; 4] = [
    "start-operation",
    "poll-operation",
    "sweep-operations",
    "accept-request",
];

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

/// Where cargo builds.
pub(crate) fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// `function` as it is deployed, or not optimised where `SAM_BUILD_MODE` is `debug`; all four are made if they are not up to date.
///
/// It is a copy: `sam build` could not replace a program that runs.
pub(crate) fn binary(function: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let _lock = lock();
        for name in FUNCTIONS {
            build(name);
            let built = target().join("lambda").join(name).join("bootstrap");
            copy(&built, &copies().join(name))
                .unwrap_or_else(|error| panic!("{name} cannot be copied: {error}"));
        }
    });
    copies().join(function).join("bootstrap")
}

/// The binary of `function` with crash points, not optimised.
pub(crate) fn crashing_binary(function: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let copies = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crashing");
    BUILT.get_or_init(|| {
        let _lock = lock();
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--locked", "--package", "courier-core"])
            .args(FUNCTIONS.map(|name| format!("--package={name}")))
            .args(["--features", "courier-core/crash-points"])
            // As cargo-lambda does: what both depend on is built once.
            .args(["--target", &host])
            .env("CARGO_TARGET_DIR", target())
            .envs(unoptimised())
            .current_dir(root());
        run(&mut build);
        for name in FUNCTIONS {
            // A later build without the points would take its place.
            let built = target().join(&host).join("debug").join(name);
            copy(&built, &copies.join(name))
                .unwrap_or_else(|error| panic!("{name} cannot be copied: {error}"));
        }
    });
    copies.join(function).join("bootstrap")
}

/// Held while programs are built and fetched: cargo-lambda moves what cargo has made, under the hands of another process.
pub(crate) fn lock() -> File {
    python::lock(&copies())
}

fn copies() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("functions")
}

fn copy(built: &Path, place: &Path) -> io::Result<()> {
    fs::create_dir_all(place)?;
    let draft = place.join(format!("draft-{}", std::process::id()));
    fs::copy(built, &draft)?;
    fs::rename(draft, place.join("bootstrap"))
}

/// Each alone in its own folder, as `sam build` does it: built together they would share features, and be other programs.
fn build(function: &str) {
    // `sam build` asks it too: functions made in a minute instead of ten.
    let is_debug = is_debug();
    let mut build = Command::new("cargo");
    build
        .args(["lambda", "build", "--locked", "--bin", function])
        .args((!is_debug).then_some("--release"))
        .env("CARGO_TARGET_DIR", target())
        .env("PATH", path_with(&["cargo-lambda"]))
        .envs(unoptimised())
        .current_dir(root().join("functions").join(function));
    run(&mut build);
}

/// Reports whether the functions are built without optimisation, as `sam build` does where this variable says so.
fn is_debug() -> bool {
    #[expect(clippy::disallowed_methods, reason = "as sam does")]
    std::env::var("SAM_BUILD_MODE").is_ok_and(|mode| mode == "debug")
}

/// Returns the variable by which nothing is optimised in such builds, also what the profile `dev` optimises for the tests:
/// there are four builds of the core among them.
pub(crate) fn unoptimised() -> Option<(&'static str, &'static str)> {
    is_debug().then_some(("RUSTFLAGS", "-Copt-level=0"))
}

fn run(build: &mut Command) {
    let output = build
        .output()
        .unwrap_or_else(|error| panic!("{build:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{build:?}: {said}");
}
