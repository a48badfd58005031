//! The stored record of an operation: the request, the present state, and the history.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::crypto::seal::Sealed;

mod acknowledgement;
pub mod chain;
mod completion;
mod error;
mod follow_up;
pub(crate) mod forecast;
mod graph_view;
mod hash;
mod history;
mod id;
mod legal_clock;
pub mod message;
mod person;
mod reason;
mod sealed_field;
pub mod trace_context;
pub mod view;

pub use acknowledgement::Acknowledgement;
pub use chain::Chain;
pub use completion::{Announcement, CallbackTarget, Delivery, FrozenEvent};
pub use error::OperationError;
pub use follow_up::FollowUp;
pub use forecast::Forecast;
pub use graph_view::GraphView;
pub use hash::Hash;
pub use history::{Digests, HistoryEntry};
pub use id::{Ids, OperationId, random_ids};
pub use legal_clock::{LegalClock, RISK_DAYS};
pub use person::person_hash;
pub use reason::Reason;
pub use sealed_field::SealedField;

/// The stored record. Every write raises `revision` by one; `decide` is the only author of a new state.
///
/// An empty field is not stored. A missing one is read as empty, by earlier versions too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: OperationId,
    pub revision: u64,
    /// Nonce of the last write, by which a writer recognises its own write when the store's answer was lost.
    pub writer: String,
    pub client: String,
    pub tenant: String,
    /// Name of the operation in the catalogue.
    pub operation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Hash of the person that the operation is about ([`person_hash`]), where the catalogue says which parameter it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Hash of the payload without SAS signature fields.
    pub fingerprint: String,
    /// Parameters that may be read; of a SAS URL only the container's URL appears.
    pub parameters: Map<String, Value>,
    /// Secret parameters; they are dropped when the start phase ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_parameters: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackTarget>,
    /// W3C trace context of the request: each callback is a call of the same trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    pub created_at: Timestamp,
    pub deadline: Timestamp,
    /// Time by which the operation needs its next step; some time after it the sweep steps in. `None` once Closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    pub state: State,
    /// Number of the last claimed start, which fences off earlier ones.
    pub attempt: u32,
    /// An answer to a start was lost at some time. This stays set: a later refusal does not prove that no job runs.
    pub maybe_started: bool,
    /// Graph has refused the token of a start once, after which a fresh one was fetched.
    pub token_refused: bool,
    /// The fencing token of the message that carries the polling: messages of a lower epoch are dropped.
    #[serde(rename = "hop")]
    pub epoch: u32,
    /// Number of consecutive steps that panicked or hung.
    #[serde(rename = "stumbles", default)]
    pub step_crashes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// A job that already ran was found and is followed.
    pub adopted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    pub graph: GraphView,
    /// How long such jobs took when this one started; its looks follow from it. `None` where too little was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// The URL at which a job was polled that may still run although the operation has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_monitor: Option<String>,
    /// The operation with the same idempotency key whose start was refused, so that the key was free again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<OperationId>,
    /// The operation that ended before its job did; this one follows the same job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<OperationId>,
    /// The operation that goes on with the job of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_as: Option<OperationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Map<String, Value>>,
    /// Secrets of the result, sealed; they are given once, in the callback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_result: Option<Map<String, Value>>,
    /// The look after the job's success that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<FollowUp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
    /// The completion, frozen by the write into Ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<FrozenEvent>,
    pub delivery: Delivery,
    /// The event that the operation has ended, frozen by the same write; `None` where no event is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announcement: Option<Announcement>,
    pub history: Vec<HistoryEntry>,
    /// The hash chain of the history; a record of an earlier version gets one with its next line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chain>,
    /// What `due_at` was when the operation was shelved: no message waits, and the sweep sends one then. Another `due_at`
    /// means that it is shelved no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shelved_until: Option<Timestamp>,
    /// A person has looked into this `unknown` outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// When the answer is due by law, if the request said so. It is not `deadline`, the end of our own patience.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal: Option<LegalClock>,
    /// Time at which the caller had its personal data erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<Timestamp>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Fields that a newer version has written. They are kept, so that a rollback takes nothing from a record.
pub type Unknown = Map<String, Value>;

/// The values of the public `status`.
pub const STATUSES: [&str; 9] = [
    "accepted",
    "starting",
    "running",
    Outcome::Succeeded.as_str(),
    Outcome::PartiallySucceeded.as_str(),
    Outcome::Failed.as_str(),
    Outcome::Expired.as_str(),
    Outcome::Unknown.as_str(),
    Outcome::Cancelled.as_str(),
];

/// The values of `callback.status`.
pub const CALLBACK_STATUSES: [&str; 5] =
    ["none", "pending", "retrying", "delivered", "undeliverable"];

/// The values of `events.status`.
pub const ANNOUNCEMENT_STATUSES: [&str; 4] = ["pending", "retrying", "delivered", "undeliverable"];

/// Number of the oldest history lines that are always kept.
const FIRST_HISTORY_LINES: usize = 20;
/// Maximum number of history lines, so that a start that is refused for weeks does not outgrow its store.
const MAX_HISTORY_LINES: usize = 150;
/// Number of newest attempts whose history lines keep the beginning of the receiver's answer.
const MAX_KEPT_ANSWERS: usize = 10;

impl Record {
    /// Reports whether the operation waits after a look or a start that has brought nothing, and does not say why.
    ///
    /// No decision leaves a record like this (invariant I14).
    pub fn is_silent(&self) -> bool {
        let has_stalled = match self.state {
            State::Running { .. } => self.graph.unanswered > 0 || self.graph.missing > 0,
            State::Starting { .. } | State::StartUnknown { .. } => self.maybe_started,
            State::Locating { .. } => true,
            State::Accepted { .. } => self.attempt > 0,
            State::Ended { .. } | State::Closed { .. } => false,
        };
        has_stalled && self.reason.is_none()
    }

