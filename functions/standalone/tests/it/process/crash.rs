//! The real program dies at every crash point of every operation, is started again and finishes its work; the results
//! are in `docs/crash-matrix.md`.

use std::sync::Arc;

use courier_testkit::crash_matrix::{self, Death, Fate, Fates, Host};
use courier_testkit::tenants::OPERATIONS;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::process::crash_run::{Crash, Scenario, run_scenario};

/// Number of scenarios that run concurrently.
const CONCURRENT_SCENARIOS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_ends_as_the_crash_matrix_says() {
    crash_matrix::document("One machine", &run_matrix().await, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it writes docs/crash-matrix.md"]
async fn writes_the_crash_matrix() {
    crash_matrix::document("One machine", &run_matrix().await, true);
}

async fn run_matrix() -> String {
    let lives = Host::OneMachine.lives();
    let mut scenarios = Vec::new();
    for operation in OPERATIONS {
        let clean = Scenario {
            operation,
            ..Scenario::default()
        };
        let finished = run_scenario(clean.clone()).await;
        assert_eq!(finished.fate, Fate::usual());
        assert_eq!(finished.passed.len(), lives.len());
        for (life, passed) in finished.passed.iter().enumerate() {
            let points = passed.iter().filter(|point| crash_matrix::is_listed(point));
            for point in points {
                scenarios.extend(Death::ALL.map(|death| (life, clean.then(death, point, life))));
            }
        }
    }
    let mut text = String::new();
    for (life, fates) in lives.iter().zip(fates(scenarios, lives.len()).await) {
        crash_matrix::compare(&Host::OneMachine.expected(life), &fates);
        text.push_str(&crash_matrix::part(life, &fates));
    }
    text
}

impl Scenario {
    /// Returns the scenario with one more crash, after the clock has advanced `skip` times.
    pub(crate) fn then(&self, death: Death, point: &str, skip: usize) -> Self {
        let mut scenario = self.clone();
        scenario.crashes.push(Crash {
            death,
            point: point.to_owned(),
            skip,
        });
        scenario
    }
}

/// Runs the scenarios and returns their fates by life, after checking that abort and SIGKILL have the same result.
async fn fates(scenarios: Vec<(usize, Scenario)>, lives: usize) -> Vec<Fates> {
    let mut fates = vec![Fates::new(); lives];
    for (life, scenario, fate) in run_all(scenarios).await {
        let point = scenario.crashes[0].point.clone();
        let cell = (point, scenario.operation);
        let entry = fates[life].entry(cell.clone());
        let other = entry.or_insert_with(|| fate.clone());
        assert_eq!(*other, fate, "abort and SIGKILL differ: {cell:?}");
    }
    fates
}

/// Runs all scenarios, a few at a time.
pub(crate) async fn run_all<T: Send + 'static>(
    scenarios: Vec<(T, Scenario)>,
) -> Vec<(T, Scenario, Fate)> {
    let allowed = Arc::new(Semaphore::new(CONCURRENT_SCENARIOS));
    let mut running = JoinSet::new();
    for (tag, scenario) in scenarios {
        let permits = Arc::clone(&allowed);
        running.spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            let fate = run_scenario(scenario.clone()).await.fate;
            (tag, scenario, fate)
        });
    }
    running.join_all().await
}
