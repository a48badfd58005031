//! The program dies where a job whose URL is not known is looked for, and where it is looked at after its success. The
//! results are in `docs/crash-matrix.md` too.

use courier_testkit::crash_matrix::{self, Death, Fate};
use graph_simulator::{Action, Fault};

use crate::process::crash::run_all;
use crate::process::crash_run::{ANSWERED, Scenario, run_scenario};

const SECTION: &str = "One machine, looking";
const POINTS: [&str; 4] = ["locate.write", "look.write", "restart.write", "stage.write"];

/// What an operation is, and the points that it passes in each of its lives.
struct Look {
    title: &'static str,
    scenario: fn() -> Scenario,
    starts: usize,
    passes: &'static [&'static str],
}

const LOOKS: [Look; 3] = [
    Look {
        title: "after a start that Graph accepts without naming the job",
        scenario: || Scenario {
            operation: "ediscovery",
            variant: Some(("ediscovery.exportResult", "no-location+lag=25")),
            ..Scenario::default()
        },
        starts: 1,
        passes: &["locate.write", "look.write"],
    },
    Look {
        title: "after a start that Graph never got",
        scenario: || Scenario {
            operation: "ediscovery",
            fault: Some(Fault::new(
                "ediscovery.exportResult.start",
                Action::LostBefore,
            )),
            ..Scenario::default()
        },
        starts: 2,
        passes: &["locate.write", "look.write", "restart.write"],
    },
    Look {
        title: "after the success of a job whose work is not seen yet",
        scenario: || Scenario {
            operation: "team",
            ..Scenario::default()
        },
        starts: 1,
        passes: &["stage.write"],
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_while_a_job_is_looked_for_or_followed_ends_as_the_crash_matrix_says() {
    crash_matrix::document(SECTION, &run_matrix().await, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it writes docs/crash-matrix.md"]
async fn writes_the_crash_matrix() {
    crash_matrix::document(SECTION, &run_matrix().await, true);
}

async fn run_matrix() -> String {
    let mut text = String::new();
    for look in &LOOKS {
        text.push_str(&look.part().await);
    }
    text
}

impl Look {
    /// Runs every crash, by abort and by SIGKILL, and returns the part of the document.
    async fn part(&self) -> String {
        let clean = (self.scenario)();
        let base = run_scenario(clean.clone()).await;
        assert_eq!(base.fate, self.must(false), "{}", self.title);
        let mut scenarios = Vec::new();
        let mut labels: Vec<String> = Vec::new();
        for (life, passed) in base.passed.iter().enumerate() {
            let asked = passed.contains(ANSWERED);
            for point in passed.iter().filter(|point| is_listed(point)) {
                let mut label = point.clone();
                while labels.contains(&label) {
                    label.push_str(" again");
                }
                labels.push(label.clone());
                let deaths = Death::ALL.map(|death| {
                    let tag = (label.clone(), asked);
                    (tag, clean.then(death, point, life))
                });
                scenarios.extend(deaths);
            }
        }
        for name in self.passes {
            let point = format!("{name}.before");
            assert!(labels.contains(&point), "{} passes no {name}", self.title);
        }
        let mut rows: Vec<(String, Fate)> = Vec::new();
        for ((label, asked), _, fate) in run_all(scenarios).await {
            assert_eq!(fate, self.must(asked), "{}: {label}", self.title);
            rows.push((label, fate));
        }
        rows.sort_by_key(|(label, _)| labels.iter().position(|other| other == label));
        rows.dedup();
        let rows = rows.iter();
        let rows = rows.map(|(label, fate)| format!("| `{label}` | {fate} |\n"));
        format!(
            "### {}\n\n| point | result |\n| --- | --- |\n{}\n",
            self.title,
            rows.collect::<String>()
        )
    }

    /// Whatever dies, the job is found, or started again only if it is not there.
    fn must(&self, asked_again: bool) -> Fate {
        Fate {
            requests: 1 + usize::from(asked_again),
            starts: self.starts,
            ..Fate::usual()
        }
    }
}

fn is_listed(point: &str) -> bool {
    point
        .rsplit_once('.')
        .is_some_and(|(name, _)| POINTS.contains(&name))
}
