//! `courier listen` and `courier trigger`: the one verifies what the other has signed, and says why where it cannot.

use courier_testkit::world::SIGNING_SECRETS;

use crate::process::deployment::file;
use crate::process::program::{Courier, Ended, run};

/// Starts a listener at any port; returns it with its URL.
async fn listen(arguments: &[&str]) -> (Courier, String) {
    let arguments = [&["listen", "--listen=127.0.0.1:0"], arguments].concat();
    let listener = Courier::start(&arguments, &[]);
    let line = listener.says("listening at ").await;
    let url = line
        .split(' ')
        .find(|word| word.starts_with("http://"))
        .unwrap();
    let url = format!("{}/hooks", url.trim_end_matches(','));
    (listener, url)
}

async fn trigger(url: &str, arguments: &[&str]) -> Ended {
    run(&[&["trigger", "failed", url], arguments].concat(), &[]).await
}

#[tokio::test]
async fn an_example_is_verified_and_a_wrong_secret_is_told_on_both_sides() {
    let (listener, url) = listen(&["--fail", "503x1"]).await;
    let busy = trigger(&url, &[]).await;
    assert_eq!(busy.code, Some(1), "{busy:?}");
    assert!(busy.stdout.contains("not taken: answered 503"), "{busy:?}");
    let taken = trigger(&url, &["--reference", "T-7"]).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    assert!(
        taken.stderr.contains("whsec_"),
        "the development secret is printed"
    );
    listener.says("operation.failed  team.schedule  T-7").await;
    listener.says("signature verified, answered 204").await;

    // A secret that was named on purpose is used, and never printed.
    let named = trigger(&url, &["--secret-env", "SIGNING_NEW"]).await;
    assert_eq!(named.code, Some(1), "{named:?}");
    let said = format!("{}{}", named.stdout, named.stderr);
    assert!(
        !said.contains(SIGNING_SECRETS[0]) && !said.contains("whsec_"),
        "{named:?}"
    );
    listener.says("the secret is another one").await;
    listener.signal("TERM").await;
    assert_eq!(listener.ended().await.code, Some(0));

    let directory = tempfile::tempdir().unwrap();
    let secret = file(directory.path(), "secret", SIGNING_SECRETS[0]);
    let (listener, url) = listen(&["--secret-file", &secret, "--json"]).await;
    let taken = trigger(&url, &["--secret-env", "SIGNING_NEW"]).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    let line = listener.says("\"verified\":true").await;
    assert!(line.contains("\"answered\":204"), "{line}");
}

#[tokio::test]
async fn a_verified_callback_is_passed_on_and_its_answer_comes_back() {
    let (inner, inner_url) = listen(&["--fail", "410"]).await;
    let (outer, url) = listen(&["--forward", &inner_url]).await;
    let passed = trigger(&url, &[]).await;
    assert!(passed.stdout.contains("answered 410"), "{passed:?}");
    inner.says("answered 410 (--fail)").await;
    outer.says("answered 410 (the answer of --forward)").await;
    // What cannot be verified is not passed on.
    let refused = trigger(&url, &["--secret-env", "SIGNING_NEW"]).await;
    assert!(refused.stdout.contains("answered 401"), "{refused:?}");
    inner.signal("TERM").await;
    let seen = inner.ended().await;
    assert_eq!(seen.stdout.matches("POST").count(), 1, "{seen:?}");
}
