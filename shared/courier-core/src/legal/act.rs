//! What a person does to a legal clock: extend it, stop it, and let it go on.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::calendar::Calendars;
use super::period::{day, wind};
use super::regulation::{Regulation, Span};
use crate::operation::LegalClock;
use crate::time::milliseconds;

/// An act on a clock. Each says why, or when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Extend(Extension),
    /// Stops the clock from this time on.
    Pause {
        reason: String,
        at: Timestamp,
    },
    /// Lets the clock go on from this time on.
    Resume {
        at: Timestamp,
    },
}

/// An extension that the person was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    pub reason: String,
    pub told_at: Timestamp,
    /// By how much; `None` for as much as the regulation allows.
    pub by: Option<Span>,
}

/// Why an act is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActError {
    /// A field of the request breaks this rule.
    Invalid { field: &'static str, rule: String },
    /// The clock, or its regulation, does not allow the act.
    Conflict(&'static str),
}

impl Act {
    /// Returns the clock after the act at `now`, and what the history says of it.
    pub fn on(
        &self,
        clock: &LegalClock,
        calendars: &Calendars,
        now: Timestamp,
    ) -> Result<(LegalClock, String), ActError> {
        let regulation = Regulation::find(&clock.regulation).ok_or(ActError::Conflict(
            "this version does not know the regulation of the clock",
        ))?;
        let zone = TimeZone::get(&clock.time_zone).map_err(|_| {
            ActError::Conflict("this version does not know the time zone of the clock")
        })?;
        let mut new = LegalClock {
            version: clock.version + 1,
            ..clock.clone()
        };
        let detail = match self {
            Self::Extend(extension) => extend(&mut new, extension, regulation, &zone, now)?,
            Self::Pause { reason, at } => pause(&mut new, (reason, *at), regulation, now)?,
            Self::Resume { at } => resume(&mut new, *at, regulation, &zone, now)?,
        };
        wind(&mut new, regulation, &zone, calendars);
        let detail = match self {
            Self::Extend(_) | Self::Resume { .. } => format!("due {}: {detail}", new.due_on),
            Self::Pause { .. } => detail,
        };
        Ok((new, detail))
    }

    /// Returns the name of the act in the history.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Extend(_) => "legalExtended",
            Self::Pause { .. } => "legalPaused",
            Self::Resume { .. } => "legalResumed",
        }
    }
}

fn invalid(field: &'static str, rule: impl Into<String>) -> ActError {
    let rule = rule.into();
    ActError::Invalid { field, rule }
}

fn extend(
    clock: &mut LegalClock,
    extension: &Extension,
    regulation: &Regulation,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<String, ActError> {
    let (Some(longest), Some(rule)) = (regulation.longest_extension(), &regulation.extension)
    else {
        return Err(ActError::Conflict(
            "the regulation of this clock knows no extension",
        ));
    };
    if rule.once && clock.extended_by > 0 {
        return Err(ActError::Conflict("the clock has been extended already"));
    }
    let by = extension.by.unwrap_or(longest);
    let field = by.unit();
    if field != longest.unit() {
        let rule = format!("must be {} for {}", longest.unit(), regulation.name);
        return Err(invalid(field, rule));
    }
    let left = longest.count().saturating_sub(clock.extended_by);
    if !(1..=left).contains(&by.count()) {
        return Err(invalid(
            field,
            format!("must be a whole number from 1 to {left}"),
        ));
    }
    let told_at = extension.told_at;
    if told_at > now {
        return Err(invalid("toldAt", "must not lie in the future"));
    }
    if told_at < clock.received_at {
        return Err(invalid("toldAt", "must not lie before the receipt"));
    }
    // While the clock stands still the first period does not go on, and its end is not known yet.
    let is_stopped = clock.paused_at.is_some_and(|from| told_at >= from);
    if !is_stopped && day(told_at, zone) > clock.first_due_on {
        let last: Date = clock.first_due_on;
        let rule = format!(
            "must lie within the first period, which ended on {last}: the person must be told by then"
        );
        return Err(invalid("toldAt", rule));
    }
    clock.extended_by += by.count();
    clock.extended_at = Some(now);
    clock.told_at = Some(told_at);
    let (count, unit, told) = (by.count(), by.unit(), milliseconds(told_at));
    Ok(format!(
        "{count} {unit} more, told {told}: {}",
        extension.reason
    ))
}

fn pause(
    clock: &mut LegalClock,
    (reason, at): (&str, Timestamp),
    regulation: &Regulation,
    now: Timestamp,
) -> Result<String, ActError> {
    if regulation.pause.is_none() {
        return Err(ActError::Conflict(
            "the regulation of this clock knows no pause: the period goes on while the person is asked",
        ));
    }
    if clock.paused_at.is_some() {
        return Err(ActError::Conflict("the clock is stopped already"));
    }
    if at > now {
        return Err(invalid("at", "must not lie in the future"));
    }
    if at < clock.received_at || at > clock.due_at {
        return Err(invalid(
            "at",
            "must lie between the receipt and the due date",
        ));
    }
    if clock.resumed_at.is_some_and(|resumed_at| at < resumed_at) {
        return Err(invalid(
            "at",
            "must not lie before the end of the last pause",
        ));
    }
    clock.paused_at = Some(at);
    Ok(format!("from {}: {reason}", milliseconds(at)))
}

fn resume(
    clock: &mut LegalClock,
    at: Timestamp,
    regulation: &Regulation,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<String, ActError> {
    let paused_at = clock
        .paused_at
        .take()
        .ok_or(ActError::Conflict("the clock is not stopped"))?;
    if at > now {
        return Err(invalid("at", "must not lie in the future"));
    }
    if at < paused_at {
        return Err(invalid("at", "must not lie before the pause"));
    }
    let first = day(paused_at, zone);
    let days = (day(at, zone) - first).get_days();
    // A day on which one pause ends and the next begins is left out once.
    let is_left_out = clock
        .resumed_at
        .is_some_and(|last| day(last, zone) == first);
    let both = regulation
        .pause
        .as_ref()
        .is_some_and(|pause| pause.counts_both_days && !is_left_out);
    clock.resumed_at = Some(at);
    let days = u16::try_from(days)
        .unwrap_or(u16::MAX)
        .saturating_add(u16::from(both));
    clock.paused_days = clock.paused_days.saturating_add(days);
    Ok(format!(
        "{days} days do not count, until {}",
        milliseconds(at)
    ))
}
