//! Starts that Graph refuses until somebody grants a permission, and requests whose key is free again after a refusal.

use std::time::Duration;

use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::World;
use courier_testkit::world_requests::body;
use graph_simulator::{Action, Fault, StatusAction};
use serde_json::{Value, json};

fn refusal(status: u16, code: &str) -> Action {
    Action::Status(Box::new(StatusAction {
        status,
        code: Some(code.to_owned()),
        ..StatusAction::default()
    }))
}

async fn post(world: &World, body: &Value) -> courier_testkit::world::Answer {
    world
        .post_with(&[("idempotency-key", "ticket-1")], body)
        .await
}

#[tokio::test]
async fn a_start_without_consent_waits_and_goes_on_with_a_new_token_when_it_is_granted() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let denied = refusal(403, "Authorization_RequestDenied");
        let fault = Fault::new(&format!("{operation}.start"), denied).times(6);
        world.simulator.script(fault);
        let answer = world.post(&body(&world, operation)).await;
        assert_eq!(answer.status, 202, "{operation}");
        assert_eq!(answer.body["status"], "accepted", "{operation}");
        assert_eq!(answer.body["reason"], "authorization_lost", "{operation}");
        let history = world
            .get(&format!("/v1/operations/{}/history", answer.id()))
            .await;
        let lines = history.body["history"].as_array().unwrap();
        let noted = lines
            .iter()
            .find(|line| line["event"] == "authorizationLost");
        let detail = noted.unwrap()["detail"].as_str().unwrap();
        assert!(detail.starts_with("needs "), "{detail}");
        assert!(detail.contains("Authorization_RequestDenied"), "{detail}");
        let closed = world.closed(&answer.id()).await;
        assert_eq!(closed["status"], "succeeded", "{operation}");
        assert_eq!(closed["reason"], Value::Null, "{operation}");
        let waits = world.app.metrics.take().authorization_lost;
        assert_eq!(waits, 6, "each refusal is counted");
        let starts = world.simulator.calls(&format!("{operation}.start"));
        assert_eq!(starts.len(), 7, "{operation}");
        assert_ne!(
            starts[0].authorization, starts[6].authorization,
            "a permission granted since is only in a new token"
        );
        assert_eq!(world.simulator.jobs().len(), 1, "{operation}");
    }
}

#[tokio::test]
async fn a_key_whose_start_was_refused_begins_a_new_operation_also_with_corrected_parameters() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let fault = Fault::new(&format!("{operation}.start"), refusal(400, "BadRequest"));
        world.simulator.script(fault.times(2));
        let first_body = body(&world, operation);
        let mut corrected = first_body.clone();
        corrected["callback"]["url"] = world.receiver.url("/corrected").into();
        let first = post(&world, &first_body).await;
        assert_eq!(first.status, 422, "{operation}");
        world.closed(&first.id()).await;
        // The same request again, later than a copy of the first would come: it is a new try, which is refused too.
        world.clock.advance(Duration::from_secs(6));
        let second = post(&world, &first_body).await;
        assert_eq!(second.status, 422, "{operation}");
        assert_ne!(second.id(), first.id(), "{operation}");
        world.closed(&second.id()).await;
        let third = post(&world, &corrected).await;
        assert_eq!(third.status, 202, "{operation}: {:?}", third.body);
        assert_eq!(third.body["previous"], second.id(), "{operation}");
        // From now on the key belongs to the operation that runs.
        let copy = post(&world, &corrected).await;
        assert_eq!(copy.id(), third.id(), "{operation}");
        assert_eq!(copy.header("idempotency-replayed"), Some("true"));
        assert_eq!(post(&world, &first_body).await.status, 422);
        assert_eq!(world.closed(&third.id()).await["status"], "succeeded");
        for refused in [&first, &second] {
            let kept = world.operation(&refused.id()).await;
            assert_eq!(kept["reason"], "start_rejected", "{operation}");
        }
        assert_eq!(world.simulator.jobs().len(), 1, "{operation}");
        let starts = world.simulator.calls(&format!("{operation}.start"));
        assert_eq!(starts.len(), 3, "{operation}");
    }
}

#[tokio::test]
async fn a_key_whose_start_may_have_led_to_a_job_is_not_free() {
    let world = World::new().await;
    world
        .simulator
        .script(Fault::new("export.start", Action::LostAfter));
    let first = post(&world, &world.export("dsar")).await;
    let closed = world.closed(&first.id()).await;
    assert_eq!(closed["reason"], "start_outcome_unknown");
    let again = post(&world, &world.export("dsar")).await;
    assert_eq!(again.id(), first.id());
    assert_eq!(post(&world, &world.export("other")).await.status, 422);
    assert_eq!(world.simulator.calls("export.start").len(), 1);
}

async fn resume(world: &World, id: &str) -> courier_testkit::world::Answer {
    let path = format!("/v1/operations/{id}/resume");
    world.call("POST", &path, &[], "").await
}

#[tokio::test]
async fn an_expired_operation_is_resumed_as_a_new_one_that_follows_the_same_job() {
    for operation in OPERATIONS {
        let world = World::with(|setup| {
            let durations = &mut setup.simulator.durations;
            durations.export_seconds = 20_000.0;
            durations.goals_seconds = 20_000.0;
            durations.schedule_seconds = 3000.0;
        })
        .await;
        let mut body = body(&world, operation);
        body["deadline"] = (world.clock.now() + Duration::from_secs(1000))
            .to_string()
            .into();
        let first = world.post(&body).await;
        let too_early = resume(&world, &first.id()).await;
        assert_eq!((too_early.status, too_early.problem()), (409, "conflict"));
        let expired = world.closed(&first.id()).await;
        assert_eq!(expired["status"], "expired", "{operation}");
        let resumed = resume(&world, &first.id()).await;
        assert_eq!(resumed.status, 202, "{operation}: {:?}", resumed.body);
        assert_eq!(resumed.body["resumedFrom"], first.id(), "{operation}");
        assert_ne!(resumed.id(), first.id(), "{operation}");
        let copy = resume(&world, &first.id()).await;
        assert_eq!(copy.id(), resumed.id(), "{operation}");
        assert_eq!(copy.header("idempotency-replayed"), Some("true"));
        let closed = world.closed(&resumed.id()).await;
        assert_eq!(closed["status"], "succeeded", "{operation}");
        assert_eq!(closed["callback"]["status"], "delivered", "{operation}");
        // The ended operation names the new one, in a further line of its history, and keeps everything else.
        let mut ended = world.operation(&first.id()).await;
        let fields = ended.as_object_mut().unwrap();
        assert_eq!(fields.remove("resumedAs"), Some(json!(resumed.id())));
        assert_ne!(fields["evidence"], expired["evidence"], "{operation}");
        fields["evidence"] = expired["evidence"].clone();
        assert_eq!(ended, expired, "{operation}");
        let events: Vec<Value> = world
            .receiver
            .journal()
            .iter()
            .map(|call| serde_json::from_slice(&call.body).unwrap())
            .collect();
        let kinds: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
        assert_eq!(
            kinds,
            [&json!("operation.expired"), &json!("operation.succeeded")]
        );
        assert_eq!(world.simulator.jobs().len(), 1, "{operation}");
        let after = resume(&world, &resumed.id()).await;
        assert_eq!(after.status, 409, "{operation}");
    }
}
