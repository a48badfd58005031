//! The handle of a running simulator.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::behaviour::Behaviour;
use crate::declared::Place;
use crate::delivery::Delivery;
use crate::exchange::World;
use crate::fault::{Fault, ScriptError};
use crate::jobs::Job;
use crate::journal::Entry;
use crate::options::{Durations, Options};
use crate::server;
use crate::shared::Shared;

/// A running simulator. Clones are handles of the same one; it ends when the last is dropped.
#[derive(Clone)]
pub struct Simulator {
    running: Arc<Running>,
}

struct Running {
    address: SocketAddr,
    anonymous: SocketAddr,
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Simulator {
    /// Serves on `listener`, and on a second port the monitors that take no token, until stopped.
    ///
    /// Fails if the journal's file cannot be opened, and if a fault or a variant is for an operation that is not there.
    pub async fn start(listener: TcpListener, mut options: Options) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let second = TcpListener::bind((address.ip(), 0)).await?;
        let anonymous = second.local_addr()?;
        let origin = &mut options.anonymous_origin;
        origin.get_or_insert_with(|| format!("http://{anonymous}"));
        let clock = Arc::clone(&options.clock);
        let shared = Arc::new(Shared::new(clock, World::new(options)?));
        let task = tokio::spawn(server::serve(listener, second, Arc::clone(&shared)));
        let task = Mutex::new(Some(task));
        let running = Arc::new(Running {
            address,
            anonymous,
            shared,
            task,
        });
        Ok(Self { running })
    }

    /// Returns a simulator without a listener: [`Simulator::exchange`] is its only input, and no runtime is needed.
    pub fn detached(options: Options) -> io::Result<Self> {
        let clock = Arc::clone(&options.clock);
        let shared = Arc::new(Shared::new(clock, World::new(options)?));
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let running = Arc::new(Running {
            address: nowhere,
            anonymous: nowhere,
            shared,
            task: Mutex::new(None),
        });
        Ok(Self { running })
    }

    /// Answers a request that did not come through a socket, and returns how the answer would be sent.
    ///
    /// Its host decides whether it is for Graph or for the monitors that take no token. Fails only if the journal's file
    /// cannot be written.
    pub fn exchange(&self, request: Request<Bytes>) -> io::Result<(Response<Bytes>, Delivery)> {
        let (head, body) = request.into_parts();
        self.running.shared.exchange(head, &body, Place::Graph)
    }

    /// Returns the address of the monitors that take no token.
    pub fn anonymous_address(&self) -> SocketAddr {
        self.running.anonymous
    }

    /// Chooses how the jobs of a declared operation go that start from now on: `failed`, `lag=30+redirect`, `ordinary`.
    pub fn set_variant(&self, operation: &str, variant: &str) -> Result<(), ScriptError> {
        let mut world = self.running.shared.world();
        world.declared.set_variant(operation, variant)
    }

    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Returns the root URL of Graph and of the login service: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// Returns every journal entry in order.
    pub fn journal(&self) -> Vec<Entry> {
        self.journal_since(0)
    }

    /// Returns the entries after number `seq`.
    pub fn journal_since(&self, seq: u64) -> Vec<Entry> {
        self.running.shared.world().journal.since(seq).to_vec()
    }

    /// Returns the entries of one call.
    pub fn calls(&self, call: &str) -> Vec<Entry> {
        let world = self.running.shared.world();
        let entries = world.journal.since(0).iter();
        entries
            .filter(|entry| entry.call == call)
            .cloned()
            .collect()
    }

    /// Waits until the journal satisfies `enough`.
    pub async fn until(&self, enough: impl Fn(&[Entry]) -> bool) {
        let mut seen = self.running.shared.seen.subscribe();
        while !enough(self.running.shared.world().journal.since(0)) {
            if seen.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns the jobs in the order of their start.
    pub fn jobs(&self) -> Vec<Job> {
        let now = (self.running.shared.clock)();
        self.running.shared.world().backend.jobs.all(now)
    }

    /// Adds a fault after those that are not used up yet.
    pub fn script(&self, fault: Fault) {
        self.running.shared.world().script.add(fault);
    }

    /// Returns the faults that have not occurred as often as scripted.
    pub fn unused_faults(&self) -> Vec<Fault> {
        self.running.shared.world().script.unused()
    }

    /// Changes the durations of what starts from now on.
    pub fn set_durations(&self, change: impl FnOnce(&mut Durations)) {
        change(&mut self.running.shared.world().backend.durations);
    }

    pub fn set_behaviour(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.running.shared.world().backend.behaviour);
    }

    /// Ends a job now with this status, as Graph would spell it; `false` if there is no such job.
    pub fn finish(&self, job: &str, word: &str) -> bool {
        let now = (self.running.shared.clock)();
        self.running
            .shared
            .world()
            .backend
            .jobs
            .finish(job, word, now)
    }

    /// Changes the client secret that the token endpoint accepts.
    pub fn set_client_secret(&self, secret: Option<&str>) {
        self.running.shared.world().tokens.client_secret = secret.map(str::to_owned);
    }

    /// Makes every access token issued so far invalid.
    pub fn revoke_access_tokens(&self) {
        self.running.shared.world().tokens.revoke_access();
    }

    /// Makes every refresh token invalid; only those issued from now on are accepted.
    pub fn revoke_refresh_tokens(&self) {
        self.running.shared.world().tokens.revoke_refresh();
    }

    /// Returns a new refresh token, as if the user had signed in again.
    pub fn issue_refresh_token(&self) -> String {
        let now = (self.running.shared.clock)();
        let mut world = self.running.shared.world();
        let durations = world.backend.durations.clone();
        world.tokens.issue_refresh(now, &durations)
    }

    /// Closes the port and every connection, also for the other handles.
    pub async fn stop(self) {
        let task = self.running.take_task();
        if let Some(task) = task {
            task.abort();
            // The only possible error is that the task was aborted.
            let _ = task.await;
        }
    }
}

impl Running {
    fn take_task(&self) -> Option<JoinHandle<()>> {
        self.task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = self.take_task() {
            task.abort();
        }
    }
}
