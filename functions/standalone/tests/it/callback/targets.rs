//! Services of AWS as targets: two forms of a completion, what their answers mean, and what a request cannot choose.

use std::time::Duration;

use courier_testkit::receiver::Answer;
use courier_testkit::tenants::AWS_KEYS;
use courier_testkit::world::World;
use serde_json::{Value, json};

/// Returns a World whose tickets client has this shipped profile; the history keeps how an answer begins.
async fn world(profile: &str) -> World {
    World::with(|setup| {
        let table = format!(
            r#"[clients.tickets.callback]
profile = "{profile}"
sigv4 = {{}}
[aws]
region = "eu-central-1"
access_key_id = "env:AWS_KEY_ID"
secret_access_key = "env:AWS_KEY"
session_token = "env:AWS_SESSION"
[clients.hr]"#
        );
        let network = "allow_networks = [\"127.0.0.0/8\"]";
        let keeping = format!("{network}\nkeep_answers = true");
        let config = setup.config.replace("[clients.hr]", &table);
        setup.config = config.replace(network, &keeping);
    })
    .await
}

fn saying(status: u16, body: &Value) -> Answer {
    Answer::Status {
        status,
        headers: Vec::new(),
        body: body.to_string().into(),
    }
}

/// Starts another schedule, whose callback has these fields; returns its id.
async fn started(world: &World, callback: Value) -> String {
    let mut body = world.schedule();
    body["parameters"]["teamId"] = json!(uuid::Uuid::new_v4().to_string());
    body["callback"] = callback;
    let answer = world.post(&body).await;
    assert!(answer.status < 300, "{answer:?}");
    answer.id()
}

/// Returns the detail of each attempt.
async fn details(world: &World, id: &str) -> Vec<Value> {
    let answer = world.get(&format!("/v1/operations/{id}/history")).await;
    let history = answer.body["history"].as_array().unwrap().clone();
    let attempts = history
        .into_iter()
        .filter(|line| line["event"] == "callbackAttempt");
    attempts.map(|line| line["detail"].clone()).collect()
}

#[tokio::test]
async fn what_has_not_succeeded_is_told_by_another_call() {
    let token = "canary-callback/token=";
    let path = "/2025-12-01/durable-execution-callbacks/canary-callback%2Ftoken%3D";
    for (profile, call, field) in [
        ("step-functions", "/", "error"),
        ("lambda-durable", &format!("{path}/fail"), "ErrorType"),
    ] {
        let world = world(profile).await;
        world.receiver.answer_otherwise(Answer::status(200));
        world
            .simulator
            .set_durations(|d| d.schedule_seconds = 3600.0);
        let callback = json!({ "url": world.receiver.origin(), "token": token });
        let id = started(&world, callback).await;
        let cancel = format!("/v1/operations/{id}/cancel");
        assert_eq!(world.call("POST", &cancel, &[], "").await.status, 200);
        assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
        let told = world.receiver.journal().remove(0);
        let body: Value = serde_json::from_slice(&told.body).unwrap();
        assert_eq!(
            (told.path.as_str(), &body[field]),
            (call, &json!("cancelled"))
        );
        if profile == "step-functions" {
            let target = told.header("x-amz-target");
            assert_eq!(target, Some("AWSStepFunctions.SendTaskFailure"));
            assert_eq!(body["taskToken"], token);
            let cause: Value = serde_json::from_str(body["cause"].as_str().unwrap()).unwrap();
            assert_eq!(cause["id"], id.as_str());
        }
    }
}

