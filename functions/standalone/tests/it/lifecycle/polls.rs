//! What Graph's answer to a poll means, for each operation (`docs/graph-behaviour.md`, Polling).

use std::sync::Arc;
use std::time::Duration;

use courier_testkit::receiver::Receiver;
use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::{Setup, World};
use courier_testkit::world_requests::body;
use graph_simulator::{Action, Casing, Entry, Fault, Progress, StatusAction, Timestamps};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

/// Makes jobs run until a test ends them.
fn endless(setup: &mut Setup) {
    setup.simulator.durations.export_seconds = 9e6;
    setup.simulator.durations.goals_seconds = 9e6;
    setup.simulator.durations.schedule_seconds = 9e6;
    setup.timeouts.graph = Duration::from_millis(250);
}

async fn begin(world: &World, operation: &str) -> String {
    let answer = world.post(&body(world, operation)).await;
    assert_eq!(answer.body["status"], "running", "{operation}: {answer:?}");
    answer.id()
}

fn polls(world: &World, operation: &str) -> Vec<Entry> {
    world.simulator.calls(&format!("{operation}.poll"))
}

fn script(world: &World, operation: &str, action: Action) {
    let fault = Fault::new(&format!("{operation}.poll"), action);
    world.simulator.script(fault);
}

/// Returns the status that Graph reports when the operation's job has succeeded.
fn success(operation: &str) -> &'static str {
    match operation {
        "export" => "complete",
        "goals" => "succeeded",
        _ => "Completed",
    }
}

fn finish(world: &World, operation: &str) {
    let job = world.simulator.jobs().remove(0);
    assert!(world.simulator.finish(&job.id, success(operation)));
}

fn status(change: StatusAction) -> Action {
    Action::Status(Box::new(change))
}

/// Returns answers to a poll that carry no readable job status.
fn answers_without_a_status() -> Vec<Action> {
    let ok = StatusAction {
        status: 200,
        ..StatusAction::default()
    };
    let mut actions = vec![
        status(StatusAction {
            html: true,
            ..ok.clone()
        }),
        status(StatusAction { empty: true, ..ok }),
        Action::BigBody { bytes: 300 * 1024 },
        Action::HalfBody,
        Action::Drip { ms_per_byte: 20 },
        Action::Hang { processed: false },
        Action::LostBefore,
        Action::LostAfter,
        Action::ResetBefore,
        Action::ResetAfter,
    ];
    for text in [
        "[]",
        "{}",
        "null",
        "\"complete\"",
        r#"{"status":null,"value":{"status":null},"provisionStatus":null}"#,
        r#"{"status":7,"value":{"status":7},"provisionStatus":7}"#,
        r#"{"status":{"complete":true},"provisionStatus":["Completed"]}"#,
        r#"{"status":"","value":{"status":""},"provisionStatus":""}"#,
        r#"{"status":"complete","provisionStatus":"Completed","enabled":true"#,
        r#"{"value":[{"status":"succeeded"}]}"#,
    ] {
        actions.push(Action::body(text));
    }
    let codes = [
        204, 202, 302, 304, 400, 405, 408, 409, 412, 423, 429, 500, 501, 502, 503, 504, 507, 509,
    ];
    actions.extend(codes.map(Action::status_only));
    actions
}

#[tokio::test]
async fn an_answer_without_a_readable_status_changes_nothing_but_the_reason() {
    for operation in OPERATIONS {
        let world = World::with(endless).await;
        let id = begin(&world, operation).await;
        let before = world.operation(&id).await["graph"]["status"].clone();
        for (index, action) in answers_without_a_status().into_iter().enumerate() {
            let name = format!("{operation} {action:?}");
            let is_throttled = action == Action::status_only(429);
            script(&world, operation, action);
            world.jump().await;
            assert_eq!(polls(&world, operation).len(), index + 1, "{name}");
            let now = world.operation(&id).await;
            assert_eq!(now["status"], "running", "{name}");
            let reason = ["no_usable_answer", "throttled"][usize::from(is_throttled)];
            assert_eq!(now["reason"], reason, "{name}");
            assert_eq!(now["graph"]["status"], before, "{name}");
        }
        finish(&world, operation);
        let closed = world.closed(&id).await;
        assert_eq!(closed["status"], "succeeded");
        assert_eq!(closed["reason"], Value::Null);
        assert_eq!(world.simulator.jobs().len(), 1);
        assert!(!world.history(&id).await.contains(&"failed".to_owned()));
    }
}

