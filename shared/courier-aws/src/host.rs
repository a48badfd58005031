//! The state of a function's process: the `App`, its configuration (reloaded when it may have changed), and its ports.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use courier_core::config::Config;
use courier_core::engine::app::App;
use courier_core::engine::deployment::DeploymentError;
use courier_core::engine::platform::Platform;
use courier_core::engine::step::StepError;
use courier_core::engine::sweep::sweep;
use courier_core::error_chain::chain;

use courier_core::lifecycle::Timing;
use courier_core::operation::random_ids;
use courier_core::outbound::{HttpTransport, Timeouts, Tls};
use courier_core::time::{Clock, elapsed};
use http::{Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::batch::{self, Delivery};
use crate::clients::{self, TlsError};
use crate::emf::Emf;
use crate::intake::{self, Arrival};
use crate::queue::SqsQueue;
use crate::secrets::{ConfigError, Sources, Vault};
use crate::settings::{Settings, SettingsErrors};
use crate::table::Table;

/// Age at which the configuration is reloaded.
const CONFIG_MAX_AGE: SignedDuration = SignedDuration::from_mins(15);
/// Shortest time between reloads after refused credentials.
///
/// They reload the configuration early, but anybody can send a wrong key.
const MIN_RELOAD_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// Time limit of a reload, as much as a request can spare.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time that events may take at the end of an invocation, and while a caller waits for an answer.
const EVENTS_TIME: Duration = Duration::from_secs(2);
const EVENTS_TIME_OF_REQUEST: Duration = Duration::from_millis(250);
/// Time reserved after it.
const RESERVED_FOR_ANSWER: Duration = Duration::from_millis(300);

/// Time limit for reading the deployment at the start, which must not outlast the start of a function.
const SEAL_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// An error that prevents a function from starting.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Settings(#[from] SettingsErrors),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("no HTTP client can be made")]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    SealKey(DeploymentError),
}

/// Reads one variable of the environment.
type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

pub struct Host {
    settings: Settings,
    variable: Lookup,
    vault: Vault,
    table: Arc<Table>,
    queue: Arc<SqsQueue>,
    tls: Tls,
    clock: Clock,
    emf: Emf,
    current: Mutex<Current>,
}

struct Current {
    app: Arc<App>,
    digest: [u8; 32],
    read_at: Timestamp,
}

impl Host {
    /// Reads environment and configuration; an error lists every mistake.
    pub async fn start(
        variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        clock: Clock,
    ) -> Result<Self, HostError> {
        courier_core::arm_crash_points!(&variable);
        let variable = Box::new(variable);
        let settings = Settings::read(&variable)?;
        let tls = clients::tls(&variable)?;
        let sdk = clients::sdk(&tls).await?;
        let vault = Vault {
            secrets: aws_sdk_secretsmanager::Client::new(&sdk),
            sdk: sdk.clone(),
        };
        let table = Table::new(aws_sdk_dynamodb::Client::new(&sdk), &settings.table);
        let queue = SqsQueue::new(
            aws_sdk_sqs::Client::new(&sdk),
            &settings.queue_url,
            Arc::clone(&clock),
        );
        let (table, queue) = (Arc::new(table), Arc::new(queue));
        let sources = vault.fetch(&settings.config).await?;
        let config = sources.config(&*variable).map_err(ConfigError::from)?;
        for warning in &config.warnings {
            tracing::warn!("{}:{warning}", settings.config);
        }
        let app = app(config, &settings, &table, &queue, &tls, &clock)?;
        check_seal_key(&app).await.map_err(HostError::SealKey)?;
        Ok(Self {
            emf: Emf::new(&settings.table),
            current: Mutex::new(Current {
                app,
                digest: sources.digest(),
                read_at: clock(),
            }),
            settings,
            variable,
            vault,
            table,
            queue,
            tls,
            clock,
        })
    }

    /// Answers one HTTP request before `ends_at`.
    ///
    /// If the credentials are refused or do not grant enough, the request is tried once more when a reload finds that
    /// the configuration has changed.
    pub async fn answer(&self, request: Request<Bytes>, ends_at: Timestamp) -> Response<Bytes> {
        let app = self.app().await;
        let mut response = courier_core::http::handle(&app, request.clone(), ends_at).await;
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        if refused.contains(&response.status())
            && let Some(app) = self.reread(MIN_RELOAD_INTERVAL).await
        {
            response = courier_core::http::handle(&app, request, ends_at).await;
        }
        self.finish(&app, EVENTS_TIME_OF_REQUEST, ends_at).await;
        response
    }

    /// Handles one batch of messages before `ends_at`, and returns the ids of those that stay in the queue.
    pub async fn work(&self, deliveries: &[Delivery], ends_at: Timestamp) -> Vec<String> {
        let app = self.app().await;
        let staying = batch::handle(&app, &self.queue, deliveries, ends_at).await;
        self.finish(&app, EVENTS_TIME, ends_at).await;
        staying
    }

