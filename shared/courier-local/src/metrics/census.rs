//! What the open operations are, in memory, so that a scrape reads no record: their number, their ages, their deadlines.
//!
//! The thread that has written a record notes it here, as it does in the timetable.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use courier_core::operation::{OperationId, Reason, Record};
use jiff::Timestamp;

/// The days before a deadline for which [`Summary::near_deadline`] counts.
pub(crate) const DEADLINE_DAYS: [i64; 3] = [1, 3, 7];
/// The statuses of operations without an outcome, then those of a callback that is still to be made.
const STATUSES: [&str; 5] = ["accepted", "starting", "running", "pending", "retrying"];
/// Number of [`STATUSES`] of operations without an outcome.
const OPEN: usize = 3;
const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

/// The open operations: those without an outcome, and those whose completion is still to be delivered.
#[derive(Default)]
pub(crate) struct Census(Mutex<Book>);

#[derive(Default)]
struct Book {
    open: HashMap<OperationId, Facts>,
    /// The names of operations and tenants, which the facts give by their place here.
    names: Vec<String>,
    places: HashMap<String, usize>,
}

/// What is known of one open operation, in little space. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    operation: u32,
    tenant: u32,
    /// A place in [`STATUSES`].
    status: u8,
    is_unauthorized: bool,
    /// Time at which it was accepted, or at which it ended.
    since: i64,
    deadline: i64,
    /// Milliseconds from its acceptance to its deadline.
    given: i64,
    /// The legal due date; `None` without a legal clock, and while it is stopped.
    legal_due: Option<i64>,
}

