//! A Lambda function: the real binary under a Runtime API, one process per execution environment.
//!
//! A process is started on demand, handles one invocation at a time and is kept. One that crashed or was killed is
//! replaced at the next invocation. Unlike Lambda we do not freeze it in between, and a caller above the concurrency
//! waits instead of being throttled.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::clock::{ShiftedClock, real_now};
use crate::environment::{Environment, Invocation};
use crate::{ACCOUNT, REGION};

pub use crate::outcome::{Outcome, Process};

/// The configuration of the function.
#[derive(Clone)]
pub struct Options {
    pub name: String,
    /// For an interpreter; a Lambda binary takes none.
    pub arguments: Vec<String>,
    pub timeout: Duration,
    pub memory_mb: u32,
    /// The number of execution environments that there may be at once.
    pub concurrency: usize,
    /// The clock its processes live by, and the deadlines; the machine's otherwise.
    pub clock: Option<ShiftedClock>,
}

/// A function that can be invoked; its processes are killed when the last clone is dropped.
#[derive(Clone)]
pub struct Function(Arc<Shared>);

struct Shared {
    binary: PathBuf,
    variables: Vec<(String, String)>,
    options: Options,
    free: Arc<Semaphore>,
    environments: Mutex<Vec<Slot>>,
}

/// An execution environment, living or not; kept for its figures.
struct Slot {
    environment: Arc<Environment>,
    taken: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "function".to_owned(),
            arguments: Vec::new(),
            timeout: Duration::from_secs(60),
            memory_mb: 256,
            concurrency: 1,
            clock: None,
        }
    }
}

