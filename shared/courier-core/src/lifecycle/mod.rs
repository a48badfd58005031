//! The only place that knows which state may follow which. Pure: the record, what happened and the time
//! go in; a guarded write and what to do next come out. Every host, the model checker and the tests call this function.

use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use crate::callback::CallbackReply;
use crate::catalogue::{Operation, Restart, TokenKind};
use crate::events::Context;
use crate::graph::unavailable::NotReady;
use crate::graph::verdict::GraphReply;
use crate::operation::message::Message;
use crate::operation::{CallbackTarget, Forecast, HistoryEntry, Outcome, Record, State};
use crate::time::later;

mod announcing;
mod delivering;
mod ending;
mod erasing;
mod following;
pub mod forecast;
mod legal;
mod locating;
mod losing;
mod restoring;
pub mod resuming;
mod running;
pub mod schedule;
mod starting;
mod timing;
pub use delivering::Channel;

pub use legal::LegalChange;
pub use timing::Timing;

/// An event that may change a record.
#[derive(Debug, Clone)]
pub enum Event {
    /// The queue delivered a message, for the first time or again. Handling a new request begins with its watchdog.
    Arrived(Message),
    /// The start request is built and has a token, so the start may be claimed. If it needs a container of ours, this is
    /// its URL.
    Prepared {
        container: Option<String>,
    },
    /// The start request could not be prepared.
    NotReady(NotReady),
    /// The start call of this attempt returned, with or without an answer. Its job's looks follow from `forecast`.
    Started {
        attempt: u32,
        client_request_id: String,
        start_url: String,
        reply: GraphReply,
        forecast: Option<Forecast>,
    },
    /// A poll for the message of `epoch`, received `receives` times, returned; or it could not be made.
    Polled {
        epoch: u32,
        receives: u32,
        asked: Asked,
        client_request_id: String,
        reply: Result<GraphReply, NotReady>,
    },
    /// The callback request to version `target` of the callback returned, with or without an answer.
    Called {
        epoch: u32,
        target: u32,
        reply: CallbackReply,
    },
    /// The request to the target of events returned, with or without an answer.
    Announced {
        epoch: u32,
        reply: CallbackReply,
    },
    /// Nothing was sent: the receiver's circuit breaker is open, or too many deliveries to it are in flight.
    ///
    /// Or what it needs cannot be had now, which `detail` says: an access token, or something of the configuration.
    Deferred {
        channel: Channel,
        epoch: u32,
        until: Timestamp,
        detail: Option<String>,
    },
    Cancelled,
    RedeliveryRequested,
    /// The caller changed the URL, profile or token of the callback.
    Retargeted(Box<CallbackTarget>),
    /// The caller wants what the record says about people to be erased.
    Erased,
    /// A person has looked into an `unknown` outcome.
    Acknowledged {
        by: String,
        note: String,
    },
    /// Another operation goes on with the job.
    Resumed,
    /// Somebody has extended, stopped or resumed the legal clock.
    LegalClockChanged(Box<LegalChange>),
    /// Somebody asked for this event: kind and name of the caller, which the history repeats.
    Requested {
        by: String,
        event: Box<Self>,
    },
    /// The sweeper found the record overdue: its message may be lost.
    Overdue,
    /// A step panicked, or hung until its host abandoned it.
    StepCrashed,
    /// The record was restored from a copy that was made at this time, if it says so. What was done later is not known.
    Restored {
        copied_at: Option<Timestamp>,
    },
}

/// What a poll has asked Graph for. An answer counts only for a record that would still ask the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// This monitor: of the job, or of what it has made.
    Monitor(String),
    /// The job, whose URL was not known, at this time.
    Job { at: Timestamp },
}

impl Asked {
    /// Returns what a poll of `record` asks for at `now`.
    pub fn of(record: &Record, now: Timestamp) -> Self {
        match &record.state {
            State::Running { monitor } => Self::Monitor(monitor.clone()),
            State::Accepted { .. }
            | State::Starting { .. }
            | State::StartUnknown { .. }
            | State::Locating { .. }
            | State::Ended { .. }
            | State::Closed { .. } => Self::Job { at: now },
        }
    }
}

