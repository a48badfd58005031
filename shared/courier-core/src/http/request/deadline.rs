//! The deadline of a request: when graph-courier stops following the job.

use jiff::{SignedDuration, Timestamp};

use crate::catalogue::Operation;
use crate::catalogue::schema::Violation;
use crate::time::rfc_3339;

/// Longest time from now to an accepted deadline.
const MAX_DEADLINE_AHEAD: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Returns the deadline in `text`, or the operation's default, but none after `expires`; adds the rules that it breaks.
pub(super) fn deadline(
    (text, expires): (Option<&str>, Option<Timestamp>),
    operation: &Operation,
    now: Timestamp,
    errors: &mut Vec<Violation>,
    late: &mut Vec<Violation>,
) -> Timestamp {
    let deadline = written(text, operation, now, errors, late);
    match expires {
        Some(expires) if expires < deadline => {
            if expires <= now {
                let rule = "must lie in the future, but the event's expirytime has passed";
                late.push(Violation::new("/deadline", rule));
            }
            expires
        }
        Some(_) | None => deadline,
    }
}

fn written(
    text: Option<&str>,
    operation: &Operation,
    now: Timestamp,
    errors: &mut Vec<Violation>,
    late: &mut Vec<Violation>,
) -> Timestamp {
    let default = crate::time::later(now, operation.default_deadline());
    let Some(text) = text else { return default };
    let Some(deadline) = rfc_3339(text) else {
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
