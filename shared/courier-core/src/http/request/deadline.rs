//! The deadline of a request: when graph-courier stops following the job.

use jiff::{SignedDuration, Timestamp};

use crate::catalogue::Operation;
use crate::catalogue::schema::Violation;

/// Longest time from now to an accepted deadline.
const MAX_DEADLINE_AHEAD: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Returns the deadline in `text`, or the operation's default; adds the rules that `text` breaks.
pub(super) fn deadline(
    text: Option<&str>,
    operation: &Operation,
    now: Timestamp,
    errors: &mut Vec<Violation>,
    late: &mut Vec<Violation>,
) -> Timestamp {
    let default = crate::time::later(now, operation.default_deadline());
    let Some(text) = text else { return default };
    let Some(deadline) = time(text) else {
        let rule = "must be an RFC 3339 time such as 2026-12-20T00:00:00Z";
        errors.push(Violation::new("/deadline", rule));
        return default;
    };
    if deadline <= now {
        late.push(Violation::new("/deadline", "must lie in the future"));
    } else if deadline.duration_since(now) > MAX_DEADLINE_AHEAD {
        late.push(Violation::new("/deadline", "must lie within 366 days"));
    }
    deadline
}

/// Parses a `date-time` of RFC 3339, section 5.6 in UTC, and nothing else that the parser would accept.
fn time(text: &str) -> Option<Timestamp> {
    let shape_letters = text.chars().map(|letter| match letter {
        '0'..='9' => '0',
        other => other.to_ascii_uppercase(),
    });
    let shape: String = shape_letters.collect();
    let after_seconds = shape.strip_prefix("0000-00-00T00:00:00")?;
    let offset = after_seconds
        .strip_prefix('.')
        .map_or(after_seconds, |fraction| fraction.trim_start_matches('0'));
    ["Z", "+00:00", "-00:00"]
        .contains(&offset)
        .then(|| text.parse().ok())?
}
