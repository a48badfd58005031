//! The legal clock of an operation from its request to its end: the due date, what is left, extensions, pauses, lists.

use std::time::Duration;

use courier_testkit::world::{Answer, World};
use serde_json::{Value, json};

use crate::api::operations::refused;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Returns an export of one person's data whose request came on 2026-11-13, a Friday, so that it is due on a Monday.
fn export(world: &World) -> Value {
    let mut body = world.export("dsar");
    body["legal"] = json!({
        "regulation": "gdpr",
        "receivedAt": "2026-11-13T23:30:00+01:00",
        "timeZone": "Europe/Berlin",
        "holidays": "de",
    });
    body
}

async fn act(world: &World, id: &str, act: &str, body: &Value) -> Answer {
    let path = format!("/v1/operations/{id}/legal/{act}");
    world.call("POST", &path, &[], body.to_string()).await
}

/// Returns the lines of the history about the clock: event, actor and detail.
async fn lines(world: &World, id: &str) -> Vec<(String, String, String)> {
    let answer = world.get(&format!("/v1/operations/{id}/history")).await;
    let lines = answer.body["history"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = lines.iter().map(|line| {
        (
            text(&line["event"]),
            text(&line["by"]),
            text(&line["detail"]),
        )
    });
    lines
        .filter(|(event, ..)| event.starts_with("legal") || event.starts_with("deadline"))
        .collect()
}

#[tokio::test]
async fn a_clock_warns_three_times_is_extended_and_says_at_the_end_that_the_period_was_met() {
    let world = World::new().await;
    world
        .simulator
        .set_durations(|durations| durations.export_seconds = 24.5 * 24.0 * 3600.0);
    let answer = world.post(&export(&world)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.id();
    let expected = json!({
        "regulation": "gdpr", "receivedAt": "2026-11-13T22:30:00.000Z", "timeZone": "Europe/Berlin",
        "dueOn": "2026-12-14", "dueAt": "2026-12-14T22:59:59.999Z",
        "daysLeft": 23, "atRisk": false, "holidays": "de",
    });
    assert_eq!(answer.body["legal"], expected);
    // 2026-12-06 20:00 UTC: more than a week is left.
    world.advance(15 * DAY).await;
    assert_eq!(lines(&world, &id).await, []);
    for _ in 0..8 {
        world.advance(DAY).await;
    }
    let told: Vec<String> = lines(&world, &id)
        .await
        .into_iter()
        .map(|(event, by, detail)| {
            assert_eq!((event.as_str(), by.as_str()), ("deadlineAtRisk", ""));
            detail.split(": ").nth(1).unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        told,
        [
            "less than 7 days are left",
            "less than 3 days are left",
            "less than 1 day is left"
        ]
    );
    let clock = world.operation(&id).await["legal"].clone();
    assert_eq!(
        (&clock["daysLeft"], &clock["atRisk"]),
        (&json!(0), &json!(true))
    );
    // The last day: the level of one day, and with the next step nothing twice.
    world.advance(Duration::from_secs(3600)).await;
    let before = lines(&world, &id).await.len();
    world.advance(Duration::from_secs(3600)).await;
    assert_eq!(lines(&world, &id).await.len(), before);

    let late = json!({ "reason": "many", "toldAt": "2026-12-15T00:00:00+01:00" });
    let late = act(&world, &id, "extend", &late).await;
    refused(&late, 400, "invalid-request");
    let told = json!({ "reason": "three mailboxes", "toldAt": "2026-12-10T09:00:00+01:00" });
    let extended = act(&world, &id, "extend", &told).await;
    assert_eq!(extended.status, 202, "{extended:?}");
    let clock = &extended.body["legal"];
    assert_eq!(
        (&clock["dueOn"], &clock["atRisk"]),
        (&json!("2027-02-15"), &json!(false))
    );
    let (event, by, detail) = lines(&world, &id).await.pop().unwrap();
    assert_eq!(
        (event.as_str(), by.as_str()),
        ("legalExtended", "client tickets")
    );
    assert!(
        detail.starts_with("due 2027-02-15: 2 months more") && detail.ends_with("three mailboxes"),
        "{detail}"
    );
    refused(&act(&world, &id, "extend", &told).await, 409, "conflict");

    let ended = world.closed(&id).await;
    assert_eq!(ended["status"], "succeeded");
    assert_eq!(ended["legal"]["met"], true);
    assert_eq!(ended["legal"]["daysLeft"], Value::Null);
    let calls = world.receiver.journal();
    let completion: Value = serde_json::from_slice(&calls[0].body).unwrap();
    let short = json!({
        "regulation": "gdpr", "receivedAt": "2026-11-13T22:30:00.000Z", "timeZone": "Europe/Berlin",
        "dueOn": "2027-02-15", "dueAt": "2027-02-15T22:59:59.999Z", "met": true,
    });
    assert_eq!(completion["data"]["legal"], short);
    let stands = act(&world, &id, "pause", &json!({ "reason": "x" })).await;
    refused(&stands, 409, "conflict");
}

#[tokio::test]
async fn a_stopped_clock_warns_of_nothing_and_the_days_of_the_pause_do_not_count() {
    let world = World::new().await;
    world
        .simulator
        .set_durations(|durations| durations.export_seconds = 40.0 * 24.0 * 3600.0);
    let id = world.post(&export(&world)).await.id();
    let asked = json!({ "reason": "which mailbox?", "at": "2026-11-20T09:00:00+01:00" });
    let paused = act(&world, &id, "pause", &asked).await;
    assert_eq!(paused.status, 202, "{paused:?}");
    let clock = &paused.body["legal"];
    assert_eq!(clock["pausedAt"], "2026-11-20T08:00:00.000Z");
    assert!(
        clock["notes"][0]
            .as_str()
            .unwrap()
            .contains("itself has no pause")
    );
    assert_eq!(clock["daysLeft"], Value::Null);
    for _ in 0..23 {
        world.advance(DAY).await;
    }
    assert_eq!(lines(&world, &id).await.len(), 1, "only the pause");
    let resumed = world
        .call(
            "POST",
            &format!("/v1/operations/{id}/legal/resume"),
            &[],
            "",
        )
        .await;
    // From 20 November to 14 December: 24 days more than 13 December.
    assert_eq!(resumed.body["legal"]["dueOn"], "2027-01-06");
    assert_eq!(resumed.body["legal"]["pausedDays"], 24);
    let (event, by, _) = lines(&world, &id).await.pop().unwrap();
    assert_eq!(
        (event.as_str(), by.as_str()),
        ("legalResumed", "client tickets")
    );

    let day = |day: &str| format!("/v1/operations?dueBefore=2027-01-{day}T00:00:00Z");
    let found = |answer: Answer| answer.body["operations"].as_array().unwrap().len();
    assert_eq!(found(world.get(&day("06")).await), 0);
    assert_eq!(found(world.get(&day("07")).await), 1);
    assert_eq!(found(world.get("/v1/operations?sort=due").await), 1);
    for query in [
        "sort=deadline&dueBefore=2027-01-07T00:00:00Z",
        "dueBefore=soon",
    ] {
        let wrong = world.get(&format!("/v1/operations?{query}")).await;
        refused(&wrong, 400, "invalid-query");
    }
    let none = act(
        &world,
        &world.post(&world.goals()).await.id(),
        "resume",
        &json!({}),
    )
    .await;
    refused(&none, 409, "conflict");
}

#[tokio::test]
async fn a_clock_that_is_not_known_or_cannot_be_is_refused_with_its_field_and_rule() {
    let world = World::new().await;
    let told = |legal: Value| {
        let world = &world;
        async move {
            let mut body = world.goals();
            body["legal"] = legal;
            let answer = world.post(&body).await;
            refused(&answer, 400, "invalid-request");
            let errors = answer.body["errors"].as_array().unwrap().clone();
            let one = |error: &Value| {
                format!(
                    "{} {}",
                    error["pointer"].as_str().unwrap(),
                    error["rule"].as_str().unwrap()
                )
            };
            errors.iter().map(one).collect::<Vec<String>>()
        }
    };
    let valid = export(&world)["legal"].take();
    for (field, value, rule) in [
        (
            "regulation",
            json!("hipaa"),
            "must be one of ccpa, gdpr, lgpd, uk-gdpr",
        ),
        (
            "receivedAt",
            json!("2026-11-13"),
            "must be an RFC 3339 time such as 2026-01-31T09:12:00+01:00",
        ),
        (
            "receivedAt",
            json!("2026-11-21T20:05:01Z"),
            "must not lie in the future",
        ),
        (
            "receivedAt",
            json!("2025-11-20T19:59:59Z"),
            "must lie within the last 366 days",
        ),
        (
            "timeZone",
            json!("Europe/Atlantis"),
            "must be an IANA time zone such as Europe/Berlin",
        ),
        ("timeZone", json!(1), "must be a string"),
        (
            "holidays",
            json!("mars"),
            "must be one of at, de, fr, gb-eng",
        ),
        ("country", json!("de"), "is not a known field"),
    ] {
        let mut legal = valid.clone();
        legal[field] = value;
        assert_eq!(told(legal).await, [format!("/legal/{field} {rule}")]);
    }
    let missing =
        ["regulation", "receivedAt", "timeZone"].map(|name| format!("/legal/{name} is required"));
    assert_eq!(told(json!({})).await, missing);

    let key = [("idempotency-key", "k")];
    let first = world.post_with(&key, &export(&world)).await;
    let mut same = export(&world);
    same["legal"]["receivedAt"] = "2026-11-13T22:30:00Z".into();
    assert_eq!(world.post_with(&key, &same).await.id(), first.id());
    same["legal"]["receivedAt"] = "2026-11-13T22:30:01Z".into();
    refused(
        &world.post_with(&key, &same).await,
        422,
        "idempotency-key-reused",
    );
}
