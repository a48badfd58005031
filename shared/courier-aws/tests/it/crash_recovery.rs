//! The functions die while they recover: where a poll message was never sent, where the caller has given up, and where the
//! queue has lost a message. What came of it is in `docs/crash-matrix.md` too.

use std::time::Duration;

use cloud_testkit::function::{Function, Outcome};
use cloud_testkit::mapping::Mapping;
use courier_core::engine::crash_points::VARIABLE;
use courier_testkit::crash_matrix::{self, Death, Fate, Fates};
use courier_testkit::tenants::OPERATIONS;
use serde_json::json;

use crate::crash::{LATER, LOOKS, Stage, answered};

const SECTION: &str = "Lambda functions, recovering";
/// An open record so much overdue has lost its message (`courier_core::engine::sweep`), and a little more.
const OVERDUE: Duration = Duration::from_secs(700);

/// What happened before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The request died before the poll message was sent: the watchdog takes the operation over.
    Unsent,
    /// The request died once the record was there, and the caller asked again only when all was over.
    GivenUp,
    /// The queue has lost what it had.
    Lost,
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_dead_while_they_recover_go_on_as_the_crash_matrix_says() {
    crash_matrix::document(SECTION, &measured().await, false);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes docs/crash-matrix.md"]
async fn writes_the_crash_matrix() {
    crash_matrix::document(SECTION, &measured().await, true);
}

async fn measured() -> String {
    let mut text = String::new();
    let troubles = [
        (
            "after a death before the poll message was sent",
            Trouble::Unsent,
            ["take-over.send"].as_slice(),
        ),
        (
            "after a death before the watchdog was sent, the caller gone",
            Trouble::GivenUp,
            &["due.write", "watchdog.send"],
        ),
        (
            "after the queue has lost a message",
            Trouble::Lost,
            &["due.write", "anew.send"],
        ),
    ];
    let operations = OPERATIONS.map(|operation| {
        tokio::spawn(async move {
            let mut stage = Stage::new(operation).await;
            let mut fates = Vec::new();
            for (_, trouble, names) in troubles {
                let mut these = Fates::new();
                for name in names {
                    for when in ["before", "after"] {
                        let point = format!("{name}.{when}");
                        let fate = stage.recovers(trouble, &point).await;
                        these.insert((point, operation), fate);
                    }
                }
                fates.push(these);
            }
            fates
        })
    });
    let mut all = vec![Fates::new(); troubles.len()];
    for operation in operations {
        for (fates, more) in all.iter_mut().zip(operation.await.unwrap()) {
            fates.extend(more);
        }
    }
    for ((title, trouble, _), fates) in troubles.iter().zip(&all) {
        let requests = if *trouble == Trouble::Lost { 1 } else { 2 };
        let usual = Fate {
            requests,
            ..Fate::usual()
        };
        assert!(fates.values().all(|fate| *fate == usual), "{fates:#?}");
        text.push_str(&crash_matrix::part(title, fates));
    }
    text
}

impl Stage {
    /// The function that recovers dies at this point.
    async fn recovers(&mut self, trouble: Trouble, point: &str) -> Fate {
        self.at = format!("{trouble:?} {point}");
        let (before, mut asked, body) = self.next();
        let born = self.cloud.clock.now();
        let dies_at = match trouble {
            Trouble::Unsent => "poll-message.send.before",
            Trouble::GivenUp => "record.insert.after",
            Trouble::Lost => "never",
        };
        let start = self.armed("start-operation", Death::Abort, dies_at);
        let request = self.post(&start, &body);
        match self.struck(&start, Death::Abort, dies_at, request).await {
            Some(answer) => answered(&mut asked, &answer),
            None => asked.requests += 1,
        }
        if trouble == Trouble::Unsent {
            answered(&mut asked, &self.post(&self.cloud.start, &body).await);
            let poll = self.armed("poll-operation", Death::Kill, point);
            let mapping = self.mapping_of(&poll).await;
            self.dies(&poll, point, Some(&mapping)).await;
        } else {
            if trouble == Trouble::Lost {
                // All are visible now.
                self.wait(Duration::from_secs(90));
                let (ministack, queue) = (&self.cloud.ministack, &self.cloud.queue_url);
                for message in ministack.receive(queue).await {
                    ministack.delete(queue, &message.receipt_handle).await;
                }
            }
            self.wait(OVERDUE);
            let sweep = self.armed("sweep-operations", Death::Kill, point);
            self.dies(&sweep, point, None).await;
            // The next sweeps; the first of them may come before the record is overdue again.
            for _ in 0..3 {
                let swept = self.cloud.sweep.invoke(&json!({})).await;
                assert!(matches!(swept, Outcome::Answer(_)), "{swept:?}");
                self.wait(OVERDUE / 2);
                self.mapping.drain().await;
            }
        }
        if trouble == Trouble::GivenUp {
            answered(&mut asked, &self.post(&self.cloud.start, &body).await);
        }
        let lives = vec![(born, self.cloud.clock.now())];
        self.end(&before, asked, lives, None).await
    }

    fn armed(&self, name: &str, death: Death, point: &str) -> Function {
        let points = format!("{} {point}", death.as_str());
        self.cloud.function_with(name, (VARIABLE, &points))
    }

    /// It works again and again, while time passes, until it has died.
    pub(crate) async fn dies(&self, armed: &Function, point: &str, mapping: Option<&Mapping>) {
        let work = async || match mapping {
            Some(mapping) => drop(mapping.drain().await),
            None => drop(armed.invoke(&json!({})).await),
        };
        for _ in 0..LOOKS {
            let worked = self.struck(armed, Death::Kill, point, work());
            if worked.await.is_none() {
                return;
            }
            self.wait(LATER);
        }
        panic!("{point} was not passed");
    }
}