    /// Reports whether this is the record as the writer with this nonce wrote it at this revision.
    pub fn is_write(&self, revision: u64, writer: &str) -> bool {
        self.revision == revision && self.writer == writer
    }

    /// Reports whether no message waits for this operation, because the sweep sends it one when it is due.
    pub fn is_shelved(&self) -> bool {
        self.shelved_until.is_some() && self.shelved_until == self.due_at
    }

    /// Returns one of [`CALLBACK_STATUSES`].
    pub fn callback_status(&self) -> &'static str {
        let has_ended = matches!(self.state, State::Ended { .. });
        match self.callback_outcome() {
            _ if self.callback.is_none() => "none",
            Some(DeliveryOutcome::Delivered) => "delivered",
            Some(DeliveryOutcome::Undeliverable) => "undeliverable",
            None if has_ended && self.delivery.scheduled_attempts > 0 => "retrying",
            None | Some(DeliveryOutcome::NotRequested) => "pending",
        }
    }

    /// Returns the final result of the callback's delivery, once there is one.
    pub fn callback_outcome(&self) -> Option<DeliveryOutcome> {
        match &self.state {
            State::Closed { how, .. } => Some(*how),
            State::Ended { .. } => self.announcement.as_ref()?.callback,
            State::Accepted { .. }
            | State::Starting { .. }
            | State::StartUnknown { .. }
            | State::Locating { .. }
            | State::Running { .. } => None,
        }
    }

    /// Returns when each delivery that is still to be made is due, the callback's and the announcement's.
    ///
    /// `now` stands for a time that the record does not say.
    pub(crate) fn deliveries_due(&self, now: Timestamp) -> [Option<Timestamp>; 2] {
        if !matches!(self.state, State::Ended { .. }) {
            return [None; 2];
        }
        let at = |delivery: &Delivery| delivery.next_attempt_at.unwrap_or(now);
        let callback = self.callback_outcome().is_none();
        let announcement = self.announcement.as_ref();
        let announcement = announcement.filter(|announcement| announcement.settled.is_none());
        [
            callback.then(|| at(&self.delivery)),
            announcement.map(|announcement| at(&announcement.delivery)),
        ]
    }

    /// Reports whether the filter `callback=wanted` finds this record: `pending` is all that is still to be delivered.
    pub fn matches_callback(&self, wanted: &str) -> bool {
        let status = self.callback_status();
        status == wanted || (wanted, status) == ("pending", "retrying")
    }

    /// Adds a line to a history and its chain; a full one first drops the oldest line after the [`FIRST_HISTORY_LINES`].
    ///
    /// The line must be complete: nothing that the chain covers may change later.
    pub fn remember(&mut self, entry: HistoryEntry) {
        let is_full = self.history.len() >= MAX_HISTORY_LINES;
        self.chain_entry(&entry, is_full);
        if is_full {
            self.history.remove(FIRST_HISTORY_LINES);
        }
        self.history.push(entry);
        let lines = self.history.iter_mut().rev();
        let old = lines
            .filter(|line| line.answer.is_some())
            .skip(MAX_KEPT_ANSWERS);
        old.for_each(|line| line.answer = None);
    }
}

/// The state of an operation. `lifecycle` decides which may follow which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "name",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum State {
    /// The operation is stored, and no start is in flight.
    Accepted { not_before: Timestamp },
    /// The start with the number `Record::attempt` may be calling Graph until the lease ends.
    Starting { lease_until: Timestamp },
    /// The answer to a start of class *never* was lost; a late answer of that attempt may still arrive.
    StartUnknown { hold_until: Timestamp },
    /// A job runs or may run, and its URL is not known: it is looked for.
    Locating {
        next_look_at: Timestamp,
        /// Time by which the job of a lost start must have appeared; `None` if Graph has accepted the start.
        settle_until: Option<Timestamp>,
    },
    /// Graph runs the job, which is polled at `monitor`.
    Running { monitor: String },
    /// The outcome is final; the completion is still to be delivered.
    Ended { outcome: Outcome },
    /// The outcome is final, and no delivery is pending.
    Closed {
        outcome: Outcome,
        how: DeliveryOutcome,
    },
}

impl State {
    /// Returns the outcome, once there is one.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Ended { outcome } | Self::Closed { outcome, .. } => Some(*outcome),
            Self::Accepted { .. }
            | Self::Starting { .. }
            | Self::StartUnknown { .. }
            | Self::Locating { .. }
            | Self::Running { .. } => None,
        }
    }

    /// Reports whether no start has succeeded or been given up yet.
    pub fn is_starting(&self) -> bool {
        match self {
            Self::Accepted { .. }
            | Self::Starting { .. }
            | Self::StartUnknown { .. }
            | Self::Locating { .. } => true,
            Self::Running { .. } | Self::Ended { .. } | Self::Closed { .. } => false,
        }
    }

    /// Returns the public `status`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Starting { .. } | Self::StartUnknown { .. } | Self::Locating { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Ended { outcome } | Self::Closed { outcome, .. } => outcome.as_str(),
        }
    }
}

/// The final result of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    Succeeded,
    PartiallySucceeded,
    Failed,
    Expired,
    Unknown,
    Cancelled,
}

impl Outcome {
    pub const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::PartiallySucceeded,
        Self::Failed,
        Self::Expired,
        Self::Unknown,
        Self::Cancelled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::PartiallySucceeded => "partiallySucceeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The final result of the delivery of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeliveryOutcome {
    Delivered,
    Undeliverable,
    /// The request named no callback.
    #[serde(rename = "none")]
    NotRequested,
}
