//! Calls to Graph and to its token endpoint that find no connection: the operation waits and says why.

use std::sync::Arc;

use courier_testkit::receiver::Receiver;
use courier_testkit::world::World;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::callback::logs::Lines;

/// Returns origins that cannot be called, each with the trouble and with whatever keeps it that way.
async fn out_of_reach() -> Vec<(String, &'static str, Option<Receiver>)> {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let plain = Receiver::start(Arc::new(|| Timestamp::UNIX_EPOCH))
        .await
        .unwrap();
    let tls = plain.origin().replace("http://", "https://");
    vec![
        (refused, "no connection: the host refused it", None),
        (tls, "no connection: TLS was not agreed on", Some(plain)),
        (
            "https://graph.invalid".to_owned(),
            "no connection: the host name cannot be resolved",
            None,
        ),
    ]
}

/// Returns the last line of the history, after a start whose calls of `setting` go to `origin`.
async fn last_line(setting: &str, origin: &str) -> (Value, Value) {
    let world = World::with(|setup| {
        let known = format!("{setting} = \"{{graph}}\"");
        assert!(setup.config.contains(&known), "{}", setup.config);
        let other = format!("{setting} = \"{origin}\"");
        setup.config = setup.config.replace(&known, &other);
    })
    .await;
    let answer = world.post(&world.schedule()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let history = world
        .get(&format!("/v1/operations/{}/history", answer.id()))
        .await;
    let lines = history.body["history"].as_array().unwrap().clone();
    (answer.body["reason"].clone(), lines.last().unwrap().clone())
}

#[tokio::test]
async fn a_start_without_a_connection_says_why_in_reason_history_and_log() {
    for (origin, detail, _peer) in out_of_reach().await {
        let (logged, _guard) = Lines::listen();
        let (reason, line) = last_line("base_url", &origin).await;
        assert_eq!(reason, "no_usable_answer", "{origin}");
        assert_eq!(line["event"], "startNotSent", "{origin}");
        assert_eq!(line["detail"], detail, "{origin}");
        let warning = logged.about("gave no usable answer").remove(0);
        assert_eq!(warning["fields"]["detail"], detail, "{warning}");
    }
}

#[tokio::test]
async fn a_token_endpoint_without_a_connection_says_why_in_reason_history_and_log() {
    for (origin, detail, _peer) in out_of_reach().await {
        let (logged, _guard) = Lines::listen();
        let (reason, line) = last_line("login_url", &origin).await;
        assert_eq!(reason, "no_usable_answer", "{origin}");
        assert_eq!(line["event"], "startPostponed", "{origin}");
        let came = format!("no_usable_answer: the token endpoint: {detail}");
        assert_eq!(line["detail"], came, "{origin}");
        let warning = logged.about("the token endpoint did not answer").remove(0);
        assert_eq!(warning["fields"]["error"], detail, "{warning}");
    }
}
