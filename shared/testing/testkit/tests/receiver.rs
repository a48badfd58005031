//! The scripted receiver does what its script says: tests of callbacks are only as good as it is.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use courier_testkit::receiver::{Answer, Receiver};
use courier_testkit::sample::at;
use reqwest::{Client, StatusCode};

async fn receiver() -> Receiver {
    Receiver::start(Arc::new(|| at(7))).await.unwrap()
}

fn client() -> Client {
    let redirects = reqwest::redirect::Policy::none();
    Client::builder()
        .no_proxy()
        .redirect(redirects)
        .build()
        .unwrap()
}

#[tokio::test]
async fn callbacks_are_written_down_and_answered_204() {
    let receiver = receiver().await;
    let request = client()
        .post(receiver.url("/hook?a=1"))
        .header("Webhook-Id", "msg_1");
    let answer = request.body("{\"ä\":1}").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let [callback] = &receiver.arrived(1).await[..] else {
        panic!("one came")
    };
    assert_eq!((callback.seq, callback.at), (1, at(7)));
    assert_eq!((&*callback.method, &*callback.path), ("POST", "/hook?a=1"));
    assert_eq!(callback.header("webhook-id"), Some("msg_1"));
    assert_eq!(callback.body, "{\"ä\":1}");
}

#[tokio::test]
async fn answers_follow_the_script_and_then_the_default() {
    let receiver = receiver().await;
    receiver.answer_otherwise(Answer::status(500));
    receiver.answer_next(Answer::retry_after(429, "120"));
    receiver.answer_next(Answer::redirect("http://elsewhere.example/"));
    receiver.answer_next(Answer::status(410));
    assert_eq!(receiver.unused(), 3);
    let post = async || client().post(receiver.url("/")).send().await.unwrap();
    let first = post().await;
    assert_eq!(
        (first.status().as_u16(), &first.headers()["retry-after"]),
        (429, &"120".parse().unwrap())
    );
    let second = post().await;
    assert_eq!(
        (second.status().as_u16(), &second.headers()["location"]),
        (302, &"http://elsewhere.example/".parse().unwrap())
    );
    assert_eq!(post().await.status(), StatusCode::GONE);
    assert_eq!(receiver.unused(), 0);
    assert_eq!(post().await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(receiver.journal().len(), 4);
}

#[tokio::test]
async fn it_can_close_hang_drip_and_flood() {
    let receiver = receiver().await;
    let impatient = || {
        client()
            .post(receiver.url("/"))
            .timeout(Duration::from_millis(200))
    };
    receiver.answer_next(Answer::Close);
    let closed = impatient().send().await.unwrap_err();
    assert!(!closed.is_timeout(), "{closed:?}");
    receiver.answer_next(Answer::Hang);
    assert!(impatient().send().await.unwrap_err().is_timeout());
    receiver.answer_next(Answer::Drip {
        bytes: 3,
        pause: Duration::from_millis(1),
    });
    assert_eq!(
        impatient()
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .len(),
        3
    );
    receiver.answer_next(Answer::Drip {
        bytes: 3,
        pause: Duration::from_secs(3600),
    });
    let dripping = impatient().send().await.unwrap();
    assert!(dripping.bytes().await.unwrap_err().is_timeout());
    receiver.answer_next(Answer::Huge { bytes: 3_000_000 });
    let huge = client().post(receiver.url("/")).send().await.unwrap();
    assert_eq!(huge.bytes().await.unwrap().len(), 3_000_000);
}

#[tokio::test]
async fn the_journal_file_has_a_line_before_there_is_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("journal.jsonl");
    let receiver = Receiver::start_with_journal(Arc::new(|| at(7)), &file)
        .await
        .unwrap();
    for number in 1..=2 {
        client()
            .post(receiver.url("/hook"))
            .body(number.to_string())
            .send()
            .await
            .unwrap();
        let journal = std::fs::read_to_string(&file).unwrap();
        let last: serde_json::Value =
            serde_json::from_str(journal.lines().last().unwrap()).unwrap();
        assert_eq!(journal.lines().count(), number);
        assert_eq!(
            (&last["seq"], &last["body"]),
            (&number.into(), &number.to_string().into())
        );
    }
}
