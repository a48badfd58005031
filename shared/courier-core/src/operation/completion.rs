//! The completion of an operation: its target, its frozen body, and the state of its delivery.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DeliveryOutcome, Unknown};
use crate::crypto::seal::Sealed;
use crate::profile::Template;
use crate::time::elapsed;

/// The receiver that a completion is delivered to, and the form in which it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackTarget {
    /// The callback URL, which is sealed because it may carry a capability.
    pub url: Sealed,
    pub origin: String,
    /// Name of the client's callback profile; `None` for the client's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Template of the body, used when the completion is frozen; without one the body is the completion itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// Template for an operation that has not ended as succeeded, where its body is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless_succeeded: Option<Template>,
    /// The body is written as a form instead of JSON.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_form: bool,
    /// Secret of the receiver that is put into the body (the token of a waiting task).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Sealed>,
    /// The callback has the secrets of the result, which are given nowhere else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_secrets: bool,
    /// Version of the target, raised with every change: an answer of an earlier receiver does not concern this one.
    #[serde(default)]
    pub version: u32,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl CallbackTarget {
    /// Creates a target that uses the client's default profile.
    pub fn new(url: Sealed, origin: &str) -> Self {
        Self {
            url,
            origin: origin.to_owned(),
            profile: None,
            template: None,
            unless_succeeded: None,
            as_form: false,
            token: None,
            include_secrets: false,
            version: 0,
            unknown: Unknown::new(),
        }
    }
}

/// The completion: its id and the exact bytes of its body, the same in every delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenEvent {
    pub id: String,
    /// The event type, such as `operation.succeeded`.
    #[serde(rename = "type")]
    pub kind: String,
    pub body: String,
    /// The body is in the profile's form for what has not ended as succeeded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_otherwise: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// The event that the operation has ended, which goes to the target of `[events]` beside the callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    pub event: FrozenEvent,
    pub delivery: Delivery,
    /// The final result of its delivery, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<DeliveryOutcome>,
    /// The final result of the callback's delivery, if that came before this one's: then only this one is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<DeliveryOutcome>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Announcement {
    /// Returns one of [`super::ANNOUNCEMENT_STATUSES`].
    pub fn status(&self) -> &'static str {
        match self.settled {
            Some(DeliveryOutcome::Delivered) => "delivered",
            Some(DeliveryOutcome::Undeliverable | DeliveryOutcome::NotRequested) => "undeliverable",
            None if self.delivery.scheduled_attempts > 0 => "retrying",
            None => "pending",
        }
    }
}

/// The state of a delivery: of the completion, or of the announcement of the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    pub attempts: u32,
    /// HTTP status of the last attempt; `None` when there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    /// Start of the present retry schedule; a re-delivery begins a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_since: Option<Timestamp>,
    pub scheduled_attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Milliseconds by which attempts of the present schedule came later than planned; the schedule ends later by them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub postponed_ms: u64,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Delivery {
    /// Returns this delivery at the beginning of a new schedule, whose first attempt is at `now`.
    pub(crate) fn anew(self, now: Timestamp) -> Self {
        Self {
            scheduled_since: None,
            scheduled_attempts: 0,
            next_attempt_at: Some(now),
            postponed_ms: 0,
            ..self
        }
    }

    /// Counts the time from the planned attempt to `until` as time that the receiver did not get for its answers.
    pub(crate) fn postpone(&mut self, until: Timestamp) {
        // The schedule begins with the first attempt, so nothing is lost before it.
        if let (Some(_), Some(planned)) = (self.scheduled_since, self.next_attempt_at) {
            let late = u64::try_from(elapsed(planned, until).as_millis()).unwrap_or(u64::MAX);
            self.postponed_ms = self.postponed_ms.saturating_add(late);
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
