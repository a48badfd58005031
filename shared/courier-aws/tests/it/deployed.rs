//! The template, built and deployed as a user would, on MiniStack with its signatures and permissions checked.

mod commands;
mod stack;

use std::time::Duration;

use courier_testkit::tenants::{
    self, CALLBACK_TOKEN, GRAPH_SECRET, REFRESH_TOKEN, SAS_SIGNATURE, SEAL_KEY, SIGNING_SECRETS,
    TICKETS_KEY,
};
use serde_json::{Value, json};
use stack::{Door, Stack};

use crate::binaries::{binary, root};

/// One stack, because to make it takes longer than all that is asked of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_deployed_stack_does_what_the_readme_says() {
    let stack = Stack::deploy().await;
    strangers_are_turned_away(&stack).await;
    each_operation_ends_in_a_signed_callback(&stack).await;
    an_event_in_the_intake_queue_begins_an_operation(&stack).await;
    the_schedule_finds_nothing_overdue(&stack).await;
    without_the_queue_graph_is_not_asked(&stack).await;
    the_logs_tell_metrics_and_no_secrets(&stack).await;
    an_unreadable_message_ends_in_the_dead_letter_queue(&stack).await;
    a_url_without_a_cap_is_refused(&stack);
    replaced_code_has_the_old_settings(&stack).await;
    stack.check();
}

async fn strangers_are_turned_away(stack: &Stack) {
    for door in [Door::HttpApi, Door::FunctionUrl] {
        let answer = stack.get(door, "/healthz", None).await;
        assert_eq!(answer.status, 200, "{door:?} {answer:?}");
        for key in [None, Some("wrong-key")] {
            let answer = stack.get(door, "/v1/operations", key).await;
            assert_eq!(answer.status, 401, "{door:?} {answer:?}");
            assert_eq!(answer.kind, "application/problem+json");
        }
    }
    // The HTTP API has no such route; behind the URL the program says so itself.
    for door in [Door::HttpApi, Door::FunctionUrl] {
        let answer = stack.get(door, "/v2/operations", None).await;
        assert_eq!(answer.status, 404, "{door:?} {answer:?}");
    }
}

