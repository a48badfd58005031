//! One execution environment: a process, and the Runtime API that only it speaks to.

use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::figures;
use crate::outcome::{Outcome, Process};
use crate::output::Output;
use crate::server::{Server, json};

/// Lambda's limit of the initialisation.
const INIT: Duration = Duration::from_secs(10);
/// Lambda kills a little after the deadline.
const LATE: Duration = Duration::from_millis(50);
/// Lambda's limit of a synchronous answer.
const ANSWER_BYTES: usize = 6 * 1024 * 1024 + 100;
const API: &str = "/2018-06-01/runtime/";

/// An invocation, as `/next` hands it out.
pub(crate) struct Invocation {
    pub(crate) id: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) event: Bytes,
}

/// A process and its Runtime API; killed when it is dropped.
pub(crate) struct Environment {
    shared: Arc<Shared>,
    invocations: mpsc::UnboundedSender<Invocation>,
    monitor: AbortHandle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    /// It asks for the next invocation.
    Waiting,
    Busy,
    Ended,
}

struct Shared {
    state: watch::Sender<State>,
    kill: Notify,
    started: Instant,
    process: Mutex<Process>,
    output: Output,
    pending: Mutex<Option<Pending>>,
    init_error: Mutex<Option<Outcome>>,
    invocations: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
}

/// The invocation in hand, and who waits for its end.
struct Pending {
    id: String,
    outcome: oneshot::Sender<Outcome>,
}

impl Environment {
    /// Starts `command` with the address of its Runtime API.
    pub(crate) async fn start(command: &mut Command) -> Self {
        let (invocations, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            state: watch::Sender::new(State::Starting),
            kill: Notify::new(),
            started: Instant::now(),
            process: Mutex::default(),
            output: Output::default(),
            pending: Mutex::default(),
            init_error: Mutex::default(),
            invocations: tokio::sync::Mutex::new(waiting),
        });
        let handler = Arc::clone(&shared);
        let server = Server::start(move |request| {
            let shared = Arc::clone(&handler);
            async move { shared.serve(request).await }
        })
        .await;
        let child = command
            .env("AWS_LAMBDA_RUNTIME_API", server.address().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        shared.process().id = child.id().unwrap_or_default();
        let monitor = tokio::spawn(watch_over(child, server, Arc::clone(&shared)));
        Self {
            shared,
            invocations,
            monitor: monitor.abort_handle(),
        }
    }

    /// Waits until it asks for work. What went wrong, when it never does.
    pub(crate) async fn ready(&self) -> Result<(), Outcome> {
        let mut state = self.shared.state.subscribe();
        let reached = state.wait_for(|state| matches!(state, State::Waiting | State::Ended));
        let reached = timeout(INIT, reached).await.map(|state| match state {
            Ok(state) => *state,
            Err(_) => State::Ended,
        });
        match reached {
            Ok(State::Waiting) => Ok(()),
            Ok(_) => Err(lock(&self.shared.init_error)
                .clone()
                .unwrap_or(Outcome::Crashed)),
            Err(_) => {
                self.kill().await;
                Err(Outcome::TimedOut)
            }
        }
    }

    /// Hands the invocation over and waits for its end, at most `limit`. It must be `ready`.
    pub(crate) async fn invoke(&self, invocation: Invocation, limit: Duration) -> Outcome {
        let (outcome, mut reported) = oneshot::channel();
        let id = invocation.id.clone();
        *lock(&self.shared.pending) = Some(Pending { id, outcome });
        self.shared.becomes(State::Busy);
        self.shared.process().invocations += 1;
        // Nobody receives when the process has just ended: `ended` completes then.
        drop(self.invocations.send(invocation));
        let outcome = tokio::select! {
            biased;
            Ok(outcome) = &mut reported => outcome,
            () = self.ended() => reported.try_recv().unwrap_or(Outcome::Crashed),
            () = sleep(limit + LATE) => {
                self.kill().await;
                reported.try_recv().unwrap_or(Outcome::TimedOut)
            }
        };
        lock(&self.shared.pending).take();
        outcome
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) async fn kill(&self) {
        self.shared.kill.notify_one();
        self.ended().await;
    }

    /// True if it has an invocation in hand.
    pub(crate) fn is_busy(&self) -> bool {
        !self.has_ended() && lock(&self.shared.pending).is_some()
    }

    pub(crate) fn has_ended(&self) -> bool {
        *self.shared.state.borrow() == State::Ended
    }

