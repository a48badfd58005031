//! Delivers a frozen completion to its receiver, in the form of its callback profile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::callback::breaker::{Change, CircuitBreakers, Health, Permit};
use crate::config::{CallbackProfile, Client, Config};
use crate::crypto::seal::Sealer;
use crate::crypto::secret::Secret;
use crate::operation::{FrozenEvent, Record, SealedField};
use crate::outbound::address::Allowed;
use crate::outbound::target_url::{self, CallbackUrl};
use crate::outbound::{Call, Read, Route, Transport};
use crate::time::Clock;
use crate::time::elapsed;

pub(crate) mod breaker;
mod excerpt;
mod handshake;
mod headers;
pub(crate) mod notices;
mod oauth2;
mod reply;
mod request;

use excerpt::Secrets;
use handshake::Handshakes;
use notices::Notices;
use oauth2::{AccessTokens, NoCredentials};
pub use reply::CallbackReply;

/// Time within which delivery of a completion is tried, from the first attempt: 75 h 35 min 5 s.
pub const DELIVERY_WINDOW: Duration = Duration::from_secs(272_105);
/// Default limit of deliveries in flight to one receiver.
const DEFAULT_IN_FLIGHT: u32 = 20;
/// Number of bytes read of an answer, of which the history keeps at most 1 KiB.
const ANSWER_READ_BYTES: usize = 4096;

pub(crate) struct Callbacks {
    transport: Arc<dyn Transport>,
    allowed: Arc<Allowed>,
    timeout: Duration,
    clock: Clock,
    /// The history keeps how a receiver's answer begins.
    keep_answers: bool,
    breakers: CircuitBreakers,
    handshakes: Handshakes,
    tokens: AccessTokens,
    pub(crate) notices: Notices,
}

/// The result of one attempt to deliver a completion.
pub(crate) enum DeliveryResult {
    /// The attempt was made, or failed before anything was sent; the reply says which.
    Answered(CallbackReply),
    /// Nothing was sent, because the receiver is down, too many deliveries are in flight, or the access token for the
    /// receiver cannot be had; the time is the next try, and the text says why there is no token.
    Deferred(Timestamp, Option<String>),
    /// Nothing was sent, because the configuration lacks what this completion needs; the text says what.
    Orphaned(&'static str),
}

/// Why an attempt cannot be made.
enum NoAttempt {
    /// It counts as a failed attempt.
    Failed(&'static str),
    /// The configuration lacks something, which is not the receiver's fault.
    Orphaned(&'static str),
}

/// Why a completion has no answer of its receiver.
enum Unsent {
    /// The attempt failed; the text says how, and the health what that shows about the receiver.
    Failed(String, Health),
    /// Nothing was sent, and there is no sense in trying before this time: the access token cannot be had, or the receiver
    /// allows only so many requests per minute.
    NotBefore(Timestamp, Option<String>),
}

/// Everything that one delivery attempt needs.
struct DeliveryAttempt<'a> {
    record: &'a Record,
    client: &'a Client,
    profile: &'a CallbackProfile,
    event: &'a FrozenEvent,
    source: &'a str,
    url: CallbackUrl,
    token: Option<Secret>,
    /// The secrets of the result by name, if the request asked for them.
    secrets: BTreeMap<String, Secret>,
}

impl Callbacks {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        config: &Config,
        timeout: Duration,
        clock: Clock,
    ) -> Self {
        let in_flight = config
            .callbacks
            .in_flight_per_host
            .unwrap_or(DEFAULT_IN_FLIGHT);
        Self {
            keep_answers: config.callbacks.keep_answers,
            breakers: CircuitBreakers::new(in_flight),
            handshakes: Handshakes::new(config.callbacks.origin.clone()),
            tokens: AccessTokens::new(timeout / 3),
            notices: Notices::default(),
            allowed: Arc::clone(&config.allowed),
            transport,
            timeout,
            clock,
        }
    }

    /// Returns these with the breakers of `former`, whose deliveries in flight and pauses count for both.
    pub(crate) fn succeeding(self, former: &Self) -> Self {
        Self {
            breakers: self.breakers.succeeding(&former.breakers),
            tokens: self.tokens.succeeding(&former.tokens),
            ..self
        }
    }

    /// Returns the timeout of a call that precedes the delivery: for an access token or for a handshake.
    fn side_call_timeout(&self) -> Duration {
        self.timeout / 3
    }

    /// Returns the longest time that one attempt can take.
    pub(crate) fn longest(&self) -> Duration {
        self.timeout + 2 * self.side_call_timeout()
    }

    /// Makes one delivery attempt, unless the circuit breaker defers it. The result contains no secrets.
    ///
    /// `source` is the URI in `ce-source`.
    pub(crate) async fn deliver(
        &self,
        record: &Record,
        client: &Client,
        sealer: &Sealer,
        source: &str,
    ) -> DeliveryResult {
        let attempt = match self.attempt(record, client, sealer, source) {
            Ok(attempt) => attempt,
            Err(NoAttempt::Failed(detail)) => {
                return DeliveryResult::Answered(CallbackReply::unsent(detail));
            }
            Err(NoAttempt::Orphaned(detail)) => return DeliveryResult::Orphaned(detail),
        };
        let origin = attempt.url.origin();
        let now = (self.clock)();
        let permit = match self
            .breakers
            .acquire(&client.name, &origin, &record.id, now)
        {
            Ok(permit) => permit,
            Err(until) => return DeliveryResult::Deferred(until, None),
        };
        let (reply, health) = match self.send(&attempt, &permit).await {
            Ok(reply) => {
                let refused = reply.status.filter(|_| !reply.taken);
                let health = refused.map_or(Health::Up, |status| {
                    // An error that says so means the same as the status for it.
                    let status = if reply.is_busy { 429 } else { status };
                    Health::of(Some(status), reply.retry_after)
                });
                (reply, health)
            }
            Err(Unsent::Failed(detail, health)) => (CallbackReply::unsent(&detail), health),
            Err(Unsent::NotBefore(until, why)) => return DeliveryResult::Deferred(until, why),
        };
        let now = (self.clock)();
        self.report(client, &origin, permit.report(health, now), now);
        DeliveryResult::Answered(reply)
    }

