//! Sends events to the one target of the configuration: an HTTP receiver, or an event bus of Amazon EventBridge.
//!
//! The end of an operation is sent from its record, as its callback is. Every other event waits in a bounded buffer of
//! this process (`outbox`) and is sent once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::callback::CallbackReply;
use crate::callback::breaker::{CircuitBreakers, Health};
use crate::callback::notices::Notices;
use crate::config::{EventTarget, Events};
use crate::operation::{FrozenEvent, OperationId};
use crate::outbound::{Transport, Unanswered};
use crate::time::{Clock, elapsed};

mod event_bridge;
mod http;
mod outbox;

use outbox::Outbox;

/// Requests in flight to the target at the same time.
const IN_FLIGHT: u32 = 20;
/// Stands where the breaker of a callback has the client's name.
const WHOSE: &str = "[events]";
/// Longest time for one request.
const LONGEST: Duration = Duration::from_secs(10);

/// Sends events, and holds those that wait to be sent.
pub(crate) struct Announcer {
    transport: Arc<dyn Transport>,
    clock: Clock,
    breakers: CircuitBreakers,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) notices: Notices,
}

/// The result of one attempt to announce the end of an operation.
pub(crate) enum Attempt {
    /// The attempt was made, or failed before anything was sent.
    Answered(CallbackReply),
    /// Nothing was sent, because the target is down or has enough to do; the time is the next try.
    Deferred(Timestamp),
}

impl Announcer {
    pub(crate) fn new(transport: Arc<dyn Transport>, clock: Clock) -> Self {
        Self {
            transport,
            clock,
            breakers: CircuitBreakers::new(IN_FLIGHT),
            outbox: Arc::default(),
            notices: Notices::default(),
        }
    }

    /// Returns this announcer with the pauses, the requests in flight and the waiting events of `former`.
    pub(crate) fn succeeding(self, former: &Self) -> Self {
        Self {
            breakers: self.breakers.succeeding(&former.breakers),
            outbox: Arc::clone(&former.outbox),
            ..self
        }
    }

    /// Returns the longest time that one attempt can take.
    pub(crate) fn longest(&self) -> Duration {
        LONGEST
    }

    /// Makes one attempt to send the event that this operation has ended, unless the circuit breaker defers it.
    pub(crate) async fn announce(
        &self,
        events: &Events,
        event: &FrozenEvent,
        operation: &OperationId,
    ) -> Attempt {
        let origin = events.target.origin();
        let now = (self.clock)();
        let permit = match self.breakers.acquire(WHOSE, &origin, operation, now) {
            Ok(permit) => permit,
            Err(until) => return Attempt::Deferred(until),
        };
        let mut replies = self.send(events, &[event], LONGEST).await;
        let reply = replies.pop().unwrap_or_default();
        permit.report(health(&reply), (self.clock)());
        Attempt::Answered(reply)
    }

    /// Sends events of the buffer once, all in one request where the target takes that, and returns how many were taken.
    ///
    /// The error is the time before which nothing is sent.
    pub(crate) async fn send_once(
        &self,
        events: &Events,
        batch: &[FrozenEvent],
        within: Duration,
    ) -> Result<usize, Timestamp> {
        let origin = events.target.origin();
        let stand_in = OperationId::from_key(WHOSE, "batch");
        let now = (self.clock)();
        let permit = self.breakers.acquire(WHOSE, &origin, &stand_in, now)?;
        let batch: Vec<&FrozenEvent> = batch.iter().collect();
        let within = within.min(LONGEST);
        let replies = self.send(events, &batch, within).await;
        let refused = replies.iter().find(|reply| !reply.taken);
        let health = refused.map_or(Health::Up, health);
        permit.report(health, (self.clock)());
        if let Some(reply) = refused {
            let now = (self.clock)();
            if let Some(left_out) = self.notices.take("events", &origin, now) {
                let (status, detail) = (reply.status, reply.detail.as_deref());
                tracing::warn!(
                    target = origin,
                    status,
                    detail,
                    left_out,
                    "events were not taken and are dropped; the end of an operation is sent again"
                );
            }
        }
        Ok(replies.iter().filter(|reply| reply.taken).count())
    }

    /// Sends events and returns what became of each.
    async fn send(
        &self,
        events: &Events,
        batch: &[&FrozenEvent],
        within: Duration,
    ) -> Vec<CallbackReply> {
        let sent_at = (self.clock)();
        let mut replies = match &events.target {
            EventTarget::Http {
                url,
                signing_secrets,
            } => {
                let mut replies = Vec::new();
                for event in batch {
                    let now = (self.clock)();
                    let left = within.saturating_sub(elapsed(sent_at, now));
                    let call = http::call(url, signing_secrets, event, now, left);
                    let reply = match call {
                        Some(call) => {
                            let answered = self.transport.send(call).await;
                            answered.map_or_else(unanswered, |answered| {
                                http::reply(&answered, (self.clock)())
                            })
                        }
                        None => CallbackReply::unsent("the event cannot be sent"),
                    };
                    let failed = !reply.taken;
                    replies.push(reply);
                    // The others would most likely meet the same.
                    if failed {
                        break;
                    }
                }
                replies
            }
            EventTarget::Bus(bus) => match event_bridge::call(bus, batch, sent_at, within) {
                Some(call) => {
                    let answered = self.transport.send(call).await;
                    answered.map_or_else(
                        |error| vec![unanswered(error); batch.len()],
                        |answered| event_bridge::replies(&answered, batch.len(), (self.clock)()),
                    )
                }
                None => vec![CallbackReply::unsent("the events cannot be sent"); batch.len()],
            },
        };
        let latency = elapsed(sent_at, (self.clock)());
        for reply in &mut replies {
            reply.latency = Some(latency);
        }
        replies
    }
}

fn unanswered(error: Unanswered) -> CallbackReply {
    CallbackReply::unsent(&error.to_string())
}

/// Returns what a reply shows about the target.
fn health(reply: &CallbackReply) -> Health {
    if reply.taken {
        Health::Up
    } else {
        // An error that says so means the same as the status for it.
        let status = if reply.is_busy {
            Some(429)
        } else {
            reply.status
        };
        Health::of(status, reply.retry_after)
    }
}
