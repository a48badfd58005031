//! The test Lambda, and waiting for a condition.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cloud_testkit::function::{Function, Options};
use cloud_testkit::python;
use tokio::time::{Instant, interval};

/// What a machine that compiles something else meanwhile may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The function of `lambda.py`.
pub(crate) async fn lambda(variables: &[(&str, &str)], options: Options) -> Function {
    let bin = tokio::task::spawn_blocking(python::ministack).await;
    let script = script().to_string_lossy().into_owned();
    let options = Options {
        arguments: vec![script],
        ..options
    };
    Function::start(&bin.unwrap().join("python3"), variables, options)
}

pub(crate) fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/lambda.py")
}

/// Looks every few milliseconds until `reached`.
pub(crate) async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let (started, mut tick) = (Instant::now(), interval(Duration::from_millis(5)));
    while !reached().await {
        assert!(started.elapsed() < PATIENCE, "in vain: {what}");
        tick.tick().await;
    }
}
