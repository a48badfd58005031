//! `courier watch`: follows operations until they have ended, and shows how they go on.
//!
//! Each operation has a task that asks about it no more often than the server suggests. What they find out comes here,
//! and is drawn, written as lines, or kept until the end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::arguments::Watch;
use crate::client::connection::Connection;
use crate::client::document::Standing;
use crate::client::refusal::Failure;
use crate::client::{operation_ids, print_operation};
use crate::output;
use crate::serve::Stop;
use crate::terminal::Screen;

mod follower;
mod lines;
mod live;

use follower::Follower;
use lines::Lines;
use live::Live;

/// The number of operations that are asked about in requests which the server holds until they end.
const HELD: usize = 4;
/// Pause between two drawings in which only times and progress have moved.
const TICK: Duration = Duration::from_millis(250);

/// What is known of one operation that is watched.
pub(crate) struct Watched {
    pub(crate) id: String,
    /// `None` until the first answer.
    pub(crate) operation: Option<Value>,
    pub(crate) history: Vec<Value>,
    /// Why it is not asked about any more, although it may be open.
    pub(crate) failure: Option<Failure>,
}

/// Something that was found out.
pub(crate) enum News {
    Operation(usize, Value),
    History(usize, Vec<Value>),
    /// The operation is asked about no more.
    Failed(usize, Failure),
    /// The server keeps us waiting, or is not there; the text says so.
    Trouble(String),
    /// It answers again.
    Recovered,
}

/// How news is shown.
enum View {
    /// Nothing before the end.
    Silent,
    Lines(Lines),
    Live(Live),
}

pub(crate) async fn run(arguments: &Watch) -> anyhow::Result<ExitCode> {
    let ids = operation_ids(&arguments.many.ids)?;
    let connection = Connection::open(&arguments.many.target)?;
    let json = arguments.many.target.json;
    follow(&connection, ids, arguments.at_most, true, json).await
}

/// Follows the operations until all have ended, for a limited time if that is wanted.
pub(crate) async fn follow(
    connection: &Connection,
    ids: Vec<String>,
    at_most: Option<Duration>,
    shows: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let screen = Screen::of_output();
    let mut view = match (shows, json) {
        (false, _) => View::Silent,
        (true, false) if screen.live => View::Live(Live::begin(screen)),
        (true, json) => View::Lines(Lines::new(screen, json)),
    };
    let (sender, mut news) = mpsc::unbounded_channel();
    let mut followers = JoinSet::new();
    start(connection, &ids, &view, &sender, &mut followers);
    drop(sender);
    let mut watched: Vec<Watched> = ids.into_iter().map(Watched::new).collect();
    let mut stop = Stop::listen()?;
    let over = tokio::time::sleep(at_most.unwrap_or(Duration::MAX));
    tokio::pin!(over);
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            some = news.recv() => match some {
                Some(news) => take(news, &mut watched, &mut view, connection)?,
                None => break,
            },
            _ = ticks.tick(), if matches!(view, View::Live(_)) => {}
            () = &mut over => break,
            () = stop.asked() => break,
        }
        if let View::Live(live) = &mut view {
            live.draw(&watched, connection.clock.now())?;
        }
    }
    conclude(view, &watched, connection, json)
}

/// Starts a task for each operation.
fn start(
    connection: &Connection,
    ids: &[String],
    view: &View,
    sender: &mpsc::UnboundedSender<News>,
    followers: &mut JoinSet<()>,
) {
    let notes = sender.clone();
    let told = connection.telling(move |text| {
        // The other end is gone when watching is over.
        let _ = notes.send(News::Trouble(text.to_owned()));
    });
    let places = Arc::new(tokio::sync::Semaphore::new(HELD));
    for (index, id) in ids.iter().enumerate() {
        let follower = Follower {
            connection: told.clone(),
            id: id.clone(),
            index,
            holds: ids.len() <= HELD,
            // A minute of all operations together stays well below a client's usual limit.
            least_pause: Duration::from_millis(200)
                .saturating_mul(u32::try_from(ids.len()).unwrap_or(u32::MAX)),
            with_history: ids.len() == 1 && matches!(view, View::Live(_)),
            news: sender.clone(),
            places: Arc::clone(&places),
        };
        followers.spawn(follower.run());
    }
}

fn take(
    news: News,
    watched: &mut [Watched],
    view: &mut View,
    connection: &Connection,
) -> anyhow::Result<()> {
    let now = connection.clock.now();
    match news {
        News::Operation(index, operation) => {
            if let View::Lines(lines) = view {
                lines.operation(&operation, now)?;
            }
            watched[index].operation = Some(operation);
        }
        News::History(index, history) => watched[index].history = history,
        News::Failed(index, failure) => {
            if !matches!(view, View::Live(_)) {
                output::tell(&format!("{}: {failure}", watched[index].id));
            }
            watched[index].failure = Some(failure);
        }
        News::Trouble(text) => match view {
            View::Live(live) => live.trouble = Some(text),
            View::Silent | View::Lines(_) => output::tell(&text),
        },
        News::Recovered => match view {
            View::Live(live) => live.trouble = None,
            View::Silent | View::Lines(_) => output::tell("the server answers again"),
        },
    }
    Ok(())
}

/// Says how all stand, and returns the exit code for it.
fn conclude(
    view: View,
    watched: &[Watched],
    connection: &Connection,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let now = connection.clock.now();
    match view {
        View::Silent => {
            let screen = Screen::of_output();
            for operation in watched.iter().filter_map(|one| one.operation.as_ref()) {
                print_operation(operation, json, &screen, now)?;
            }
        }
        View::Lines(_) => {}
        View::Live(live) => {
            live.end(watched, now)?;
            for one in watched {
                if let Some(failure) = &one.failure {
                    output::tell(&format!("{}: {failure}", one.id));
                }
            }
        }
    }
    if watched.iter().any(|one| one.failure.is_some()) {
        return Ok(ExitCode::FAILURE);
    }
    let standing = |one: &Watched| one.operation.as_ref().map_or(Standing::Open, Standing::of);
    Ok(Standing::worst(watched.iter().map(standing)).code())
}

impl Watched {
    fn new(id: String) -> Self {
        Self {
            id,
            operation: None,
            history: Vec::new(),
            failure: None,
        }
    }
}
