//! The two threads that own one connection each: one commits writes in groups, the other reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use crate::sqlite::failure::Failure;

/// Upper bound of the writes that share a transaction.
const MAX_WRITES_PER_COMMIT: usize = 256;

/// The handle through which callers reach one of the threads.
pub(crate) struct ConnectionThread(Sender<Command>);

enum Command {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// One call: its work and the channel to its caller.
trait Job: Send {
    /// Does the work and stores the result; may be called again after a rollback.
    fn run(&mut self, connection: &Connection) -> Result<(), Failure>;
    /// Sends the result, or the error, to the caller.
    fn answer(self: Box<Self>, outcome: Result<(), Failure>);
}

struct Call<T, W> {
    work: W,
    result: Option<T>,
    caller: oneshot::Sender<Result<T, Failure>>,
}

impl<T, W> Job for Call<T, W>
where
    T: Send,
    W: FnMut(&Connection) -> Result<T, Failure> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.result = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Failure>) {
        let Self { result, caller, .. } = *self;
        drop(caller.send(outcome.and_then(|()| result.ok_or(Failure::Closed))));
    }
}

impl ConnectionThread {
    pub(crate) async fn call<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let job = Box::new(Call {
            work,
            result: None,
            caller,
        });
        self.0
            .send(Command::Job(job))
            .map_err(|_| Failure::Closed)?;
        answer.await.map_err(|_| Failure::Closed)?
    }

    /// Waits until earlier calls are answered and the connection is closed.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.0.send(Command::Close(done)).is_ok() {
            drop(closed.await);
        }
    }
}

pub(crate) fn start_reader(connection: Connection) -> std::io::Result<ConnectionThread> {
    let (sender, commands) = mpsc::channel();
    let thread = thread::Builder::new().name("courier-read".to_owned());
    thread.spawn(move || read(connection, &commands))?;
    Ok(ConnectionThread(sender))
}

pub(crate) fn start_writer(
    connection: Connection,
    commits: Arc<AtomicU64>,
) -> std::io::Result<ConnectionThread> {
    let (sender, commands) = mpsc::channel();
    let thread = thread::Builder::new().name("courier-write".to_owned());
    thread.spawn(move || write(connection, &commands, &commits))?;
    Ok(ConnectionThread(sender))
}

fn read(connection: Connection, commands: &Receiver<Command>) {
    while let Ok(command) = commands.recv() {
        match command {
            Command::Job(mut job) => {
                let outcome = job.run(&connection);
                job.answer(outcome);
            }
            Command::Close(done) => {
                drop(connection);
                let _ = done.send(());
                return;
            }
        }
    }
}

fn write(mut connection: Connection, commands: &Receiver<Command>, commits: &AtomicU64) {
    while let Ok(first) = commands.recv() {
        let mut group = Vec::new();
        let mut closing = None;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Job(job) => group.push(job),
                Command::Close(done) => {
                    closing = Some(done);
                    break;
                }
            }
            next = (group.len() < MAX_WRITES_PER_COMMIT)
                .then(|| commands.try_recv().ok())
                .flatten();
        }
        commit(&mut connection, group, commits);
        if let Some(done) = closing {
            drop(connection);
            let _ = done.send(());
            return;
        }
    }
}

/// Makes the group durable in one transaction; if a job fails, each job of the group gets a transaction of its own.
fn commit(connection: &mut Connection, mut group: Vec<Box<dyn Job>>, commits: &AtomicU64) {
    let outcome = match transact(connection, &mut group, commits) {
        Err(Broken::Job(_)) if group.len() > 1 => {
            return commit_singly(connection, group, commits);
        }
        Ok(()) => Ok(()),
        Err(Broken::Job(failure) | Broken::Transaction(failure)) => Err(failure),
    };
    for job in group {
        job.answer(outcome.clone());
    }
}

/// Commits each job alone. If the file cannot be locked, the busy timeout is waited for once, not once per job.
fn commit_singly(connection: &mut Connection, group: Vec<Box<dyn Job>>, commits: &AtomicU64) {
    let mut unusable = None;
    for job in group {
        let mut single = [job];
        let outcome = match &unusable {
            Some(failure) => Err(Failure::clone(failure)),
            None => match transact(connection, &mut single, commits) {
                Ok(()) => Ok(()),
                Err(Broken::Job(failure)) => Err(failure),
                Err(Broken::Transaction(failure)) => Err(unusable.insert(failure).clone()),
            },
        };
        let [job] = single;
        job.answer(outcome);
    }
}

/// The part of a transaction that failed; everything since the last commit is rolled back.
enum Broken {
    Job(Failure),
    Transaction(Failure),
}

fn transact(
    connection: &mut Connection,
    jobs: &mut [Box<dyn Job>],
    commits: &AtomicU64,
) -> Result<(), Broken> {
    let broken = |error: rusqlite::Error| Broken::Transaction(error.into());
    let before = connection.total_changes();
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(broken)?;
    for job in jobs.iter_mut() {
        job.run(&transaction).map_err(Broken::Job)?;
    }
    let changed = transaction.total_changes() != before;
    transaction.commit().map_err(broken)?;
    if changed {
        commits.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