impl Function {
    /// Nothing runs before the first invocation. `variables` add to what Lambda sets, and replace it.
    pub fn start(binary: &Path, variables: &[(&str, &str)], options: Options) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self(Arc::new(Shared {
            binary: binary.to_owned(),
            variables: variables.iter().map(owned).collect(),
            free: Arc::new(Semaphore::new(options.concurrency)),
            options,
            environments: Mutex::default(),
        }))
    }

    /// Invokes with a new trace that has no lineage.
    pub async fn invoke(&self, event: &Value) -> Outcome {
        let trace = new_trace(self.now());
        self.invoke_traced(event, &trace).await
    }

    /// Invokes with this `Lambda-Runtime-Trace-Id`. The invocation goes on when the caller stops waiting for it.
    pub async fn invoke_traced(&self, event: &Value, trace: &str) -> Outcome {
        let event = Bytes::from(event.to_string());
        let (this, trace) = (self.clone(), trace.to_owned());
        let invocation = tokio::spawn(async move { this.run(event, trace).await });
        match invocation.await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn run(&self, event: Bytes, trace: String) -> Outcome {
        let Ok(_permit) = Arc::clone(&self.0.free).acquire_owned().await else {
            panic!("the function has been dropped");
        };
        loop {
            let (environment, new) = self.take().await;
            let outcome = match environment.ready().await {
                Ok(()) => {
                    let invocation = self.invocation(event.clone(), &trace);
                    let limit = self.0.options.timeout;
                    environment.invoke(invocation, limit).await
                }
                // It ended after its last answer, so this invocation never was its.
                Err(_) if !new => continue,
                Err(outcome) => outcome,
            };
            self.release(&environment);
            return outcome;
        }
    }

    /// An environment that is free, or a new one; and whether it is new.
    async fn take(&self) -> (Arc<Environment>, bool) {
        let free = self
            .environments()
            .iter_mut()
            .find(|slot| !slot.taken && !slot.environment.has_ended())
            .map(|slot| {
                slot.taken = true;
                Arc::clone(&slot.environment)
            });
        if let Some(environment) = free {
            return (environment, false);
        }
        let environment = Arc::new(Environment::start(&mut self.command()).await);
        self.environments().push(Slot {
            environment: Arc::clone(&environment),
            taken: true,
        });
        (environment, true)
    }

    fn release(&self, environment: &Arc<Environment>) {
        for slot in self.environments().iter_mut() {
            if Arc::ptr_eq(&slot.environment, environment) {
                slot.taken = false;
            }
        }
    }

    fn command(&self) -> Command {
        let Options {
            name, memory_mb, ..
        } = &self.0.options;
        let task_root = self.0.binary.parent();
        let mut command = Command::new(&self.0.binary);
        command
            .args(&self.0.options.arguments)
            .env_clear()
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb.to_string())
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", Uuid::new_v4().to_string())
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("LAMBDA_TASK_ROOT", task_root.unwrap_or(&self.0.binary))
            .env("_HANDLER", "bootstrap")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "en_US.UTF-8")
            .env("TZ", ":UTC");
        let clock = self.0.options.clock.iter();
        command
            .envs(clock.flat_map(ShiftedClock::environment))
            .envs(self.0.variables.iter().cloned());
        command
    }

    fn invocation(&self, event: Bytes, trace: &str) -> Invocation {
        let limit = i64::try_from(self.0.options.timeout.as_millis()).unwrap_or(i64::MAX);
        let deadline = self.now().as_millisecond().saturating_add(limit);
        Invocation {
            id: Uuid::new_v4().to_string(),
            headers: vec![
                ("lambda-runtime-deadline-ms", deadline.to_string()),
                ("lambda-runtime-invoked-function-arn", self.arn()),
                ("lambda-runtime-trace-id", trace.to_owned()),
            ],
            event,
        }
    }

    pub fn arn(&self) -> String {
        let name = &self.0.options.name;
        format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
    }

    pub fn timeout(&self) -> Duration {
        self.0.options.timeout
    }

    /// SIGKILL to every process that has an invocation in hand; how many there were. They are gone when it returns.
    pub async fn kill_running(&self) -> usize {
        self.kill(Environment::is_busy).await
    }

    /// SIGKILL to every process: the next invocation is a cold start.
    pub async fn kill_all(&self) -> usize {
        self.kill(|environment| !environment.has_ended()).await
    }

    async fn kill(&self, chosen: impl Fn(&Environment) -> bool) -> usize {
        let all: Vec<_> = self
            .environments()
            .iter()
            .map(|slot| Arc::clone(&slot.environment))
            .filter(|environment| chosen(environment))
            .collect();
        for environment in &all {
            environment.kill().await;
        }
        all.len()
    }

    /// The number of invocations that are in hand.
    pub fn busy(&self) -> usize {
        let environments = self.environments();
        environments
            .iter()
            .filter(|slot| slot.environment.is_busy())
            .count()
    }

    /// Every process so far, in the order of their starts.
    pub fn processes(&self) -> Vec<Process> {
        let environments = self.environments();
        environments
            .iter()
            .map(|slot| slot.environment.process())
            .collect()
    }

    /// Returns the output of all processes.
    pub fn logs(&self) -> String {
        self.processes()
            .into_iter()
            .map(|process| process.logs)
            .collect()
    }

    /// By the function's clock.
    pub(crate) fn now(&self) -> Timestamp {
        let clock = self.0.options.clock.as_ref();
        clock.map_or_else(real_now, ShiftedClock::now)
    }

    fn environments(&self) -> MutexGuard<'_, Vec<Slot>> {
        let environments = self.0.environments.lock();
        environments.unwrap_or_else(PoisonError::into_inner)
    }
}

/// `Root=1-<seconds>-<96 bits>;Parent=<64 bits>;Sampled=0`
pub(crate) fn new_trace(now: Timestamp) -> String {
    let random = Uuid::new_v4().simple().to_string();
    let parent = &Uuid::new_v4().simple().to_string()[..16];
    let (seconds, root) = (now.as_second(), &random[..24]);
    format!("Root=1-{seconds:08x}-{root};Parent={parent};Sampled=0")
}