    /// Logs what has changed for a receiver.
    fn report(&self, client: &Client, origin: &str, change: Change, now: Timestamp) {
        let (client, host) = (client.name.as_str(), host_of(origin));
        let whom = format!("{client} {origin}");
        match change {
            Change::Nothing => {}
            Change::Paused(until) => {
                if let Some(left_out) = self.notices.take("paused", &whom, now) {
                    tracing::warn!(client, host, %until, left_out, "the receiver is down or asks for a pause; its deliveries wait");
                }
            }
            Change::Recovered => {
                if let Some(left_out) = self.notices.take("recovered", &whom, now) {
                    tracing::info!(client, host, left_out, "the receiver answers again");
                }
            }
        }
    }

    fn attempt<'a>(
        &self,
        record: &'a Record,
        client: &'a Client,
        sealer: &Sealer,
        source: &'a str,
    ) -> Result<DeliveryAttempt<'a>, NoAttempt> {
        let target = record.callback.as_ref();
        let target = target.ok_or(NoAttempt::Failed("no callback was asked for"))?;
        let event = record.event.as_ref();
        let event = event.ok_or(NoAttempt::Failed("the completion is not frozen"))?;
        let name = target.profile.as_ref().unwrap_or(&client.profiles.default);
        let profile = client.profiles.all.get(name).ok_or(NoAttempt::Orphaned(
            "the callback's profile is no longer configured",
        ))?;
        let unreadable = |_| {
            NoAttempt::Orphaned(
                "what was sealed for the callback cannot be opened with the configured key",
            )
        };
        let url = sealer
            .open(
                &SealedField::CallbackUrl.seal_context(&record.id),
                &target.url,
            )
            .map_err(unreadable)?;
        let token = target
            .token
            .as_ref()
            .map(|token| sealer.open(&SealedField::TaskToken.seal_context(&record.id), token));
        // The URL is checked again because the configuration may have changed since the request.
        let url = target_url::parse(url.expose(), &client.callback_origins, &self.allowed)
            .map_err(|_| NoAttempt::Failed("the callback URL is no longer allowed"))?;
        Ok(DeliveryAttempt {
            record,
            client,
            profile,
            event,
            source,
            url,
            token: token.transpose().map_err(unreadable)?,
            secrets: request::secrets(record, sealer).map_err(unreadable)?,
        })
    }

    /// Sends the completion and returns the receiver's answer.
    ///
    /// The error says why there is none, and what that shows about the receiver's health.
    async fn send(
        &self,
        attempt: &DeliveryAttempt<'_>,
        permit: &Permit,
    ) -> Result<CallbackReply, Unsent> {
        let untried = |detail: &str| Unsent::Failed(detail.to_owned(), Health::Untried);
        let (client, profile) = (attempt.client, attempt.profile);
        let credentials = self
            .credentials(client, profile)
            .await
            .map_err(|error| match error {
                NoCredentials::Unusable(detail) => untried(detail),
                NoCredentials::NotBefore(until, why) => Unsent::NotBefore(until, why),
            })?;
        let body = attempt.body();
        let body = body.ok_or_else(|| untried("the task's token cannot be filled in"))?;
        let (url, sent_at) = (attempt.url(), (self.clock)());
        let mut headers =
            headers::of(attempt, &body, credentials.as_ref(), sent_at).map_err(untried)?;
        let signed = attempt.sign(&url, &body, &mut headers, sent_at);
        let signature = signed.map_err(untried)?;
        if profile.handshake {
            let agreed = self.shake_hands(client, &attempt.url).await;
            agreed.map_err(|(detail, health)| Unsent::Failed(detail, health))?;
            permit
                .keep_rate((self.clock)())
                .map_err(|until| Unsent::NotBefore(until, None))?;
        }
        let mut secrets = excerpt::secrets_of(&attempt.url);
        let sent_secrets = credentials
            .iter()
            .map(|(_, value)| value)
            .chain(profile.proof.secrets())
            .chain(&attempt.token)
            .chain(&signature)
            .chain(attempt.secrets.values());
        for secret in sent_secrets.map(Secret::expose) {
            // An answer may repeat the credential without the scheme before it (`Bearer`, `Basic`).
            secrets
                .extend([secret, secret.rsplit(' ').next().unwrap_or_default()].map(str::to_owned));
        }
        let sent = self.transport.send(Call {
            route: Route::Guarded,
            method: profile.format.method.clone(),
            url,
            headers,
            body,
            read: match profile.format.reads_answers() {
                true => Read::Whole,
                false => Read::First(ANSWER_READ_BYTES),
            },
            timeout: self.timeout,
        });
        let result = sent.await;
        let now = (self.clock)();
        let answered = result
            .map_err(|unanswered| Unsent::Failed(unanswered.to_string(), Health::of(None, None)))?;
        let secrets = Secrets::new(secrets);
        let mut reply = reply::of(&profile.format, &answered, &secrets, now, self.keep_answers);
        reply.latency = Some(elapsed(sent_at, now));
        if let (http::StatusCode::UNAUTHORIZED, Some((_, header))) = (answered.status, &credentials)
        {
            self.tokens.forget(client, profile, header);
        }
        Ok(reply)
    }
}

/// Returns the host of a receiver's origin, for the log.
pub(crate) fn host_of(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}