/// The work to do, in this order: the write (guarded by the revision), then the message, then `next`.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub write: Option<Box<Record>>,
    pub send: Option<(Message, Timestamp)>,
    pub next: Next,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Build the start request and fetch a token; the next event is `Prepared` or `NotReady`.
    Prepare,
    /// Send the prepared request once; the next event is `Started`.
    Start { attempt: u32 },
    /// Poll the monitor once; the next event is `Polled`.
    Poll,
    /// Deliver the completion to the receiver; the next event is `Called` or `Deferred`.
    Deliver,
    /// Send the event that the operation has ended; the next event is `Announced` or `Deferred`.
    Announce,
    /// Decide about the message again, with the record as it is now.
    Redecide,
    /// Have the queue deliver the message again at this time.
    Wait(Timestamp),
    /// Delete the message.
    Drop,
}

/// The configuration that the rules need besides the record.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    pub operation: &'a Operation,
    /// The kind of token that its calls use.
    pub token: TokenKind,
    /// The configured Graph origin, the only one that a token is sent to.
    pub graph: &'a Url,
    pub timing: &'a Timing,
    /// The shortest wait for a poll that is shelved: the record says when it ends, and its message is deleted. `None`
    /// for none.
    pub shelve_from: Option<Duration>,
    /// The end is announced as an event with this source; `None` if nobody wants to know.
    pub announce: Option<Context<'a>>,
}

/// Decides what follows from an event.
///
/// An event that no longer fits the record changes nothing and leads to [`Next::Redecide`] or [`Next::Drop`].
pub fn decide(record: &Record, event: &Event, now: Timestamp, policy: &Policy<'_>) -> Decision {
    let decision = decided(record, event, now, policy);
    legal::watched(record, event, now, decision)
}

fn decided(record: &Record, event: &Event, now: Timestamp, policy: &Policy<'_>) -> Decision {
    let rules = Rules {
        record,
        now,
        policy,
        by: None,
    };
    rules.decide(event)
}

/// Reports whether a start of `record` is to come or may be under way.
///
/// An operation that waits behind it in the line of starts must not start yet.
pub fn may_start(record: &Record, now: Timestamp, timing: &Timing) -> bool {
    // Cancelling does not stop a start call that is already under way.
    let cancelled = record.state.outcome() == Some(Outcome::Cancelled);
    let called = record.maybe_started && record.started_at.is_none();
    let until = record.ended_at.map(|ended| later(ended, timing.lease));
    let under_way = cancelled && called && until.is_some_and(|until| now < until);
    record.state.is_starting() || under_way
}

#[derive(Clone, Copy)]
struct Rules<'a> {
    record: &'a Record,
    now: Timestamp,
    policy: &'a Policy<'a>,
    /// Who has asked for the event, which each line of the history that it adds repeats.
    by: Option<&'a str>,
}

