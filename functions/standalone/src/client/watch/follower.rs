//! Asks about one operation until it has ended, as often as the server suggests and no more.

use std::sync::Arc;
use std::time::Duration;

use courier_core::outbound::retry_after;
use http::{HeaderMap, StatusCode, header};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::client::connection::{Call, Connection};
use crate::client::document::Standing;
use crate::client::refusal::Failure;
use crate::client::show::{entries, path};
use crate::client::watch::News;
use crate::terminal::span;

/// The shortest and longest time for which the server is asked to hold its answer; it holds it 25 seconds at most.
const LEAST_HOLD: Duration = Duration::from_secs(2);
const LONGEST_HOLD: Duration = Duration::from_secs(20);
/// The pause where the server suggests none.
const DEFAULT_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between two requests, whatever the server suggests: a person may be looking.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Time after which a server that does not answer is given up.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest pause between two tries to reach a server.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

pub(super) struct Follower {
    pub(super) connection: Connection,
    pub(super) id: String,
    pub(super) index: usize,
    /// The server may hold its answers until the operation has ended.
    pub(super) holds: bool,
    /// The shortest pause between two requests that are not held.
    pub(super) least_pause: Duration,
    pub(super) with_history: bool,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Limits how many requests are under way for all operations together.
    pub(super) places: Arc<Semaphore>,
}

/// The trouble with the server that goes on.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    pause: Duration,
}

impl Follower {
    pub(super) async fn run(self) {
        let mut etag: Option<String> = None;
        let mut hold: Option<Duration> = None;
        let mut news = DEFAULT_PAUSE;
        let mut trouble = Trouble::default();
        loop {
            let answer = self.ask(hold, etag.as_deref()).await;
            let headers = match answer {
                Ok((headers, operation)) => {
                    if trouble.since.take().is_some() {
                        self.tell(News::Recovered);
                    }
                    if let Some(operation) = operation {
                        let is_open = Standing::of(&operation) == Standing::Open;
                        self.tell(News::Operation(self.index, operation));
                        self.tell_history().await;
                        if !is_open {
                            return;
                        }
                    }
                    headers
                }
                Err(failure) => match trouble.meets(&failure) {
                    Some(pause) => {
                        self.tell(News::Trouble(format!(
                            "{}; trying again in {}",
                            failure.name(),
                            span(pause)
                        )));
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                    None => {
                        self.tell(News::Failed(self.index, failure));
                        return;
                    }
                },
            };
            let tag = headers.get(header::ETAG);
            etag = tag.and_then(|tag| Some(tag.to_str().ok()?.to_owned()));
            // An answer that says only that nothing has changed may leave the suggestion out.
            news = self.suggested(&headers).unwrap_or(news);
            let held = headers.contains_key("preference-applied");
            let mut pause = self.pause(news, held, hold.is_none());
            if let Some(soon) = self.connection.clock.measured_after() {
                // What the server suggests may be over in a moment, by its clock.
                pause = pause.min(soon.max(self.least_pause));
            }
            hold = self.holds.then(|| news.clamp(LEAST_HOLD, LONGEST_HOLD));
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks once; the operation is `None` if it is as before.
    async fn ask(
        &self,
        hold: Option<Duration>,
        etag: Option<&str>,
    ) -> Result<(HeaderMap, Option<serde_json::Value>), Failure> {
        let Ok(_place) = self.places.acquire().await else {
            return Err(Failure::NoAnswer("watching is over".to_owned()));
        };
        let mut call = Call::get(path(&self.id));
        if let Some(hold) = hold {
            // A held answer is wanted whether or not something has changed, so it goes without the tag.
            call = call.wait(hold.as_secs());
        } else if let Some(etag) = etag {
            call = call.header(header::IF_NONE_MATCH, etag);
        }
        let answer = self.connection.send(&call).await?;
        let operation = match answer.status {
            StatusCode::NOT_MODIFIED => None,
            _ => Some(answer.operation()?),
        };
        Ok((answer.headers, operation))
    }

    /// Returns when the server expects news. It counts by its clock, and pauses are made by ours.
    fn suggested(&self, headers: &HeaderMap) -> Option<Duration> {
        let clock = &self.connection.clock;
        let (asked, date) = (headers.get("retry-after"), headers.get("date"));
        let pause = retry_after::parse(asked, date, clock.now())?;
        Some(clock.here(pause))
    }

    /// Returns the pause before the next request.
    ///
    /// An answer that is held until there may be news is a pause of itself, and comes as soon as there is an end.
    fn pause(&self, news: Duration, held: bool, is_first: bool) -> Duration {
        let least = Duration::from_secs(1);
        if self.holds && is_first {
            Duration::ZERO
        } else if held && news <= LONGEST_HOLD {
            least
        } else {
            news.clamp(least, LONGEST_PAUSE).max(self.least_pause)
        }
    }

    async fn tell_history(&self) {
        if self.with_history
            && let Ok(history) = entries(&self.connection, &self.id).await
        {
            self.tell(News::History(self.index, history));
        }
    }

    fn tell(&self, news: News) {
        // The other end is gone when watching is over.
        let _ = self.news.send(news);
    }
}

impl Trouble {
    /// Returns the pause after which to try again; `None` if that is pointless, or was tried for long enough.
    fn meets(&mut self, failure: &Failure) -> Option<Duration> {
        if !failure.is_passing() {
            return None;
        }
        let since = *self.since.get_or_insert_with(|| {
            self.pause = Duration::from_millis(500);
            Instant::now()
        });
        if since.elapsed() > PATIENCE {
            return None;
        }
        self.pause = (self.pause * 2).min(LONGEST_RETRY);
        let asked = match failure {
            Failure::Refused(refusal) => refusal.retry_after(),
            Failure::NotSent(_) | Failure::NoAnswer(_) | Failure::NotCourier(_) => None,
        };
        Some(self.pause.max(asked.unwrap_or_default()))
    }
}