    /// The process as it stands.
    pub(crate) fn process(&self) -> Process {
        self.shared.sample();
        let mut process = self.shared.process().clone();
        process.logs = self.shared.output.text();
        process
    }

    async fn ended(&self) {
        let mut state = self.shared.state.subscribe();
        // The sender lives as long as we do.
        drop(state.wait_for(|state| *state == State::Ended).await);
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.monitor.abort();
    }
}

impl Shared {
    async fn serve(&self, request: Request<Bytes>) -> io::Result<Response<Full<Bytes>>> {
        let path = request.uri().path();
        let Some(path) = path.strip_prefix(API) else {
            return json(404, r#"{"errorType":"NotFound"}"#);
        };
        let path: Vec<&str> = path.split('/').collect();
        match (request.method(), path.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => self.answered(id, request.body()),
            (&Method::POST, ["invocation", id, "error"]) => {
                self.report(id, error_outcome(request.body()))
            }
            (&Method::POST, ["init", "error"]) => {
                *lock(&self.init_error) = Some(error_outcome(request.body()));
                json(202, r#"{"status":"OK"}"#)
            }
            _ => json(404, r#"{"errorType":"NotFound"}"#),
        }
    }

    async fn next(&self) -> io::Result<Response<Full<Bytes>>> {
        self.sample();
        {
            let mut process = self.process();
            if process.init.is_none() {
                process.init = Some(self.started.elapsed());
                process.init_cpu = Some(process.cpu);
            }
        }
        self.becomes(State::Waiting);
        let invocation = self.invocations.lock().await.recv().await;
        let invocation = invocation.ok_or_else(|| io::Error::other("the function has ended"))?;
        let mut response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &invocation.id);
        for (name, value) in &invocation.headers {
            response = response.header(*name, value);
        }
        let body = Full::new(invocation.event);
        response.body(body).map_err(io::Error::other)
    }

    fn answered(&self, id: &str, body: &Bytes) -> io::Result<Response<Full<Bytes>>> {
        if body.len() > ANSWER_BYTES {
            let kind = "Function.ResponseSizeTooLarge";
            let message = "Response payload size exceeded maximum allowed payload size.";
            drop(self.report(id, Outcome::error(kind, message)));
            return json(413, format!(r#"{{"errorType":"{kind}"}}"#));
        }
        let outcome = match serde_json::from_slice(body) {
            _ if body.is_empty() => Outcome::Answer(Value::Null),
            Ok(answer) => Outcome::Answer(answer),
            Err(_) => Outcome::NotJson(String::from_utf8_lossy(body).into_owned()),
        };
        self.report(id, outcome)
    }

    /// The end of an invocation; another's id is refused, as Lambda does.
    fn report(&self, id: &str, outcome: Outcome) -> io::Result<Response<Full<Bytes>>> {
        self.sample();
        let pending = lock(&self.pending).take_if(|pending| pending.id == id);
        match pending {
            Some(pending) => {
                drop(pending.outcome.send(outcome));
                json(202, r#"{"status":"OK"}"#)
            }
            None => json(400, r#"{"errorType":"InvalidRequestID"}"#),
        }
    }

    /// An end is for ever.
    fn becomes(&self, next: State) {
        self.state.send_if_modified(|state| {
            let alive = *state != State::Ended;
            if alive {
                *state = next;
            }
            alive
        });
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        lock(&self.process)
    }

    /// Reads the figures of the process while there are any.
    fn sample(&self) {
        if *self.state.borrow() == State::Ended {
            return;
        }
        let mut process = self.process();
        if let Some(bytes) = figures::peak_rss(process.id) {
            process.peak_rss_bytes = process.peak_rss_bytes.max(bytes);
        }
        if let Some(cpu) = figures::cpu(process.id) {
            process.cpu = process.cpu.max(cpu);
        }
    }
}

/// Waits for the end of the process or makes it.
async fn watch_over(mut child: Child, server: Server, shared: Arc<Shared>) {
    let readers = shared.output.read(&mut child);
    let status = tokio::select! {
        status = child.wait() => status,
        () = shared.kill.notified() => {
            shared.sample();
            drop(child.start_kill());
            child.wait().await
        }
    };
    readers.finish().await;
    drop(server);
    shared.process().ended = Some(match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    });
    shared.state.send_replace(State::Ended);
}

fn error_outcome(body: &[u8]) -> Outcome {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    Outcome::error(text("errorType"), text("errorMessage"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
