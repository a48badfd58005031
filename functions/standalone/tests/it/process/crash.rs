//! The real program dies at every crash point of every operation, is started again and finishes its work; what came of it
//! is `docs/crash-matrix.md`.

use std::sync::Arc;

use courier_testkit::crash_matrix::{self, Death, Fate, Fates, Host};
use courier_testkit::tenants::OPERATIONS;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::process::crash_run::{Scene, Strike, play};

/// Operations at once.
const AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_at_any_point_it_goes_on_as_the_crash_matrix_says() {
    crash_matrix::document("One machine", &measured().await, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it writes docs/crash-matrix.md"]
async fn writes_the_crash_matrix() {
    crash_matrix::document("One machine", &measured().await, true);
}

async fn measured() -> String {
    let lives = Host::OneMachine.lives();
    let mut scenes = Vec::new();
    for operation in OPERATIONS {
        let clean = Scene {
            operation,
            ..Scene::default()
        };
        let played = play(clean.clone()).await;
        assert_eq!(played.fate, Fate::usual());
        assert_eq!(played.passed.len(), lives.len());
        for (life, passed) in played.passed.iter().enumerate() {
            let points = passed.iter().filter(|point| crash_matrix::is_listed(point));
            for point in points {
                scenes.extend(Death::ALL.map(|death| (life, clean.then(death, point, life))));
            }
        }
    }
    let mut text = String::new();
    for (life, fates) in lives.iter().zip(fates(scenes, lives.len()).await) {
        crash_matrix::compare(&Host::OneMachine.expected(life), &fates);
        text.push_str(&crash_matrix::part(life, &fates));
    }
    text
}

impl Scene {
    /// The same, with one more death, after so many lives.
    pub(crate) fn then(&self, death: Death, point: &str, skip: usize) -> Self {
        let mut scene = self.clone();
        scene.strikes.push(Strike {
            death,
            point: point.to_owned(),
            skip,
        });
        scene
    }
}

/// The fates by life; however a program dies, its operation comes to the same.
async fn fates(scenes: Vec<(usize, Scene)>, lives: usize) -> Vec<Fates> {
    let mut fates = vec![Fates::new(); lives];
    for (life, scene, fate) in play_all(scenes).await {
        let point = scene.strikes[0].point.clone();
        let cell = (point, scene.operation);
        let other = fates[life].entry(cell.clone());
        let other = other.or_insert_with(|| fate.clone());
        assert_eq!(*other, fate, "abort and SIGKILL differ: {cell:?}");
    }
    fates
}

/// Plays all, some at once.
pub(crate) async fn play_all<T: Send + 'static>(scenes: Vec<(T, Scene)>) -> Vec<(T, Scene, Fate)> {
    let allowed = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for (tag, scene) in scenes {
        let allowed = Arc::clone(&allowed);
        playing.spawn(async move {
            let _permit = allowed.acquire().await.unwrap();
            let fate = play(scene.clone()).await.fate;
            (tag, scene, fate)
        });
    }
    playing.join_all().await
}
