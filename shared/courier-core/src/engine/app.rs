//! The long-lived objects that a host builds once: configuration, ports, clock and HTTP clients.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{OnceCell, watch};

use crate::announcing::Announcer;
use crate::auth::jwks::KeySets;
use crate::callback::Callbacks;
use crate::catalogue::{Catalogue, Operation, TokenKind};
use crate::config::Config;
use crate::engine::deployment::{Deployment, DeploymentError};
use crate::engine::durations::Durations;
use crate::engine::metrics::Metrics;
use crate::engine::open_operations::OpenOperations;
use crate::engine::overflow::Overflow;
use crate::engine::platform::Platform;
use crate::engine::rate_limit::{Budget, RateLimiter};
use crate::engine::restoring::Copied;
use crate::events::EventType;
use crate::graph::client::Graph;
use crate::graph::tokens::Tokens;
use crate::lifecycle::{Policy, Timing, may_start};
use crate::operation::{Ids, Record};
use crate::outbound::Timeouts;
use crate::outbound::holds::Holds;
use crate::ports::{Queue, Store};
use crate::storage::Storages;
use crate::time::Clock;
use crate::time::later;

/// Everything that a request, a step or a sweep works with.
pub struct App {
    pub config: Config,
    pub catalogue: &'static Catalogue,
    pub store: Arc<dyn Store>,
    pub queue: Arc<dyn Queue>,
    pub clock: Clock,
    pub(crate) ids: Ids,
    pub timing: Timing,
    pub metrics: Arc<Metrics>,
    pub(crate) timeouts: Timeouts,
    pub(crate) graph: Graph,
    pub(crate) tokens: Tokens,
    pub(crate) storages: Storages,
    pub(crate) callbacks: Callbacks,
    pub(crate) announcer: Announcer,
    pub(crate) key_sets: KeySets,
    pub(crate) requests: Arc<RateLimiter>,
    pub(crate) open: Arc<OpenOperations>,
    pub(crate) durations: Arc<Durations>,
    pub(crate) budget: Arc<Budget>,
    pub overflow: Overflow,
    /// The copy that the store was restored from.
    pub(crate) copied: Option<Copied>,
    /// The tenants and operations that Graph throttles at present.
    pub(crate) throttled: Arc<Holds>,
    /// The time by which everything in flight has to end, once the shutdown has begun.
    stops_at: watch::Sender<Option<Timestamp>>,
    deployment: OnceCell<Deployment>,
    /// The document of `/openapi.json`, once it has been asked for: whoever asks needs no key, so it must cost little.
    pub(crate) openapi: OnceLock<Bytes>,
}

/// Returns the origins, with scheme and port, that a configuration for a test host permits for monitors.
fn test_origins(config: &Config) -> Vec<String> {
    let hosts = config.graph.monitor_hosts.iter();
    hosts.filter(|host| host.contains("://")).cloned().collect()
}

/// Time that a step needs after a call to write the result to the record.
const WRITE_RESULT_TIME: Duration = Duration::from_secs(2);

impl App {
    pub fn new(config: Config, platform: Platform) -> Self {
        #[cfg(all(feature = "crash-points", debug_assertions))]
        let platform = crate::engine::crash_points::around_all(platform);
        let Platform {
            store,
            queue,
            transport,
            clock,
            ids,
            timing,
            timeouts,
        } = platform;
        let base = config.graph.base_url.clone();
        let tokens = Tokens::new(
            Arc::clone(&transport),
            config.graph.login_url.clone(),
            &base,
            timeouts.token,
            Arc::clone(&store),
            Arc::clone(&clock),
        );
        let storages = Storages::new(Arc::clone(&transport), timeouts.storage, Arc::clone(&clock));
        let graph = Graph {
            base,
            transport: Arc::clone(&transport),
            timeout: timeouts.graph,
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            test_origins: test_origins(&config),
        };
        let clients = config.clients.values().map(|client| &client.credentials);
        let operators = config.operators.values();
        let known = clients.chain(operators.map(|operator| &operator.credentials));
        let rules = known.filter_map(|credentials| credentials.jwt.as_ref());
        let key_sets = KeySets::new(Arc::clone(&transport), rules, Arc::clone(&clock));
        let announcer = Announcer::new(Arc::clone(&transport), Arc::clone(&clock));
        let callbacks = Callbacks::new(transport, &config, timeouts.callback, Arc::clone(&clock));
        Self {
            key_sets,
            requests: Arc::default(),
            open: Arc::default(),
            durations: Arc::default(),
            budget: Arc::default(),
            overflow: Overflow::default(),
            copied: None,
            throttled: Arc::default(),
            stops_at: watch::Sender::new(None),
            deployment: OnceCell::new(),
            openapi: OnceLock::new(),
            metrics: Arc::default(),
            timeouts,
            catalogue: config.catalogue,
            config,
            store,
            queue,
            clock,
            ids,
            timing,
            graph,
            tokens,
            storages,
            callbacks,
            announcer,
        }
    }

