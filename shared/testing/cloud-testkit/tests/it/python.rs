//! Environments: made once, shared, and never half.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use cloud_testkit::python::environment;
use tempfile::NamedTempFile;

/// A requirements file that no earlier run has seen; what was made of it goes when it is dropped.
struct Requirements {
    file: NamedTempFile,
    name: String,
}

impl Requirements {
    fn new(lines: &str) -> Self {
        let file = NamedTempFile::new().unwrap();
        fs::write(file.path(), lines).unwrap();
        let unique = file.path().file_name().unwrap().to_string_lossy();
        let name = format!("test{unique}");
        Self { file, name }
    }

    fn environment(&self) -> PathBuf {
        environment(&self.name, self.file.path())
    }
}

impl Drop for Requirements {
    fn drop(&mut self) {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python");
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.name) {
                drop(fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path())));
            }
        }
    }
}

#[test]
fn those_who_ask_at_once_get_the_same_environment_and_find_it_complete() {
    let requirements = Requirements::new("");
    let bins: Vec<_> = thread::scope(|scope| {
        let ask = || {
            let bin = requirements.environment();
            assert!(bin.join("python3").exists() && bin.join("pip").exists());
            bin
        };
        let asking: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(bins.iter().all(|bin| *bin == bins[0]));
}

#[test]
fn an_installation_that_fails_says_why_and_is_not_taken_for_complete() {
    let requirements = Requirements::new("ministack==1.5.33\n");
    for _ in 0..2 {
        let panic = catch_unwind(|| requirements.environment()).unwrap_err();
        let words = panic.downcast_ref::<String>().unwrap();
        assert!(words.contains("--hash"), "{words}");
    }
}

#[test]
fn requirements_that_are_missing_are_named() {
    let missing = Path::new("/nonexistent/requirements.txt");
    let panic = catch_unwind(|| environment("test", missing)).unwrap_err();
    let words = panic.downcast_ref::<String>().unwrap();
    assert!(words.contains("/nonexistent/requirements.txt"), "{words}");
}
