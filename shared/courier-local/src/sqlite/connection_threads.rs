//! The threads that own one connection each: one commits writes in groups, a few read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{oneshot, watch};

use crate::sqlite::failure::Failure;
use crate::sqlite::identity::Identity;

/// Time for which a write waits for others to share its transaction with, if the one before was shared.
const GATHERING: Duration = Duration::from_millis(1);
/// Upper bound of the writes that share a transaction.
const MAX_WRITES_PER_COMMIT: usize = 256;

/// The handle through which callers reach the writer, or one of the readers.
pub(crate) struct ConnectionThreads {
    commands: Sender<Command>,
    threads: usize,
}

/// Tells its receivers when a thread has died of a panic.
pub(crate) type Deaths = watch::Sender<bool>;

/// Is held by a thread, and dropped when the thread ends.
struct Life(Arc<Deaths>);

impl Drop for Life {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send_replace(true);
        }
    }
}

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

struct Call<T, W, D> {
    work: W,
    result: Option<T>,
    done: D,
    caller: oneshot::Sender<Result<T, Failure>>,
}

impl<T, W, D> Job for Call<T, W, D>
where
    T: Send,
    W: FnMut(&Connection) -> Result<T, Failure> + Send,
    D: FnOnce(&T) + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.result = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Failure>) {
        let Self {
            result,
            done,
            caller,
            ..
        } = *self;
        let outcome = outcome.and_then(|()| result.ok_or(Failure::Closed));
        if let Ok(result) = &outcome {
            done(result);
        }
        drop(caller.send(outcome));
    }
}

impl ConnectionThreads {
    pub(crate) async fn call<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.call_then(work, |_| ()).await
    }

    /// Does the work, and once its result is durable `done`, on the same thread: even if nobody waits for it any more.
    pub(crate) async fn call_then<T, W, D>(&self, work: W, done: D) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
        D: FnOnce(&T) + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let job = Box::new(Call {
            work,
            result: None,
            done,
            caller,
        });
        self.commands
            .send(Command::Job(job))
            .map_err(|_| Failure::Closed)?;
        answer.await.map_err(|_| Failure::Closed)?
    }

    /// Waits until earlier calls are answered and the connections are closed.
    pub(crate) async fn close(&self) {
        let closing = (0..self.threads).map_while(|_| {
            let (done, closed) = oneshot::channel();
            self.commands
                .send(Command::Close(done))
                .is_ok()
                .then_some(closed)
        });
        for closed in closing.collect::<Vec<_>>() {
            drop(closed.await);
        }
    }
}

/// Starts a reader for each connection; a call goes to whichever is free.
pub(crate) fn start_readers(
    connections: Vec<Connection>,
    files: &Arc<Identity>,
    deaths: &Arc<Deaths>,
) -> std::io::Result<ConnectionThreads> {
    let (sender, commands) = mpsc::channel();
    let commands = Arc::new(Mutex::new(commands));
    let threads = connections.len();
    for connection in connections {
        let (commands, life) = (Arc::clone(&commands), Life(Arc::clone(deaths)));
        let files = Arc::clone(files);
        let thread = thread::Builder::new().name("courier-read".to_owned());
        thread.spawn(move || {
            let _life = life;
            read(connection, &files, &commands);
        })?;
    }
    Ok(ConnectionThreads {
        commands: sender,
        threads,
    })
}

pub(crate) fn start_writer(
    connection: Connection,
    files: &Arc<Identity>,
    commits: Arc<AtomicU64>,
    deaths: &Arc<Deaths>,
) -> std::io::Result<ConnectionThreads> {
    let (sender, commands) = mpsc::channel();
    let life = Life(Arc::clone(deaths));
    let writer = Writer {
        connection,
        files: Arc::clone(files),
        commits,
    };
    let thread = thread::Builder::new().name("courier-write".to_owned());
    thread.spawn(move || {
        let _life = life;
        writer.run(&commands);
    })?;
    Ok(ConnectionThreads {
        commands: sender,
        threads: 1,
    })
}

fn read(connection: Connection, files: &Identity, commands: &Mutex<Receiver<Command>>) {
    loop {
        // The lock is held by the one idle reader that takes the next command, and by none that works.
        let next = commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        match next {
            Ok(Command::Job(mut job)) => {
                let outcome = files.check().and_then(|()| job.run(&connection));
                job.answer(outcome);
            }
            Ok(Command::Close(done)) => {
                drop(connection);
                let _ = done.send(());
                return;
            }
            Err(_) => return,
        }
    }
}

