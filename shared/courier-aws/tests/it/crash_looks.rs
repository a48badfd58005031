//! The functions die where a job whose URL is not known is looked for, and where it is looked at after its success. What
//! came of it is in `docs/crash-matrix.md` too.

use cloud_testkit::function::Function;
use courier_core::engine::crash_points::VARIABLE;
use courier_testkit::crash_matrix::{self, Death, Fate};
use graph_simulator::{Action, Fault, Options};

use crate::crash::{Stage, answered};

const SECTION: &str = "Lambda functions, looking";
/// What the client of the other tests may not ask for.
const OPERATIONS: &str =
    r#"operations = ["ediscovery.exportResult", "team.fromGroup", "user.exportPersonalData", "#;

/// What an operation is, and the writes in which it dies.
struct Look {
    title: &'static str,
    operation: &'static str,
    graph: fn(&mut Options),
    fault: Option<(&'static str, Action)>,
    starts: usize,
    writes: &'static [&'static str],
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_dead_while_a_job_is_looked_for_go_on_as_the_crash_matrix_says() {
    crash_matrix::document(SECTION, &measured().await, false);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes docs/crash-matrix.md"]
async fn writes_the_crash_matrix() {
    crash_matrix::document(SECTION, &measured().await, true);
}

fn looks() -> [Look; 3] {
    [
        Look {
            title: "after a start that Graph accepts without naming the job",
            operation: "ediscovery",
            graph: |options| {
                let (name, variant) = ("ediscovery.exportResult", "no-location+lag=25");
                options.variants.insert(name.to_owned(), variant.to_owned());
            },
            fault: None,
            starts: 1,
            writes: &["locate.write", "look.write"],
        },
        Look {
            title: "after a start that Graph never got",
            operation: "ediscovery",
            graph: |_| {},
            fault: Some(("ediscovery.exportResult.start", Action::LostBefore)),
            starts: 2,
            writes: &["locate.write", "look.write", "restart.write"],
        },
        Look {
            title: "after the success of a job whose work is not seen yet",
            operation: "team",
            graph: |_| {},
            fault: None,
            starts: 1,
            writes: &["stage.write"],
        },
    ]
}

async fn measured() -> String {
    let looks = looks().map(|look| tokio::spawn(async move { look.part().await }));
    let mut text = String::new();
    for look in looks {
        text.push_str(&look.await.unwrap());
    }
    text
}

impl Look {
    /// Dies at every point, and returns the part of the document.
    async fn part(self) -> String {
        let mut stage = Stage::with(self.operation, self.graph).await;
        let config = stage.cloud.config.replacen(
            "operations = [\"user.exportPersonalData\", ",
            OPERATIONS,
            1,
        );
        stage.cloud.replace_secret("courier/config", &config).await;
        let mut rows = String::new();
        for write in self.writes {
            for when in ["before", "after"] {
                let point = format!("{write}.{when}");
                let (asked_again, fate) = self.dies_at(&mut stage, &point).await;
                let must = Fate {
                    requests: 1 + usize::from(asked_again),
                    starts: self.starts,
                    ..Fate::usual()
                };
                assert_eq!(fate, must, "{}: {point}", self.title);
                rows.push_str(&format!("| `{point}` | {fate} |\n"));
            }
        }
        let title = self.title;
        format!("### {title}\n\n| point | result |\n| --- | --- |\n{rows}\n")
    }

    /// The function that passes the point first dies there; reports whether it was the one that the caller had asked.
    async fn dies_at(&self, stage: &mut Stage, point: &str) -> (bool, Fate) {
        stage.at = format!("{} {point}", self.title);
        let (before, mut asked, body) = stage.next();
        let born = stage.cloud.clock.now();
        if let Some((call, action)) = &self.fault {
            stage
                .cloud
                .simulator
                .script(Fault::new(call, action.clone()));
        }
        let start = armed(stage, "start-operation", point);
        let request = stage.post(&start, &body);
        let answer = stage.struck(&start, Death::Kill, point, request).await;
        let asked_again = answer.is_none();
        match answer {
            Some(answer) => {
                answered(&mut asked, &answer);
                let poll = armed(stage, "poll-operation", point);
                let mapping = stage.mapping_of(&poll).await;
                stage.dies(&poll, point, Some(&mapping)).await;
            }
            None => {
                asked.requests += 1;
                answered(&mut asked, &stage.post(&stage.cloud.start, &body).await);
            }
        }
        let lives = vec![(born, stage.cloud.clock.now())];
        (asked_again, stage.end(&before, asked, lives, None).await)
    }
}

fn armed(stage: &Stage, name: &str, point: &str) -> Function {
    let points = format!("{} {point}", Death::Kill.as_str());
    stage.cloud.function_with(name, (VARIABLE, &points))
}
