//! Execution environments: what a function is told, and what becomes of processes.

use std::time::Duration;

use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::function::{Options, Outcome};
use serde_json::json;

use crate::support::{lambda, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_kept_from_one_invocation_to_the_next() {
    let function = lambda(&[], Options::default()).await;
    let first = function.invoke(&json!(["count"])).await.answer();
    let second = function.invoke(&json!(["count"])).await.answer();
    assert_eq!((&first["count"], &second["count"]), (&json!(1), &json!(2)));
    assert_eq!(first["process"], second["process"]);
    let processes = function.processes();
    assert_eq!((processes.len(), processes[0].invocations), (1, 2));
    assert_eq!(first["process"], processes[0].id);
    assert_eq!(processes[0].ended, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_next_invocation_gets_a_new_process() {
    let function = lambda(&[], Options::default()).await;
    assert_eq!(
        function.invoke(&json!(["answer", 1])).await,
        Outcome::Answer(json!(1))
    );
    assert_eq!(function.invoke(&json!(["exit", 3])).await, Outcome::Crashed);
    let count = function.invoke(&json!(["count"])).await.answer();
    assert_eq!(count["count"], 1);
    let ends: Vec<_> = function
        .processes()
        .into_iter()
        .map(|process| process.ended)
        .collect();
    assert_eq!(ends, [Some("exit status: 3".to_owned()), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_takes_too_long_is_killed() {
    let options = Options {
        timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let function = lambda(&[], options).await;
    assert_eq!(function.invoke(&json!(["hang"])).await, Outcome::TimedOut);
    assert_eq!(
        function.processes()[0].ended.as_deref(),
        Some("signal: 9 (SIGKILL)")
    );
    assert_eq!(
        function.invoke(&json!(["count"])).await.answer()["count"],
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_function_reports_is_the_outcome_and_the_process_lives_on() {
    let function = lambda(&[], Options::default()).await;
    let error = Outcome::Error {
        kind: "Broken".to_owned(),
        message: "it is".to_owned(),
    };
    assert_eq!(
        function.invoke(&json!(["fail", "Broken", "it is"])).await,
        error
    );
    let text = Outcome::NotJson("{oops".to_owned());
    assert_eq!(function.invoke(&json!(["raw", "{oops"])).await, text);
    assert_eq!(
        function.invoke(&json!(["raw", ""])).await,
        Outcome::Answer(json!(null))
    );
    assert_eq!(function.processes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_cannot_start_is_tried_anew_with_every_invocation() {
    let function = lambda(&[("INIT", "error")], Options::default()).await;
    let error = Outcome::Error {
        kind: "Init".to_owned(),
        message: "no such queue".to_owned(),
    };
    assert_eq!(function.invoke(&json!(["count"])).await, error);
    assert_eq!(function.invoke(&json!(["count"])).await, error);
    assert_eq!(function.processes().len(), 2);
    let function = lambda(&[("INIT", "exit")], Options::default()).await;
    assert_eq!(function.invoke(&json!(["count"])).await, Outcome::Crashed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_busy_process_can_be_killed_from_outside() {
    let function = lambda(&[], Options::default()).await;
    assert_eq!(function.kill_running().await, 0);
    let hang = json!(["hang"]);
    let (outcome, ()) = tokio::join!(function.invoke(&hang), async {
        until("it is busy", async || function.busy() == 1).await;
        assert_eq!(function.kill_running().await, 1);
    });
    assert_eq!(outcome, Outcome::Crashed);
    assert_eq!(
        function.invoke(&json!(["count"])).await.answer()["count"],
        1
    );
    assert_eq!(
        function.kill_running().await,
        0,
        "an idle process is not busy"
    );
    assert_eq!(function.kill_all().await, 1);
    assert_eq!(
        function.invoke(&json!(["count"])).await.answer()["count"],
        1
    );
    assert_eq!(function.processes().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn invocations_at_once_get_processes_of_their_own_up_to_the_concurrency() {
    let options = Options {
        concurrency: 2,
        ..Options::default()
    };
    let function = lambda(&[], options).await;
    let hang = json!(["hang"]);
    let (hanging, ()) = tokio::join!(function.invoke(&hang), async {
        until("it is busy", async || function.busy() == 1).await;
        let one = function.invoke(&json!(["count"])).await.answer();
        let two = function.invoke(&json!(["count"])).await.answer();
        assert_eq!(
            (&one["process"], &two["count"]),
            (&two["process"], &json!(2))
        );
        assert_eq!(function.processes().len(), 2);
        function.kill_running().await;
    });
    assert_eq!(hanging, Outcome::Crashed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_gets_the_environment_of_lambda_and_nothing_else() {
    let clock = ShiftedClock::new();
    clock.advance(Duration::from_secs(86_400));
    let options = Options {
        name: "poll-operation".to_owned(),
        clock: Some(clock.clone()),
        ..Options::default()
    };
    let variables = [("COURIER_TABLE", "t"), ("AWS_REGION", "eu-central-1")];
    let function = lambda(&variables, options).await;
    let before = clock.now().as_millisecond();
    let world = function
        .invoke_traced(&json!(["world"]), "Root=1-2-3")
        .await
        .answer();
    let after = clock.now().as_millisecond();
    let variables = &world["variables"];
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_NAME"], "poll-operation");
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "256");
    assert_eq!(variables["AWS_LAMBDA_LOG_FORMAT"], "JSON");
    assert_eq!(variables["COURIER_TABLE"], "t");
    assert_eq!(variables["AWS_REGION"], "eu-central-1");
    assert!(variables["CARGO_MANIFEST_DIR"].is_null());
    let headers = &world["headers"];
    assert_eq!(headers["lambda-runtime-trace-id"], "Root=1-2-3");
    assert_eq!(
        headers["lambda-runtime-invoked-function-arn"],
        function.arn()
    );
    let deadline: i64 = headers["lambda-runtime-deadline-ms"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((before + 60_000..=after + 60_000).contains(&deadline));
    let time = function.invoke(&json!(["time"])).await.answer();
    assert!((before..=clock.now().as_millisecond()).contains(&time.as_i64().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_figures_are_kept_for_the_living_and_the_dead() {
    let function = lambda(&[], Options::default()).await;
    function.invoke(&json!(["say", "hello"])).await.answer();
    assert_eq!(
        function.invoke(&json!(["work", 60, 50])).await,
        Outcome::Answer(json!(50 << 20))
    );
    function.invoke(&json!(["exit", 0])).await;
    function.invoke(&json!(["say", "again"])).await.answer();
    until("all is read", async || function.logs().contains("AGAIN")).await;
    let logs = function.logs();
    assert!(
        ["hello", "HELLO", "again"]
            .iter()
            .all(|text| logs.contains(text)),
        "{logs}"
    );
    let processes = function.processes();
    let (dead, living) = (&processes[0], &processes[1]);
    assert!(dead.logs.contains("hello") && living.logs.contains("again"));
    assert!(dead.peak_rss_bytes > (50 << 20), "{dead:?}");
    assert!(
        living.peak_rss_bytes > (1 << 20) && living.peak_rss_bytes < (50 << 20),
        "{living:?}"
    );
    assert!(dead.cpu >= Duration::from_millis(60), "{dead:?}");
    let (init, init_cpu) = (living.init.unwrap(), living.init_cpu.unwrap());
    assert!(
        init_cpu > Duration::ZERO && init >= Duration::from_millis(1),
        "{living:?}"
    );
    assert!(init_cpu <= living.cpu, "{living:?}");
}
