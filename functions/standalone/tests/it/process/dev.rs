//! `courier dev` as a newcomer starts it: what its first lines say, and a clock that runs ahead.

use crate::process::program::{Courier, run};

#[tokio::test]
async fn dev_shows_where_everything_is_and_days_pass_in_seconds() {
    let dev = Courier::start(&["dev", "--listen", "127.0.0.1:0", "--speed", "7d/s"], &[]);
    dev.says("signature verified").await;
    dev.says("operation.unknown").await;
    dev.signal("INT").await;
    let ended = dev.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in [
        "console   http://",
        "API       http://",
        "Graph     http://",
        "curl -H 'X-Api-Key: dev'",
        "7 days a second",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {}", ended.stdout);
    }
    assert!(
        !ended.stdout.contains("SIGNATURE WRONG"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn a_speed_that_is_none_is_refused_with_the_form() {
    let ended = run(&["dev", "--speed", "fast"], &[]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("a speed is a number of s, m, h or d for each second"),
        "{}",
        ended.stderr
    );
}