#[tokio::test]
async fn an_unknown_status_never_ends_an_operation() {
    let long = "x".repeat(500);
    for operation in OPERATIONS {
        let world = World::with(endless).await;
        let id = begin(&world, operation).await;
        let foreign = match operation {
            "export" => ["succeeded", "completed", "Completed"],
            "goals" => ["complete", "completed", "partiallySucceeded"],
            _ => ["complete", "succeeded", "Done"],
        };
        let unknown = ["unknownFutureValue", "skipped", "cancelled", "expired"];
        let odd = [" failed", "failed ", "完了", "not\nstarted", long.as_str()];
        for word in unknown.iter().chain(&foreign).chain(&odd) {
            let value = (*word).to_owned();
            script(&world, operation, Action::Word { value });
            world.jump().await;
            let now = world.operation(&id).await;
            assert_eq!(now["status"], "running", "{operation} {word}");
            let shown = now["graph"]["status"].as_str().unwrap();
            assert!(shown.len() <= 64 && !shown.contains('\n'), "{shown}");
            assert_eq!(shown[..3], word.replace('\n', "")[..3], "{operation}");
        }
        finish(&world, operation);
        assert_eq!(world.closed(&id).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn a_terminal_status_ends_the_operation_in_every_casing() {
    for operation in OPERATIONS {
        for (word, outcome) in [(success(operation), "succeeded"), ("failed", "failed")] {
            let title = word[..1].to_uppercase() + &word[1..].to_lowercase();
            for value in [word.to_lowercase(), word.to_uppercase(), title] {
                let world = World::with(endless).await;
                let id = begin(&world, operation).await;
                let name = format!("{operation} {value}");
                script(&world, operation, Action::Word { value });
                let closed = world.closed(&id).await;
                assert_eq!(closed["status"], outcome, "{name}");
                assert_eq!(polls(&world, operation).len(), 1, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_status_may_go_back_and_forth_but_an_outcome_is_final() {
    for operation in OPERATIONS {
        let world = World::with(endless).await;
        let id = begin(&world, operation).await;
        for word in ["running", "notStarted", "running"] {
            let value = word.to_owned();
            script(&world, operation, Action::Word { value });
            world.jump().await;
            let now = world.operation(&id).await;
            assert_eq!(
                (&now["status"], &now["graph"]["status"]),
                (&"running".into(), &word.into()),
                "{operation}"
            );
        }
        let value = success(operation).to_owned();
        script(&world, operation, Action::Word { value });
        let closed = world.closed(&id).await;
        // The job runs on in the simulator, but it is not polled after the operation has ended.
        let polls_before = polls(&world, operation).len();
        world.advance(Duration::from_secs(90_000)).await;
        courier_core::engine::sweep::sweep(&world.app, Timestamp::MAX)
            .await
            .unwrap();
        world.work().await;
        assert_eq!(polls(&world, operation).len(), polls_before, "{operation}");
        assert_eq!(world.operation(&id).await, closed, "{operation}");
    }
}

#[tokio::test]
async fn every_variant_is_read_where_graphs_documentation_contradicts_itself() {
    let changes: [fn(&mut Setup); 7] = [
        |setup| setup.simulator.behaviour.goals.envelope = false,
        |setup| setup.simulator.behaviour.goals.timestamps = Timestamps::Iso,
        |setup| setup.simulator.behaviour.goals.location_quoted = false,
        |setup| setup.simulator.behaviour.schedule.casing = Casing::Camel,
        |setup| setup.simulator.behaviour.schedule.casing = Casing::Lower,
        |setup| setup.simulator.behaviour.export.null_storage_location = true,
        |setup| setup.simulator.durations.not_started_seconds = 80.0,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        for operation in OPERATIONS {
            let world = World::with(change).await;
            let answer = world.post(&body(&world, operation)).await;
            let closed = world.closed(&answer.id()).await;
            assert_eq!(closed["status"], "succeeded", "{operation} {index}");
            assert!(closed["result"].is_object(), "{operation} {index}");
        }
    }
}

#[tokio::test]
async fn an_answer_may_be_large_slow_or_202_and_still_be_read() {
    let accepted = status(StatusAction {
        status: 202,
        processed: true,
        ..StatusAction::default()
    });
    let slow = Action::Drip { ms_per_byte: 1 };
    for action in [accepted, slow, Action::BigBody { bytes: 200 * 1024 }] {
        for operation in OPERATIONS {
            let world = World::with(|setup| {
                endless(setup);
                setup.timeouts.graph = Duration::from_secs(15);
            })
            .await;
            let id = begin(&world, operation).await;
            finish(&world, operation);
            script(&world, operation, action.clone());
            let closed = world.closed(&id).await;
            assert_eq!(closed["status"], "succeeded", "{operation} {action:?}");
            assert_eq!(polls(&world, operation).len(), 1, "{operation} {action:?}");
        }
    }
}

#[tokio::test]
async fn progress_is_a_number_however_graph_writes_it() {
    for (progress, least, most) in [
        (Progress::Percent, 60.0, 80.0),
        (Progress::PercentText, 60.0, 80.0),
        (Progress::Fraction, 0.6, 0.8),
        (Progress::FractionText, 0.6, 0.8),
    ] {
        let world = World::with(|setup| setup.simulator.behaviour.export.progress = progress).await;
        let id = begin(&world, "export").await;
        world.jump().await;
        let shown = world.operation(&id).await["graph"]["progress"].clone();
        let number = shown.as_f64().unwrap_or_else(|| panic!("{shown}"));
        assert!((least..most).contains(&number), "{progress:?}: {number}");
    }
    let world = World::with(endless).await;
    let id = begin(&world, "export").await;
    for progress in ["\"much\"", "\"NaN\"", "\"inf\"", "true", "[1]", "null"] {
        let text = format!(r#"{{"status":"running","progress":{progress}}}"#);
        script(&world, "export", Action::body(&text));
        world.jump().await;
        let graph = world.operation(&id).await["graph"].clone();
        assert_eq!(
            (&graph["status"], &graph["progress"]),
            (&"running".into(), &Value::Null),
            "{progress}"
        );
    }
}

fn http_date(time: Timestamp) -> String {
    let time = time.to_zoned(TimeZone::UTC);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test]
async fn a_poll_comes_not_before_retry_after_and_not_much_later() {
    // `None` stands for the first pause of the catalogue.
    let cases = [
        (Some("200"), 200_000),
        (Some("90.1280"), 90_128),
        (Some("date"), 300_000),
        (None, 0),
    ];
    for operation in OPERATIONS {
        let first = if operation == "schedule" {
            10_000
        } else {
            60_000
        };
        for (value, least) in cases {
            for code in [429, 503, 200] {
                // A poll that was answered 503 is repeated sooner than one that saw a running job.
                let own = if code == 503 {
                    first.min(30_000)
                } else {
                    first
                };
                let least = Duration::from_millis(value.map_or(own, |_| least));
                let world = World::with(endless).await;
                begin(&world, operation).await;
                let due = world.database.next_due().unwrap();
                let value = value.map(|text| match text {
                    "date" => http_date(due + least),
                    text => text.to_owned(),
                });
                let name = format!("{operation} {code} {value:?}");
                let action = match code {
                    200 => Action::RetryAfter { value },
                    _ => Action::throttled(code, value.as_deref()),
                };
                script(&world, operation, action);
                world.jump().await;
                world.advance(least - Duration::from_millis(1)).await;
                assert_eq!(polls(&world, operation).len(), 1, "{name}");
                world.jump().await;
                let polls = polls(&world, operation);
                let pause = polls[1].at.duration_since(polls[0].at).as_secs_f64();
                // After a Retry-After longer than the catalogue's pause, polls are spread over one such pause.
                let own = Duration::from_millis(first);
                let spread = if least > own || code == 429 {
                    own
                } else {
                    least / 10
                };
                let most = (least + spread).as_secs_f64() + 0.01;
                assert!(pause <= most, "{name}: {pause}");
            }
        }
    }
}

#[tokio::test]
async fn a_pause_of_days_is_honoured_and_one_of_years_ends_six_hours_after_the_deadline() {
    for operation in ["export", "schedule"] {
        for seconds in [3 * 86_400, 10 * 365 * 86_400] {
            for code in [429, 503, 200] {
                let name = format!("{operation} {seconds} {code}");
                let world = World::with(endless).await;
                let id = begin(&world, operation).await;
                let value = Some(seconds.to_string());
                let action = match code {
                    200 => Action::RetryAfter { value },
                    _ => Action::throttled(code, value.as_deref()),
                };
                script(&world, operation, action);
                world.jump().await;
                finish(&world, operation);
                let deadline = world.operation(&id).await["deadline"].clone();
                let deadline: Timestamp = deadline.as_str().unwrap().parse().unwrap();
                assert_eq!(world.closed(&id).await["status"], "succeeded", "{name}");
                let polls = polls(&world, operation);
                let allowed = polls[0].at + Duration::from_secs(seconds);
                let second = polls[1].at;
                assert!(second >= allowed.min(deadline), "{name}: {second}");
                let latest = deadline + Duration::from_secs(6 * 3600 + 1);
                assert!(second <= latest, "{name}: {second}");
            }
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_target_sees_no_token() {
    for operation in OPERATIONS {
        let world = World::with(endless).await;
        let clock = world.clock.clone();
        let foreign = Receiver::start(Arc::new(move || clock.now()))
            .await
            .unwrap();
        let id = begin(&world, operation).await;
        for status in [301, 302, 303, 307, 308] {
            let location = foreign.url("/v1.0/steal");
            script(&world, operation, Action::Redirect { status, location });
            world.jump().await;
            assert_eq!(world.operation(&id).await["status"], "running");
        }
        assert!(foreign.journal().is_empty(), "{operation}");
        assert!(world.simulator.calls("other").is_empty(), "{operation}");
        finish(&world, operation);
        assert_eq!(world.closed(&id).await["status"], "succeeded");
    }
}