    /// Takes one batch of intake queues before `ends_at`, and returns the ids of the messages that stay in their queue.
    ///
    /// What is refused or unknown is tried once more when a reload finds that the configuration has changed.
    pub async fn accept(&self, arrivals: &[Arrival], ends_at: Timestamp) -> Vec<String> {
        let mut app = self.app().await;
        let all: Vec<&Arrival> = arrivals.iter().collect();
        let taken = intake::take(&app, &all, ends_at).await;
        let taken = all.into_iter().zip(taken);
        let (again, mut taken): (Vec<_>, Vec<_>) =
            taken.partition(|(_, taken)| intake::depends_on_configuration(taken));
        if !again.is_empty()
            && let Some(renewed) = self.reread(MIN_RELOAD_INTERVAL).await
        {
            let refused: Vec<&Arrival> = again.iter().map(|(arrival, _)| *arrival).collect();
            let answers = intake::take(&renewed, &refused, ends_at).await;
            taken.extend(refused.into_iter().zip(answers));
            app = renewed;
        } else {
            taken.extend(again);
        }
        let staying = intake::settle(&app, &self.queue, taken, ends_at).await;
        self.finish(&app, EVENTS_TIME, ends_at).await;
        staying
    }

    /// Sends a new message for each overdue record, and returns the number of overdue records.
    pub async fn sweep(&self, ends_at: Timestamp) -> Result<usize, StepError> {
        let app = self.app().await;
        let swept = sweep(&app, ends_at).await;
        self.finish(&app, EVENTS_TIME, ends_at).await;
        swept.inspect_err(|error| {
            tracing::error!(error = %chain(error), "the sweep was not finished");
        })
    }

    /// Returns the `App`, reloaded if its configuration is old or an authorization server has refused its secrets.
    async fn app(&self) -> Arc<App> {
        let (app, refused) = {
            let current = self.current.lock().await;
            (Arc::clone(&current.app), current.app.credentials_refused())
        };
        let age = if refused {
            MIN_RELOAD_INTERVAL
        } else {
            CONFIG_MAX_AGE
        };
        self.reread(age).await.unwrap_or(app)
    }

    /// Reloads the configuration if it was read at least `age` ago; returns a new `App` if it has changed.
    async fn reread(&self, age: SignedDuration) -> Option<Arc<App>> {
        let mut current = self.current.lock().await;
        let now = (self.clock)();
        if now.duration_since(current.read_at) < age {
            return None;
        }
        current.read_at = now;
        let fetched = timeout(RELOAD_TIMEOUT, self.vault.fetch(&self.settings.config)).await;
        let changed = match fetched {
            Ok(Ok(sources)) if sources.digest() == current.digest => return None,
            Ok(Ok(sources)) => {
                let renewed = self.renewed(&sources).await;
                renewed.map(|app| (app, sources.digest()))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("reading it took too long".to_owned()),
        };
        match changed {
            Ok((app, digest)) => {
                tracing::info!("the configuration has changed; using the new one");
                current.app = Arc::clone(&app);
                current.digest = digest;
                Some(app)
            }
            Err(error) => {
                tracing::error!(%error, "configuration reload failed; keeping the previous one");
                None
            }
        }
    }

    async fn renewed(&self, sources: &Sources) -> Result<Arc<App>, String> {
        let config = sources
            .config(&*self.variable)
            .map_err(|error| error.to_string())?;
        let (settings, table, queue) = (&self.settings, &self.table, &self.queue);
        let app = app(config, settings, table, queue, &self.tls, &self.clock);
        let app = app.map_err(|error| error.to_string())?;
        let checked = check_seal_key(&app).await;
        checked.map(|()| app).map_err(|error| error.to_string())
    }

    /// Sends the events of an invocation, because the process may be frozen after it, and reports its metrics.
    async fn finish(&self, app: &App, within: Duration, ends_at: Timestamp) {
        let left = elapsed((self.clock)(), ends_at).saturating_sub(RESERVED_FOR_ANSWER);
        app.flush_events(within.min(left)).await;
        self.emf.report(&app.metrics, (self.clock)());
    }
}

/// Refuses a seal key that the table was not sealed with.
///
/// A table that cannot be read in time is no error: the first request or message reads the deployment again.
async fn check_seal_key(app: &App) -> Result<(), DeploymentError> {
    match timeout(SEAL_CHECK_TIMEOUT, app.deployment()).await {
        Ok(Ok(_)) => {}
        Ok(Err(DeploymentError::Store(error))) => {
            tracing::warn!(error = %chain(&error), "the seal key cannot be checked now; it is checked at the next use");
        }
        Ok(Err(error)) => return Err(error),
        Err(_) => {
            tracing::warn!("the table does not answer; the seal key is checked at the next use")
        }
    }
    Ok(())
}

fn app(
    config: Config,
    settings: &Settings,
    table: &Arc<Table>,
    queue: &Arc<SqsQueue>,
    tls: &Tls,
    clock: &Clock,
) -> reqwest::Result<Arc<App>> {
    let timeouts = Timeouts::default();
    let transport = HttpTransport::new(&timeouts, tls, &config.allowed)?;
    let transport = transport.behind(config.proxy.as_ref(), &timeouts, tls)?;
    let platform = Platform {
        store: Arc::new(Table::clone(table).with_retention(config.retention)),
        queue: Arc::<SqsQueue>::clone(queue),
        transport: Arc::new(transport),
        clock: Arc::clone(clock),
        ids: random_ids(),
        timing: Timing::default(),
        timeouts,
    };
    let app = App::new(config, platform).with_in_flight_limit(settings.in_flight_limit);
    Ok(Arc::new(app))
}
