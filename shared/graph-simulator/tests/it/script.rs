//! Scripts: what can be written in TOML, and how mistakes are named.

use graph_simulator::{Action, Casing, Fault, Options, Outcome, StatusAction};

use crate::world::*;

const SCRIPT: &str = r#"
client_secret = "s"
refresh_token = "first"
tenants = ["contoso"]
journal_file = "/tmp/journal.jsonl"

[durations]
export_seconds = 3.5
schedule_seconds = 2

[behaviour]
failing = ["833fc4df-c88b-4398-992f-d8afcfe41df2"]

[behaviour.export]
retry_after_start = 1
retry_after_poll = "Wed, 21 Oct 2026 07:28:00 GMT"

[behaviour.goals]
outcome = "endless"
retry_after_poll = false

[behaviour.schedule]
casing = "lower"

[[faults]]
on = "export.start"
action = "lost_after"

[[faults]]
on = "*.poll"
skip = 1
times = 2
path_contains = "dataPolicy"
action.status = { status = 429, retry_after = 2.5 }

[[faults]]
on = "goals.*"
times = 0
action.hang = {}
"#;

#[test]
fn script_sets_everything_it_names_and_nothing_else() {
    let options = Options::from_toml(SCRIPT, still()).unwrap();
    assert_eq!(options.client_secret.as_deref(), Some("s"));
    assert_eq!(options.durations.export_seconds, 3.5);
    assert_eq!(options.durations.goals_seconds, 120.0);
    assert_eq!(
        options.behaviour.export.retry_after_start.as_deref(),
        Some("1")
    );
    assert_eq!(
        options.behaviour.export.retry_after_poll.as_deref(),
        Some("Wed, 21 Oct 2026 07:28:00 GMT")
    );
    assert_eq!(options.behaviour.goals.outcome, Outcome::Endless);
    assert_eq!(options.behaviour.goals.retry_after_poll, None);
    assert!(options.behaviour.goals.envelope);
    assert_eq!(options.behaviour.schedule.casing, Casing::Lower);
    let throttled = StatusAction {
        status: 429,
        retry_after: Some("2.5".to_owned()),
        ..StatusAction::default()
    };
    assert_eq!(
        options.faults,
        [
            Fault::new("export.start", Action::LostAfter),
            Fault::new("*.poll", Action::Status(Box::new(throttled)))
                .skip(1)
                .times(2)
                .path_contains("dataPolicy"),
            Fault::new("goals.*", Action::Hang { processed: false }).times(0),
        ]
    );
}

#[test]
fn every_action_can_be_written() {
    for action in [
        r#"action = "lost_before""#,
        r#"action = "lost_after""#,
        r#"action = "reset_before""#,
        r#"action = "reset_after""#,
        r#"action = "half_body""#,
        r#"action.hang = { processed = true }"#,
        r#"action.delay = { ms = 1 }"#,
        r#"action.drip = { ms_per_byte = 1 }"#,
        r#"action.location = {}"#,
        r#"action.location = { value = "{origin}/x", twice = true }"#,
        r#"action.word = { value = "odd" }"#,
        r#"action.redirect = { status = 302, location = "https://evil.example/" }"#,
        r#"action.retry_after = { value = "soon" }"#,
        r#"action.retry_after = { value = false }"#,
        r#"action.big_body = { bytes = 10 }"#,
        r#"action.status = { status = 504, processed = true, empty = true }"#,
        r#"action.status = { status = 500, code = "x", message = "y", inner_code = "z", html = false }"#,
        r#"action.status = { status = 200, body = "{}" }"#,
    ] {
        let text = format!("[[faults]]\non = \"*\"\n{action}");
        let options = Options::from_toml(&text, still()).unwrap();
        let json = serde_json::to_string(&options.faults).unwrap();
        let again: Vec<Fault> = serde_json::from_str(&json).unwrap();
        assert_eq!(again, options.faults, "{action} does not survive JSON");
    }
}

#[test]
fn mistake_in_a_script_is_named() {
    for (text, named) in [
        ("secret = 1", "secret"),
        ("[durations]\nexport = 1", "export"),
        ("[behaviour]\nexprot = {}", "exprot"),
        ("[behaviour.goals]\nenvelop = true", "envelop"),
        ("[behaviour.goals]\noutcome = \"maybe\"", "maybe"),
        (
            "[behaviour.goals]\nretry_after_poll = true",
            "retry_after_poll",
        ),
        ("[[faults]]\non = \"token\"", "action"),
        (
            "[[faults]]\non = \"tokens\"\naction = \"lost_after\"",
            "tokens",
        ),
        ("[[faults]]\non = \"*\"\naction = \"lost\"", "lost"),
        (
            "[[faults]]\non = \"*\"\ntime = 1\naction = \"lost_after\"",
            "time",
        ),
        (
            "[[faults]]\non = \"*\"\naction.status = { status = 429, retry = 1 }",
            "retry",
        ),
        (
            "[[faults]]\non = \"*\"\naction.status = { status = 99 }",
            "99",
        ),
        (
            "[[faults]]\non = \"*\"\naction.retry_after = { value = \"a\\nb\" }",
            "value",
        ),
    ] {
        let error = Options::from_toml(text, still()).err().unwrap().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}

#[test]
fn the_example_script_is_understood() {
    let text = include_str!("../../script.example.toml");
    let options = Options::from_toml(text, still()).unwrap();
    assert_eq!(options.faults.len(), 4);
    assert_eq!(options.behaviour.failing.len(), 1);
}

/// Whoever starts with the example sees an operation work before one is spoilt.
#[tokio::test]
async fn the_example_script_spoils_no_first_operation() {
    let text = include_str!("../../script.example.toml");
    let example = Options::from_toml(text, still()).unwrap();
    let world = World::with(|options| {
        let location = std::mem::replace(&mut options.behaviour, example.behaviour).location;
        // The client of these tests does not put a relative one together.
        options.behaviour.location = location;
        options.durations = example.durations;
        options.faults = example.faults;
    })
    .await;
    let (application, delegated) = (world.application().await, world.delegated().await);
    let export = world.start_export(&application, "first").await;
    assert_eq!(export.status, 202, "{export:?}");
    let goals = world.start_goals(&delegated).await;
    assert_eq!(goals.status, 201, "{goals:?}");
    assert_eq!(world.put_schedule(&application).await.status, 200);
    world.advance(60);
    let schedule = schedule_path();
    let polls = [
        (export.location(), &application, "/status"),
        (goals.location(), &delegated, "/status"),
        (schedule, &application, "/provisionStatus"),
    ];
    for (path, token, status) in polls {
        // A poll may be refused twice, and say one odd word.
        let mut words = Vec::new();
        for _ in 0..4 {
            let reply = world.get(&path, token).await;
            if reply.status == 200 {
                words.push(reply.string(status).to_ascii_lowercase());
            }
        }
        let last = words.last().map(String::as_str);
        assert!(
            matches!(last, Some("complete" | "succeeded" | "completed")),
            "{path}: {words:?}"
        );
    }
    let journal = world.simulator.journal();
    assert!(journal.iter().all(|entry| entry.status.is_some()));
    // And of the second export the answer is lost.
    let (path, body) = (export_path(), storage("second"));
    let second = world.send(reqwest::Method::POST, &path, &application, Some(&body));
    assert!(second.await.is_err());
}