impl Rules<'_> {
    fn decide(&self, event: &Event) -> Decision {
        match event {
            Event::Arrived(message) => self.arrived(message),
            Event::Prepared { container } => self.prepared(container.as_deref()),
            Event::NotReady(not_ready) => self.not_ready(not_ready),
            Event::Started {
                attempt,
                client_request_id,
                start_url,
                reply,
                forecast,
            } => {
                let call = (client_request_id.as_str(), start_url.as_str());
                self.started(*attempt, call, reply, forecast.as_ref())
            }
            Event::Polled {
                epoch,
                receives,
                asked,
                client_request_id,
                reply,
            } => {
                let polled = running::Polled {
                    epoch: *epoch,
                    receives: *receives,
                    asked,
                };
                match reply {
                    Ok(reply) => self.polled(&polled, client_request_id, reply),
                    Err(not_ready) => self.poll_not_ready(&polled, not_ready),
                }
            }
            Event::Called {
                epoch,
                target,
                reply,
            } => self.called(*epoch, *target, reply),
            Event::Announced { epoch, reply } => self.announced(*epoch, reply),
            Event::Deferred {
                channel,
                epoch,
                until,
                detail,
            } => self.deferred(*channel, *epoch, *until, detail.as_deref()),
            Event::Cancelled => self.cancelled(),
            Event::RedeliveryRequested => self.redelivery_requested(),
            Event::Retargeted(target) => self.retargeted(target),
            Event::Erased => self.erased(),
            Event::Acknowledged { by, note } => self.acknowledged(by, note),
            Event::Resumed => self.resumed(),
            Event::LegalClockChanged(change) => self.legal_clock_changed(change),
            Event::Requested { by, event } => Rules {
                by: Some(by),
                ..*self
            }
            .decide(event),
            Event::Overdue => self.found_overdue(),
            Event::StepCrashed => self.step_crashed(),
            Event::Restored { copied_at } => self.restored(*copied_at),
        }
    }

    /// Schedules a crashed step again after 1, 4, 16 and 64 minutes, then every four hours.
    ///
    /// So a record that crashes every step costs little and is not lost.
    fn step_crashed(&self) -> Decision {
        if self.record.due_at.is_none() {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        record.step_crashes += 1;
        let minutes = 4_u64.saturating_pow(record.step_crashes - 1).min(240);
        let until = later(self.now, Duration::from_secs(60 * minutes));
        record.due_at = record.due_at.max(Some(until));
        let detail = format!("{} in a row", record.step_crashes);
        self.note(&mut record, "stumbled", Some(detail));
        written(record, Next::Wait(until))
    }

    /// Returns a copy of the record with the next revision, ready to be changed.
    fn changed(&self) -> Record {
        let mut record = self.record.clone();
        record.revision += 1;
        record
    }

    fn class(&self) -> Restart {
        self.policy.operation.restart
    }

    /// Reports whether the sweeper would take the message for lost if it waits until then without a write.
    fn outlasts_sweeper(&self, until: Timestamp) -> bool {
        let grace = Duration::from_secs(300);
        let due = self.record.due_at;
        due.is_none_or(|due| until > later(due, grace))
    }

    /// Names the permissions that the operation needs and what came, for the history of one that lacks authorization.
    fn lacking(&self, came: Option<String>) -> Option<String> {
        let permissions = self.policy.operation.permissions_of(self.policy.token);
        let needs = (!permissions.is_empty()).then(|| format!("needs {}", permissions.join(", ")));
        let parts: Vec<String> = needs.into_iter().chain(came).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn overdue(&self) -> bool {
        self.now >= self.record.deadline
    }

    fn note(&self, record: &mut Record, event: &str, detail: Option<String>) {
        let entry = HistoryEntry {
            client_request_id: record.graph.client_request_id.clone(),
            request_id: record.graph.request_id.clone(),
            ..self.entry(event, record.state.status(), detail)
        };
        record.remember(entry);
    }

    fn note_call(
        &self,
        record: &mut Record,
        event: &str,
        detail: Option<String>,
        client_request_id: &str,
        reply: &GraphReply,
    ) {
        let (http_status, request_id) = match reply {
            GraphReply::Answer(answer) => (Some(answer.status), answer.request_id.clone()),
            GraphReply::NotSent(_) | GraphReply::Lost(_) => (None, None),
        };
        record.remember(HistoryEntry {
            http_status,
            client_request_id: Some(client_request_id.to_owned()),
            request_id,
            ..self.entry(event, record.state.status(), detail)
        });
    }

    /// Reports whether the newest lines of the history are of this event and one of them says the same.
    fn is_noted(&self, event: &str, detail: Option<&str>) -> bool {
        let newest = self.record.history.iter().rev();
        newest
            .take_while(|line| line.event == event)
            .any(|line| line.detail.as_deref() == detail)
    }

    fn entry(&self, event: &str, status: &str, detail: Option<String>) -> HistoryEntry {
        HistoryEntry {
            by: self.by.map(str::to_owned),
            ..HistoryEntry::new(self.now, status, event, detail)
        }
    }
}

fn only(next: Next) -> Decision {
    Decision {
        write: None,
        send: None,
        next,
    }
}

fn written(record: Record, next: Next) -> Decision {
    Decision {
        write: Some(Box::new(record)),
        send: None,
        next,
    }
}
