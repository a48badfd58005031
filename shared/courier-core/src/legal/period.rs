//! The arithmetic of periods: from the day of receipt to the last millisecond of the last day.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::calendar::{Calendars, working_day};
use super::regulation::{PauseBy, Regulation};
use crate::operation::{LegalClock, Unknown};

/// What a request says of its legal clock, every name in it known.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub regulation: &'static Regulation,
    pub received_at: Timestamp,
    pub time_zone: TimeZone,
    pub holidays: Option<String>,
}

impl Receipt {
    /// Starts the clock: computes when the answer is due.
    pub fn start(self, calendars: &Calendars) -> LegalClock {
        let Self {
            regulation,
            received_at,
            time_zone,
            holidays,
        } = self;
        let mut clock = LegalClock {
            regulation: regulation.name.clone(),
            received_at,
            time_zone: time_zone.iana_name().unwrap_or("UTC").to_owned(),
            holidays,
            due_on: Date::MIN,
            due_at: Timestamp::MIN,
            first_due_on: Date::MIN,
            notes: Vec::new(),
            extended_by: 0,
            extended_at: None,
            told_at: None,
            paused_at: None,
            resumed_at: None,
            paused_days: 0,
            version: 0,
            warned_days: None,
            warned_usual: false,
            unknown: Unknown::new(),
        };
        wind(&mut clock, regulation, &time_zone, calendars);
        clock
    }
}

/// Computes the due dates of a clock anew, from the day of receipt, its extension and its pauses.
///
/// A later due date is one that nobody has been warned of yet.
pub(super) fn wind(
    clock: &mut LegalClock,
    regulation: &Regulation,
    time_zone: &TimeZone,
    calendars: &Calendars,
) {
    let received_on = day(clock.received_at, time_zone);
    let calendar = clock
        .holidays
        .as_deref()
        .and_then(|name| calendars.find(name));
    let mut is_certain = true;
    let mut end = |more: u16| {
        let last = regulation.period().after(received_on, more);
        let last = plus_days(last, clock.paused_days);
        if !regulation.moves {
            return last;
        }
        let (last, certain) = working_day(last, calendar);
        is_certain &= certain;
        last
    };
    let (first_due_on, due_on) = (end(0), end(clock.extended_by));
    let due_at = last_instant(due_on, time_zone);
    if due_at > clock.due_at {
        clock.warned_days = None;
        clock.warned_usual = false;
    }
    (clock.first_due_on, clock.due_on, clock.due_at) = (first_due_on, due_on, due_at);
    let mut notes = Vec::new();
    if regulation.moves {
        match (&clock.holidays, calendar) {
            (None, _) => notes.push(
                "No calendar of holidays was named: only Saturdays and Sundays move the due date.".to_owned(),
            ),
            (Some(name), None) => notes.push(format!(
                "The holidays {name} are not known any more: only Saturdays and Sundays move the due date."
            )),
            (Some(name), Some(calendar)) if !is_certain => notes.push(match calendar.last_year() {
                Some(year) if due_on.year() > year => format!(
                    "The holidays {name} are unknown after {year}-12-31: a later one does not move the due date."
                ),
                Some(_) | None => format!(
                    "The holidays {name} are unknown in {}: they do not move the due date.",
                    due_on.year()
                ),
            }),
            (Some(_), Some(_)) => {}
        }
    }
    let has_paused = clock.paused_at.is_some() || clock.paused_days > 0;
    let pause = regulation.pause.as_ref().filter(|_| has_paused);
    notes.extend(
        pause
            .filter(|pause| pause.by == PauseBy::Guidance)
            .and_then(|pause| pause.note.clone()),
    );
    clock.notes = notes;
}

/// Returns the day of a time in the zone.
pub(super) fn day(time: Timestamp, time_zone: &TimeZone) -> Date {
    Zoned::new(time, time_zone.clone()).date()
}

pub(super) fn plus_days(day: Date, days: u16) -> Date {
    day.saturating_add(SignedDuration::from_hours(24 * i64::from(days)))
}

/// Returns the last millisecond of a day in the zone, whenever the next one begins there.
fn last_instant(day: Date, time_zone: &TimeZone) -> Timestamp {
    let next = day
        .tomorrow()
        .and_then(|next| next.to_zoned(time_zone.clone()));
    let next = next.map_or(Timestamp::MAX, |next| next.timestamp());
    crate::time::earlier(next, std::time::Duration::from_millis(1))
}