/// What the writer thread owns.
struct Writer {
    connection: Connection,
    files: Arc<Identity>,
    commits: Arc<AtomicU64>,
}

/// The part of a transaction that failed; everything since the last commit is rolled back.
enum Broken {
    Job(Failure),
    Transaction(Failure),
}

impl Writer {
    fn run(mut self, commands: &Receiver<Command>) {
        let mut has_company = false;
        while let Ok(first) = commands.recv() {
            if has_company {
                // Nobody wakes it: a wake-up for each write would cost more than the commits that are spared.
                thread::park_timeout(GATHERING);
            }
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
            has_company = group.len() > 1;
            self.commit(group);
            if let Some(done) = closing {
                drop(self);
                let _ = done.send(());
                return;
            }
        }
    }

    /// Makes the group durable in one transaction; if a job fails, each job of the group gets a transaction of its own.
    fn commit(&mut self, mut group: Vec<Box<dyn Job>>) {
        let outcome = match self.transact(&mut group) {
            Err(Broken::Job(_)) if group.len() > 1 => return self.commit_singly(group),
            Ok(()) => Ok(()),
            Err(Broken::Job(failure) | Broken::Transaction(failure)) => Err(failure),
        };
        for job in group {
            job.answer(outcome.clone());
        }
    }

    /// Commits each job alone. If the file cannot be locked, the busy timeout is waited for once, not once per job.
    fn commit_singly(&mut self, group: Vec<Box<dyn Job>>) {
        let mut unusable = None;
        for job in group {
            let mut single = [job];
            let outcome = match &unusable {
                Some(failure) => Err(Failure::clone(failure)),
                None => match self.transact(&mut single) {
                    Ok(()) => Ok(()),
                    Err(Broken::Job(failure)) => Err(failure),
                    Err(Broken::Transaction(failure)) => Err(unusable.insert(failure).clone()),
                },
            };
            let [job] = single;
            job.answer(outcome);
        }
    }

    fn transact(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Broken> {
        let broken = |error: rusqlite::Error| Broken::Transaction(error.into());
        let before = self.connection.total_changes();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(broken)?;
        for job in jobs.iter_mut() {
            job.run(&transaction).map_err(Broken::Job)?;
        }
        let changed = transaction.total_changes() != before;
        self.files.check().map_err(Broken::Transaction)?;
        transaction.commit().map_err(broken)?;
        if changed {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A test that waits longer than this has failed.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn connection() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_reported_as_dead_and_its_caller_gets_an_error() {
        for writes in [true, false] {
            let (deaths, mut died) = watch::channel(false);
            let (deaths, files) = (Arc::new(deaths), Arc::default());
            let threads = if writes {
                start_writer(connection(), &files, Arc::default(), &deaths).unwrap()
            } else {
                start_readers(vec![connection(), connection()], &Arc::default(), &deaths).unwrap()
            };
            let sound = threads.call(|_| Ok(7)).await;
            assert_eq!(sound.unwrap(), 7);
            assert!(!*died.borrow_and_update());
            let answer = threads.call(|_| -> Result<(), Failure> { panic!("a defect") });
            assert!(matches!(answer.await, Err(Failure::Closed)));
            let reported = tokio::time::timeout(PATIENCE, died.changed()).await;
            reported.expect("the death is not reported").unwrap();
            assert!(*died.borrow());
        }
    }

    #[tokio::test]
    async fn threads_that_are_closed_in_order_are_not_reported_as_dead() {
        let (deaths, died) = watch::channel(false);
        let deaths = Arc::new(deaths);
        let threads =
            start_readers(vec![connection(), connection()], &Arc::default(), &deaths).unwrap();
        threads.close().await;
        assert!(matches!(
            threads.call(|_| Ok(())).await,
            Err(Failure::Closed)
        ));
        assert!(!*died.borrow());
    }

    #[tokio::test]
    async fn a_reader_that_is_busy_does_not_keep_the_other_from_its_calls() {
        let deaths = Arc::new(watch::channel(false).0);
        let threads =
            start_readers(vec![connection(), connection()], &Arc::default(), &deaths).unwrap();
        let (finish, finished) = mpsc::channel::<()>();
        let slow = threads.call(move |_| {
            let _ = finished.recv();
            Ok(())
        });
        let quick = async {
            threads.call(|_| Ok(())).await.unwrap();
            finish.send(()).unwrap();
        };
        let both = async { tokio::join!(slow, quick) };
        let (slow, ()) = tokio::time::timeout(PATIENCE, both)
            .await
            .expect("the quick call waits for the slow one");
        slow.unwrap();
    }
}