async fn each_operation_ends_in_a_signed_callback(stack: &Stack) {
    let receiver = &stack.receiver;
    let export = |container: &str| {
        let user = "6e7b768e-07e2-4810-8459-485f84f8f204";
        tenants::export(receiver, user, container)
    };
    let goals = tenants::goals(
        receiver,
        "94a356ab-53d5-40e7-8a85-053d6d3b9eb3",
        "e5e7a3c1-8cdf-409d-9ce9-ff730d65d95e",
    );
    let schedule = tenants::schedule(receiver, "871dbd5c-3a6a-4392-bfe1-042452793a50");
    let mut ids = Vec::new();
    for (door, key, body) in [
        (Door::HttpApi, "export", export("dsar")),
        (Door::HttpApi, "goals", goals),
        (Door::HttpApi, "schedule", schedule),
        (Door::FunctionUrl, "by-url", export("dsar-by-url")),
    ] {
        let answer = stack.post(door, key, &body).await;
        assert_eq!(answer.status, 202, "{key}: {answer:?}");
        ids.push(answer.body["id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        let operation = stack.closed(id).await;
        assert_eq!(operation["status"], "succeeded", "{operation}");
        assert_eq!(operation["callback"]["status"], "delivered", "{operation}");
    }
    assert_eq!(receiver.journal().len(), ids.len());
    let list = stack
        .get(Door::HttpApi, "/v1/operations", Some(TICKETS_KEY))
        .await;
    assert_eq!(list.status, 200, "{list:?}");
    let listed = list.body["operations"].as_array().map(Vec::len);
    assert_eq!(listed, Some(ids.len()), "{list:?}");
}

/// By the queue, the event source mapping, the function and the permissions of the template, switched on by `WithIntake`.
async fn an_event_in_the_intake_queue_begins_an_operation(stack: &Stack) {
    let begun = stack.simulator.calls("schedule.start").len();
    let event = std::fs::read_to_string(root().join("events/intake-cloudevent.json")).unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    let body = event["Records"][0]["body"].as_str().unwrap();
    let queue = stack.output("IntakeQueueUrl");
    let ministack = &stack.ministack;
    ministack.send(queue, body).await;
    stack
        .eventually("the event began no operation", async || {
            stack.simulator.calls("schedule.start").len() > begun
        })
        .await;
    stack
        .eventually("the event was not deleted", async || {
            let depth = ministack.depth(queue).await;
            depth.visible + depth.in_flight + depth.delayed == 0
        })
        .await;
    let dead = ministack
        .depth(stack.output("IntakeDeadLetterQueueUrl"))
        .await;
    assert_eq!(dead.visible, 0);
}

async fn the_schedule_finds_nothing_overdue(stack: &Stack) {
    let event = std::fs::read_to_string(root().join("events/schedule.json")).unwrap();
    let answer = stack.invoke("SweepFunction", event).await;
    assert_eq!(answer, json!({ "overdue": 0 }));
}

/// What was answered 503 may be asked for again, and goes on where it was.
async fn without_the_queue_graph_is_not_asked(stack: &Stack) {
    let body = tenants::schedule(&stack.receiver, "00000000-3a6a-4392-bfe1-042452793a50");
    let asked = stack.simulator.journal().len();
    let policy = stack.start_policy();
    let mut less = policy.clone();
    let statements = less["Statement"].as_array_mut().unwrap();
    statements.retain(|statement| statement["Action"] != "sqs:SendMessage");
    assert_ne!(less, policy);
    stack.put_start_policy(&less);
    for _ in 0..2 {
        let answer = stack.post(Door::HttpApi, "no-queue", &body).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.kind, "application/problem+json");
    }
    assert_eq!(stack.simulator.journal().len(), asked, "Graph was asked");
    stack.put_start_policy(&policy);
    let answer = stack.post(Door::HttpApi, "no-queue", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    // The watchdog starts it, when the first request can no longer be at it.
    stack.clock.advance(Duration::from_secs(90));
    let operation = stack.closed(answer.body["id"].as_str().unwrap()).await;
    assert_eq!(operation["status"], "succeeded", "{operation}");
}

async fn the_logs_tell_metrics_and_no_secrets(stack: &Stack) {
    let table = format!("\"Table\":\"{}\"", stack.output("TableName"));
    for (group, metric) in [
        ("StartLogGroup", "\"Started\":1"),
        ("PollLogGroup", "\"Outcome\":\"succeeded\""),
    ] {
        let log = stack.log(group).await;
        let reported = |line: &String| line.contains(metric) && line.contains(&table);
        assert!(log.iter().any(reported), "no {metric} in {log:#?}");
        for canary in [
            GRAPH_SECRET,
            REFRESH_TOKEN,
            SAS_SIGNATURE,
            CALLBACK_TOKEN,
            SIGNING_SECRETS[0],
            SEAL_KEY,
            TICKETS_KEY,
        ] {
            let logged = log.iter().find(|line| line.contains(canary));
            assert_eq!(logged, None, "{canary} was logged");
        }
    }
}

async fn an_unreadable_message_ends_in_the_dead_letter_queue(stack: &Stack) {
    let (queue, dead) = (stack.output("QueueUrl"), stack.output("DeadLetterQueueUrl"));
    let ministack = &stack.ministack;
    let cut_off = r#"{"type":"PollV1","operationId":"op_9f2b6c1"#;
    ministack.send(queue, cut_off).await;
    // It is looked at five times, a minute apart.
    stack
        .eventually(
            "the message did not reach the dead-letter queue",
            async || {
                stack.clock.advance(Duration::from_secs(10));
                ministack.depth(dead).await.visible == 1
            },
        )
        .await;
    let dead_letters = ministack.receive(dead).await;
    assert_eq!(dead_letters[0].body, cut_off);
    let log = stack.log("PollLogGroup").await;
    let tries = log.iter().filter(|line| line.contains("cannot be read"));
    assert_eq!(tries.count(), 4, "{log:#?}");
    stack
        .eventually("something is left in the queue", async || {
            let depth = ministack.depth(queue).await;
            depth.visible + depth.in_flight + depth.delayed == 0
        })
        .await;
}

fn a_url_without_a_cap_is_refused(stack: &Stack) {
    let said = stack.refused("StartReservedConcurrency", "0");
    assert!(said.contains("a function URL has no throttle"), "{said}");
}

async fn replaced_code_has_the_old_settings(stack: &Stack) {
    let before = stack.settings("PollFunction");
    stack.replace_code("PollFunction", &binary("poll-operation"));
    let after = stack.settings("PollFunction");
    let code = |settings: &Value| settings["CodeSha256"].clone();
    assert_ne!(code(&after), code(&before), "the code was not replaced");
    for setting in [
        "Environment",
        "KMSKeyArn",
        "LoggingConfig",
        "MemorySize",
        "Role",
        "Timeout",
    ] {
        assert_eq!(after[setting], before[setting], "{setting}");
    }
    let body = tenants::schedule(&stack.receiver, "11111111-3a6a-4392-bfe1-042452793a50");
    let answer = stack.post(Door::HttpApi, "replaced", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let operation = stack.closed(answer.body["id"].as_str().unwrap()).await;
    assert_eq!(operation["status"], "succeeded", "{operation}");
}