/// The open operations at one moment.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Summary {
    /// Operations without an outcome, by name and status.
    pub(crate) open: BTreeMap<(String, &'static str), u64>,
    /// Completions that are still to be delivered, by status of the callback.
    pub(crate) pending: [(&'static str, u64); STATUSES.len() - OPEN],
    /// Milliseconds since the oldest without an outcome was accepted, by status; 0 if there is none.
    pub(crate) oldest: [(&'static str, i64); OPEN],
    /// Milliseconds since the end of the oldest whose completion is still to be delivered; 0 if there is none.
    pub(crate) oldest_pending: i64,
    /// The milliseconds to the first deadline, by name of the operation.
    pub(crate) margin: BTreeMap<String, i64>,
    /// Operations near their deadline, for each of [`DEADLINE_DAYS`]. One that was never given that long is left out.
    pub(crate) near_deadline: [u64; DEADLINE_DAYS.len()],
    /// Operations whose answer is due by law within each of [`DEADLINE_DAYS`], overdue ones included.
    pub(crate) near_due: [u64; DEADLINE_DAYS.len()],
    /// Operations whose legal due date has passed.
    pub(crate) past_due: u64,
    /// Milliseconds to the first legal due date of an operation without an outcome.
    pub(crate) due_margin: Option<i64>,
    /// Operations that wait because there is no usable token or no permission, by tenant.
    pub(crate) unauthorized: BTreeMap<String, u64>,
}

/// What a summary counts of one name.
#[derive(Clone)]
struct Tally {
    open: [u64; OPEN],
    deadline: i64,
    unauthorized: u64,
}

/// What a summary counts of legal due dates.
#[derive(Default)]
struct Legal {
    near: [u64; DEADLINE_DAYS.len()],
    past: u64,
    margin: Option<i64>,
}

impl Legal {
    fn count(&mut self, margin: i64) {
        for (days, near) in DEADLINE_DAYS.iter().zip(&mut self.near) {
            *near += u64::from(margin < days * DAY_MILLISECONDS);
        }
        self.past += u64::from(margin < 0);
        self.margin = Some(self.margin.map_or(margin, |least| least.min(margin)));
    }
}

impl Census {
    /// Returns what is to be noted of a record; `None` once it is closed.
    pub(crate) fn facts(&self, record: &Record) -> Option<Facts> {
        record.due_at?;
        let has_ended = record.state.outcome().is_some();
        let status = if has_ended {
            record.callback_status()
        } else {
            record.state.status()
        };
        let since = record.ended_at.unwrap_or(record.created_at);
        let deadline = record.deadline.as_millisecond();
        let mut book = self.lock();
        Some(Facts {
            operation: book.place(&record.operation),
            tenant: book.place(&record.tenant),
            status: STATUSES.iter().position(|known| *known == status)? as u8,
            is_unauthorized: !has_ended && record.reason == Some(Reason::AuthorizationLost),
            since: since.as_millisecond(),
            deadline,
            given: deadline - record.created_at.as_millisecond(),
            legal_due: record
                .legal
                .as_ref()
                .filter(|clock| clock.paused_at.is_none())
                .map(|clock| clock.due_at.as_millisecond()),
        })
    }

    /// Takes note of a written record.
    pub(crate) fn note(&self, id: &OperationId, facts: Option<Facts>) {
        let mut book = self.lock();
        match facts {
            Some(facts) => drop(book.open.insert(id.clone(), facts)),
            None => drop(book.open.remove(id)),
        }
    }

    pub(crate) fn summary(&self, now: Timestamp) -> Summary {
        let now = now.as_millisecond();
        let book = self.lock();
        let none = Tally {
            open: [0; OPEN],
            deadline: i64::MAX,
            unauthorized: 0,
        };
        let mut tallies = vec![none; book.names.len()];
        let mut near_deadline = [0; DEADLINE_DAYS.len()];
        let mut legal = Legal::default();
        let mut first = [now; STATUSES.len()];
        let mut counts = [0; STATUSES.len()];
        for facts in book.open.values() {
            let status = usize::from(facts.status);
            first[status] = facts.since.min(first[status]);
            counts[status] += 1;
            if status >= OPEN {
                continue;
            }
            let tally = &mut tallies[facts.operation as usize];
            tally.open[status] += 1;
            tally.deadline = facts.deadline.min(tally.deadline);
            let margin = facts.deadline - now;
            for (days, near) in DEADLINE_DAYS.iter().zip(&mut near_deadline) {
                let days = days * DAY_MILLISECONDS;
                *near += u64::from(margin <= days && facts.given > days);
            }
            if let Some(due) = facts.legal_due {
                legal.count(due - now);
            }
            if facts.is_unauthorized {
                tallies[facts.tenant as usize].unauthorized += 1;
            }
        }
        let age = |status: usize| now - first[status];
        let mut summary = Summary {
            pending: std::array::from_fn(|place| (STATUSES[OPEN + place], counts[OPEN + place])),
            oldest: std::array::from_fn(|status| (STATUSES[status], age(status))),
            oldest_pending: (OPEN..STATUSES.len()).map(age).max().unwrap_or_default(),
            near_deadline,
            near_due: legal.near,
            past_due: legal.past,
            due_margin: legal.margin,
            ..Summary::default()
        };
        for (name, tally) in book.names.iter().zip(tallies) {
            for (status, count) in STATUSES.iter().zip(tally.open) {
                if count > 0 {
                    summary.open.insert((name.clone(), status), count);
                }
            }
            if tally.deadline < i64::MAX {
                let margin = tally.deadline - now;
                summary.margin.insert(name.clone(), margin);
            }
            if tally.unauthorized > 0 {
                let count = tally.unauthorized;
                summary.unauthorized.insert(name.clone(), count);
            }
        }
        summary
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn place(&mut self, name: &str) -> u32 {
        let next = self.names.len();
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => {
                self.names.push(name.to_owned());
                self.places.insert(name.to_owned(), next);
                next
            }
        };
        // There are as many as the configuration and the catalogue have, and those had that the records name.
        place as u32
    }
}

/// Returns the statuses of operations without an outcome.
pub(crate) fn open_statuses() -> &'static [&'static str] {
    &STATUSES[..OPEN]
}

#[cfg(test)]
mod tests {
    use courier_core::operation::{Outcome, State};
    use courier_testkit::sample::{sample_clock, sample_record, sample_target};
    use jiff::SignedDuration;

    use super::*;

    fn schedule() -> Record {
        Record {
            operation: "team.schedule".to_owned(),
            ..sample_record(&OperationId::random())
        }
    }

    #[test]
    fn an_operation_is_counted_until_it_is_closed() {
        let census = Census::default();
        let mut record = schedule();
        let note = |record: &Record| census.note(&record.id, census.facts(record));
        record.deadline = record.created_at + SignedDuration::from_hours(30 * 24);
        let now = record.deadline - SignedDuration::from_hours(48);
        note(&record);
        let summary = census.summary(now);
        let open = ("team.schedule".to_owned(), "accepted");
        assert_eq!(summary.open, [(open, 1)].into());
        assert_eq!(summary.near_deadline, [0, 1, 1]);
        assert_eq!(summary.margin["team.schedule"], 2 * DAY_MILLISECONDS);
        assert_eq!(summary.oldest[0], ("accepted", 28 * DAY_MILLISECONDS));

        record.state = State::Running {
            monitor: "https://graph.example/x".to_owned(),
        };
        record.reason = Some(Reason::AuthorizationLost);
        note(&record);
        let summary = census.summary(now);
        let open = ("team.schedule".to_owned(), "running");
        assert_eq!(summary.open, [(open, 1)].into());
        assert_eq!(summary.unauthorized, [(record.tenant.clone(), 1)].into());

        record.state = State::Ended {
            outcome: Outcome::Succeeded,
        };
        record.ended_at = Some(record.created_at);
        record.callback = Some(sample_target());
        note(&record);
        let summary = census.summary(now);
        assert_eq!((summary.open.len(), summary.unauthorized.len()), (0, 0));
        assert_eq!(summary.pending, [("pending", 1), ("retrying", 0)]);
        assert_eq!(summary.oldest_pending, 28 * DAY_MILLISECONDS);

        record.due_at = None;
        note(&record);
        assert_eq!(census.summary(now), Census::default().summary(now));
    }

    #[test]
    fn a_legal_due_date_is_counted_while_its_clock_runs() {
        let census = Census::default();
        let mut record = schedule();
        let note = |record: &Record| census.note(&record.id, census.facts(record));
        let due = record.created_at + SignedDuration::from_hours(30 * 24);
        record.legal = Some(sample_clock(due));
        note(&record);
        let counted = |left: i64| {
            let summary = census.summary(due - SignedDuration::from_hours(left));
            (summary.near_due, summary.past_due, summary.due_margin)
        };
        let hours = |hours: i64| Some(hours * 3_600_000);
        assert_eq!(counted(48), ([0, 1, 1], 0, hours(48)));
        assert_eq!(counted(-1), ([1, 1, 1], 1, hours(-1)));
        let clock = record.legal.as_mut().unwrap();
        clock.paused_at = Some(record.created_at);
        note(&record);
        assert_eq!(counted(-1), ([0, 0, 0], 0, None));
    }

    /// An operation that is given an hour would otherwise be near its deadline from the first second.
    #[test]
    fn an_operation_with_little_time_is_not_near_a_deadline_that_it_never_was_far_from() {
        let census = Census::default();
        let mut record = schedule();
        record.deadline = record.created_at + SignedDuration::from_hours(2 * 24);
        census.note(&record.id, census.facts(&record));
        let near = |now| census.summary(now).near_deadline;
        assert_eq!(near(record.created_at), [0, 0, 0]);
        assert_eq!(near(record.deadline), [1, 0, 0]);
    }
}