#[tokio::test]
async fn a_200_with_failed_entries_or_without_json_is_tried_again() {
    let world = world("eventbridge\"\ntarget = \"privacy").await;
    let entries =
        |count: u64, entry: Value| json!({ "FailedEntryCount": count, "Entries": [entry] });
    let failed = entries(1, json!({ "ErrorCode": "InternalFailure" }));
    world.receiver.answer_next(saying(200, &failed));
    world.receiver.answer_next(Answer::status(200));
    let taken = entries(0, json!({ "EventId": "1" }));
    world.receiver.answer_otherwise(saying(200, &taken));
    let id = started(&world, json!({ "url": world.receiver.origin() })).await;
    let callback = world.closed(&id).await["callback"].clone();
    assert_eq!(
        (&callback["status"], &callback["attempts"]),
        (&json!("delivered"), &json!(3))
    );
    assert_eq!(
        details(&world, &id).await,
        [
            json!(
                "the answer has 1 at /FailedEntryCount, which is not what success_when says; the receiver names the error InternalFailure"
            ),
            json!("the answer is not JSON that can be read whole, as success_when needs it"),
            Value::Null,
        ]
    );
}

#[tokio::test]
async fn a_task_that_is_over_is_undeliverable_at_once_and_a_throttled_call_is_tried_again() {
    let world = world("step-functions").await;
    let throttled =
        json!({ "__type": "com.amazonaws.swf#ThrottlingException", "message": "Rate exceeded" });
    world.receiver.answer_next(saying(400, &throttled));
    let echo = format!("{} {} {}", AWS_KEYS[0], AWS_KEYS[1], AWS_KEYS[2]);
    let over = json!({ "__type": "TaskTimedOut", "message": echo });
    world.receiver.answer_next(saying(400, &over));
    let callback = json!({ "url": world.receiver.origin(), "token": "canary-callback-token" });
    let id = started(&world, callback).await;
    let closed = world.closed(&id).await["callback"].clone();
    assert_eq!(
        (&closed["status"], &closed["attempts"]),
        (&json!("undeliverable"), &json!(2))
    );
    assert_eq!(
        details(&world, &id).await,
        [
            json!("the receiver names the error ThrottlingException"),
            json!(
                "the receiver names the error TaskTimedOut, after which trying again is of no use"
            ),
        ]
    );
    let redeliver = format!("/v1/operations/{id}/callback/redeliver");
    world.receiver.answer_next(Answer::status(200));
    world.call("POST", &redeliver, &[], "").await;
    assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
}

#[tokio::test]
async fn a_service_that_throttles_is_left_alone_like_a_receiver_that_answers_429() {
    let world = world("step-functions").await;
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let throttled = json!({ "__type": "ThrottlingException" });
    world.receiver.answer_otherwise(saying(400, &throttled));
    for _ in 0..7 {
        let callback = json!({ "url": world.receiver.origin(), "token": "canary-callback-token" });
        started(&world, callback).await;
        world.work().await;
    }
    // The fifth failure in a row opens the circuit breaker.
    assert_eq!(world.receiver.journal().len(), 5);
    world.receiver.answer_otherwise(Answer::status(200));
    world.advance(Duration::from_secs(120)).await;
}

#[tokio::test]
async fn a_request_chooses_neither_what_is_called_on_aws_nor_that_secrets_go_there() {
    let world = world("sqs\"\ntarget = \"https://sqs.example/1/q").await;
    let origin = world.receiver.origin();
    let rule = "must be an origin alone: the callback profile sqs names what is called there";
    let secrets =
        "is not possible with the callback profile sqs: its body has no place for secrets";
    for (callback, pointer, rule) in [
        (
            json!({ "url": format!("{origin}/1/other") }),
            "/callback/url",
            rule,
        ),
        (
            json!({ "url": format!("{origin}/?Action=SendMessage") }),
            "/callback/url",
            rule,
        ),
        (
            json!({ "url": origin, "includeSecrets": true }),
            "/callback/includeSecrets",
            secrets,
        ),
        (
            json!({ "url": origin, "target": "q" }),
            "/callback/target",
            "is not a known field",
        ),
    ] {
        let mut body = world.schedule();
        body["callback"] = callback;
        let refused = world.post(&body).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        let error = json!({ "pointer": pointer, "rule": rule });
        assert_eq!(refused.body["errors"], json!([error]));
    }
}
