//! The legal clock of a request: which regulation, when the person's request came, and whose days count.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::NewOperation;
use crate::catalogue::schema::Violation;
use crate::http::problem::Problem;
use crate::legal::{Calendars, Receipt, Regulation};
use crate::strict_json;
use crate::time::milliseconds;

/// Time by which the clock of a caller may be ahead of ours.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// Longest time from the receipt to the request.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(366 * 24);

const FIELDS: [&str; 4] = ["regulation", "receivedAt", "timeZone", "holidays"];

/// Reads the object at `/legal`; adds the rules that it breaks, those about time to `late`.
///
/// The name of the calendar is judged by the configuration, later.
pub(super) fn receipt(
    object: Option<Map<String, Value>>,
    now: Timestamp,
    errors: &mut Vec<Violation>,
    late: &mut Vec<Violation>,
) -> Option<Receipt> {
    let mut texts = Map::new();
    for (name, value) in object? {
        let pointer = strict_json::child("/legal", &name);
        if !FIELDS.contains(&name.as_str()) {
            errors.push(Violation::new(pointer, "is not a known field"));
        } else if value.is_string() {
            texts.insert(name, value);
        } else if !(value.is_null() && name == "holidays") {
            errors.push(Violation::new(pointer, "must be a string"));
        }
    }
    let mut text = |name: &str| {
        let text = texts.get(name).and_then(Value::as_str);
        let pointer = strict_json::child("/legal", name);
        let is_told = errors.iter().any(|error| error.pointer == pointer);
        if text.is_none() && name != "holidays" && !is_told {
            errors.push(Violation::new(pointer, "is required"));
        }
        text.map(str::to_owned)
    };
    let [regulation, received_at, time_zone, holidays] = FIELDS.map(&mut text);
    let mut wrong = |name: &str, rule: String| {
        errors.push(Violation::new(strict_json::child("/legal", name), rule));
    };
    let regulation = regulation.and_then(|name| {
        let found = Regulation::find(&name);
        if found.is_none() {
            let known: Vec<&str> = Regulation::all().keys().map(String::as_str).collect();
            wrong("regulation", format!("must be one of {}", known.join(", ")));
        }
        found
    });
    let received_at = received_at.and_then(|text| {
        let time = rfc3339(&text);
        if time.is_none() {
            let rule = "must be an RFC 3339 time such as 2026-01-31T09:12:00+01:00";
            wrong("receivedAt", rule.to_owned());
        }
        time
    });
    let time_zone = time_zone.and_then(|name| {
        let zone = TimeZone::get(&name).ok();
        let zone = zone.filter(|zone| zone.iana_name().is_some());
        if zone.is_none() {
            wrong(
                "timeZone",
                "must be an IANA time zone such as Europe/Berlin".to_owned(),
            );
        }
        zone
    });
    if let Some(time) = received_at {
        let pointer = "/legal/receivedAt";
        if time.duration_since(now) > SKEW {
            late.push(Violation::new(pointer, "must not lie in the future"));
        } else if now.duration_since(time) > MAX_AGE {
            late.push(Violation::new(pointer, "must lie within the last 366 days"));
        }
    }
    Some(Receipt {
        regulation: regulation?,
        received_at: received_at?,
        time_zone: time_zone?,
        holidays,
    })
}

impl NewOperation<'_> {
    /// Starts the legal clock that the request asks for. A request that names no calendar gets the configured one.
    pub(crate) fn start_clock(&mut self, calendars: &Calendars) -> Result<(), Problem> {
        let Some(mut receipt) = self.receipt.take() else {
            return Ok(());
        };
        let named = receipt.holidays.as_deref();
        if named.is_some_and(|name| calendars.find(name).is_none()) {
            let known: Vec<&str> = calendars.names().into_iter().collect();
            let rule = format!("must be one of {}", known.join(", "));
            let violation = Violation::new("/legal/holidays", rule);
            return Err(Problem::InvalidRequest(vec![violation]));
        }
        receipt.holidays = receipt.holidays.or_else(|| calendars.default.clone());
        self.legal = Some(receipt.start(calendars));
        Ok(())
    }
}

/// Returns what tells a repeat from another request: the same in all spellings of a time and of a zone.
pub(super) fn canonical(receipt: &Receipt) -> Value {
    json!([
        receipt.regulation.name,
        milliseconds(receipt.received_at),
        receipt.time_zone.iana_name(),
        receipt.holidays,
    ])
}

/// Parses a `date-time` of RFC 3339, section 5.6, and nothing else that the parser would accept.
pub(crate) fn rfc3339(text: &str) -> Option<Timestamp> {
    let digits = text.chars().map(|letter| match letter {
        '0'..='9' => '0',
        other => other.to_ascii_uppercase(),
    });
    let shape: String = digits.collect();
    let after_seconds = shape.strip_prefix("0000-00-00T00:00:00")?;
    let offset = match after_seconds.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches('0');
            (offset.len() < fraction.len()).then_some(offset)?
        }
        None => after_seconds,
    };
    ["Z", "+00:00", "-00:00"]
        .contains(&offset)
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_form_of_rfc_3339_and_an_offset() {
        let time = rfc3339("2026-01-31T09:12:00.5+01:00").unwrap();
        assert_eq!(milliseconds(time), "2026-01-31T08:12:00.500Z");
        assert!(rfc3339("2026-01-31t09:12:00z").is_some());
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T09:12:00",
            "2026-01-31T09:12:00.Z",
            "2026-01-31 09:12:00Z",
            "2026-01-31T09:12Z",
            "2026-02-30T09:12:00Z",
            "2026-01-31T09:12:00+01:00[Europe/Berlin]",
            "+002026-01-31T09:12:00Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