    /// Returns the deployment, which is read from the store once and created if there is none.
    ///
    /// A host calls this at its start, to refuse a wrong seal key. If the store is unavailable then, the next caller
    /// reads it.
    pub async fn deployment(&self) -> Result<&Deployment, DeploymentError> {
        let load = || Deployment::load(&*self.store, &self.config, &self.ids);
        self.deployment.get_or_try_init(load).await
    }

    /// Returns the absolute URI in the `ce-source` of callbacks.
    pub(crate) async fn event_source(&self) -> Result<String, DeploymentError> {
        match &self.config.callbacks.source {
            Some(source) => Ok(source.clone()),
            None => Ok(format!(
                "urn:graph-courier:{}",
                self.deployment().await?.id()
            )),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Reports whether a call of at most `pause` and the writes after it fit in before the host ends us at `ends_at`.
    pub(crate) fn has_time_for(&self, pause: Duration, ends_at: Timestamp) -> bool {
        let stops_at = self.stops_at.borrow().unwrap_or(Timestamp::MAX);
        later(self.now(), pause + WRITE_RESULT_TIME) <= ends_at.min(stops_at)
    }

    /// Begins the shutdown: requests that wait are answered, and no call is made that could last longer than `within`.
    pub fn begin_shutdown(&self, within: Duration) {
        self.stops_at.send_replace(Some(later(self.now(), within)));
    }

    /// Completes when the shutdown begins.
    pub(crate) async fn shutting_down(&self) {
        let mut stops_at = self.stops_at.subscribe();
        // The sender lives as long as this object.
        drop(stops_at.wait_for(Option::is_some).await);
    }

    /// Reports whether an authorization server or a storage has refused our secrets since the last call of this function.
    ///
    /// If so, the secrets may have been replaced.
    pub fn credentials_refused(&self) -> bool {
        let (token, key) = (self.tokens.refused(), self.storages.refused());
        token || key
    }

    /// Returns the requests for Graph tokens since the start of the process, by name of the tenant and result: `granted`,
    /// `refused` (somebody has to mend something) or `failed`.
    pub fn token_requests(&self) -> BTreeMap<(String, &'static str), u64> {
        self.tokens.requests()
    }

    /// Returns the kind of token that calls for this record use.
    pub(crate) fn token_kind(&self, record: &Record, operation: &Operation) -> TokenKind {
        let tenant = self.config.graph.tenants.get(&record.tenant);
        tenant.map_or_else(
            || operation.default_token(),
            |tenant| tenant.token_kind(operation),
        )
    }

    pub(crate) fn policy<'a>(&'a self, record: &Record, operation: &'a Operation) -> Policy<'a> {
        Policy {
            operation,
            token: self.token_kind(record, operation),
            graph: self.graph.base(),
            timing: &self.timing,
            shelve_from: self.overflow.shelve_from(self.now()),
            announce: self
                .event_context(&record.client)
                .filter(|_| self.wants(EventType::Ended)),
        }
    }

    /// Returns this `App` as the successor of `former`, which has the same store: with all that must outlive a change of the
    /// configuration.
    ///
    /// These are the pauses that others have asked for, limits, counts, and the shutdown. What is in flight ends with
    /// `former`.
    #[must_use]
    pub fn succeeding(self, former: &Self) -> Self {
        Self {
            tokens: self.tokens.succeeding(&former.tokens),
            storages: self.storages.succeeding(&former.storages),
            callbacks: self.callbacks.succeeding(&former.callbacks),
            announcer: self.announcer.succeeding(&former.announcer),
            requests: Arc::clone(&former.requests),
            open: Arc::clone(&former.open),
            durations: Arc::clone(&former.durations),
            budget: Arc::clone(&former.budget),
            throttled: Arc::clone(&former.throttled),
            metrics: Arc::clone(&former.metrics),
            copied: former.copied.clone(),
            stops_at: former.stops_at.clone(),
            ..self
        }
    }

    /// Returns this `App` for a queue that hands out nothing more when `limit` of its messages are in flight.
    #[must_use]
    pub fn with_in_flight_limit(self, limit: u64) -> Self {
        Self {
            overflow: Overflow::of(limit),
            ..self
        }
    }

    /// Returns this `App` for a store that was restored from a copy.
    #[must_use]
    pub fn with_copied(self, copied: Option<Copied>) -> Self {
        Self { copied, ..self }
    }

    pub(crate) fn may_start(&self, record: &Record) -> bool {
        may_start(record, self.now(), &self.timing)
    }
}
