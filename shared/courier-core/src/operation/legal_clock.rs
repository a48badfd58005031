//! The legal clock of an operation as its record keeps it: when the answer to a person's request is due by law.

use jiff::civil::Date;
use jiff::{Timestamp, Zoned, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{Record, State, Unknown};
use crate::time::later;

/// Days before the due date at which the history says that it comes near; 0 stands for its end.
pub const RISK_DAYS: [u8; 4] = [0, 1, 3, 7];
/// Part of the jobs of the past that had ended after their usual duration.
const USUAL_PART: f64 = 0.9;

/// When the answer is due, and how that came about. `legal::Period` computes the dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegalClock {
    /// Name of the regulation in the table of regulations.
    pub regulation: String,
    pub received_at: Timestamp,
    /// IANA name of the zone whose days count.
    pub time_zone: String,
    /// Name of the calendar of public holidays; `None` if only weekends are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holidays: Option<String>,
    /// The last day of the period.
    pub due_on: Date,
    /// The last millisecond of that day in the zone.
    pub due_at: Timestamp,
    /// The last day of the period without an extension, by which the person must be told of one.
    pub first_due_on: Date,
    /// What the reader of the date has to know, such as holidays that are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Months or days by which the period was extended, in the unit of the regulation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub extended_by: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_at: Option<Timestamp>,
    /// When the person was told of the extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
    /// Since when the clock has been stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// When the clock went on after its last pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<Timestamp>,
    /// Days of all pauses that have ended, which do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub paused_days: u16,
    /// Raised with every act, so that two acts at once do not undo each other.
    #[serde(default)]
    pub version: u32,
    /// The smallest of [`RISK_DAYS`] that the history has told of for this due date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warned_days: Option<u8>,
    /// The history has told that such jobs usually end after this due date.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warned_usual: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl LegalClock {
    /// Returns the smallest of [`RISK_DAYS`] that the time until the due date does not exceed; `None` with more time, and
    /// while the clock is stopped.
    pub fn risk_days(&self, now: Timestamp) -> Option<u8> {
        let left = self.due_at.duration_since(now).as_secs();
        let is_reached = |days: &u8| left < i64::from(*days) * 86_400;
        let reached = RISK_DAYS.into_iter().find(is_reached);
        reached.filter(|_| self.paused_at.is_none())
    }

    /// Returns the number of days from today to the due date in the clock's zone: 0 on the last day, negative after it.
    ///
    /// `None` if this program does not know the zone any more.
    pub fn days_left(&self, now: Timestamp) -> Option<i32> {
        let zone = TimeZone::get(&self.time_zone).ok()?;
        let today = Zoned::new(now, zone).date();
        Some((self.due_on - today).get_days())
    }

    /// Reports whether what ended at this time ended within the period.
    pub fn is_met(&self, ended_at: Timestamp) -> bool {
        ended_at <= self.due_at
    }
}

impl Record {
    /// Returns when nine of ten such jobs had ended, counted from the start of this one, which runs.
    ///
    /// `None` without a forecast.
    pub fn usual_end(&self) -> Option<Timestamp> {
        let State::Running { .. } = self.state else {
            return None;
        };
        let usual = self.forecast.as_ref()?.ended_after(USUAL_PART)?;
        Some(later(self.started_at?, usual))
    }

    /// Reports whether the answer is likely to miss its legal due date, or has missed it; never after the outcome.
    pub fn is_at_legal_risk(&self, now: Timestamp) -> bool {
        let open = self.legal.as_ref().filter(|_| self.ended_at.is_none());
        open.is_some_and(|clock| {
            let ends_late = self.usual_end().is_some_and(|end| end > clock.due_at);
            clock.paused_at.is_none() && (ends_late || clock.risk_days(now).is_some())
        })
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u16) -> bool {
    *number == 0
}
