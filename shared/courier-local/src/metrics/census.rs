//! What the open operations are, in memory, so that a scrape reads no record: their number, their ages, their deadlines.
//!
//! The thread that has written a record notes it here, as it does in the timetable.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use courier_core::operation::{OperationId, Reason, Record};
use jiff::{SignedDuration, Timestamp};

/// The days before a deadline for which [`Summary::near_deadline`] counts.
pub(crate) const DEADLINE_DAYS: [i64; 3] = [1, 3, 7];
/// The values of `status` of operations without an outcome.
pub(crate) const OPEN_STATUSES: [&str; 3] = ["accepted", "starting", "running"];
/// The statuses of a callback that is still to be made.
pub(crate) const PENDING_STATUSES: [&str; 2] = ["pending", "retrying"];

/// The open operations: those without an outcome, and those whose completion is still to be delivered.
#[derive(Default)]
pub(crate) struct Census(Mutex<Book>);

#[derive(Default)]
struct Book {
    open: HashMap<OperationId, Facts>,
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

/// What is known of one open operation. Names of operations and tenants are numbers, because they repeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    operation: u32,
    tenant: u32,
    /// One of [`OPEN_STATUSES`], or of [`PENDING_STATUSES`] when there is an outcome.
    status: &'static str,
    has_ended: bool,
    is_unauthorized: bool,
    /// Time at which it was accepted, or at which it ended.
    since: Timestamp,
    deadline: Timestamp,
    /// Time from its acceptance to its deadline.
    given: SignedDuration,
}

/// The open operations at one moment.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Summary {
    /// Operations without an outcome, by name and status.
    pub(crate) open: BTreeMap<(String, &'static str), u64>,
    /// Completions that are still to be delivered, by status of the callback.
    pub(crate) pending: BTreeMap<&'static str, u64>,
    /// The oldest, by either status: time since it was accepted, or since it ended.
    pub(crate) oldest: BTreeMap<&'static str, SignedDuration>,
    /// The shortest time to a deadline, by name of the operation.
    pub(crate) margin: BTreeMap<String, SignedDuration>,
    /// Operations near their deadline, for each of [`DEADLINE_DAYS`]. One that was never given that long is left out.
    pub(crate) near_deadline: [u64; DEADLINE_DAYS.len()],
    /// Operations that wait because there is no usable token or no permission, by tenant.
    pub(crate) unauthorized: BTreeMap<String, u64>,
}

impl Census {
    /// Returns what is to be noted of a record; `None` once it is closed.
    pub(crate) fn facts(&self, record: &Record) -> Option<Facts> {
        record.due_at?;
        let has_ended = record.state.outcome().is_some();
        let mut book = self.lock();
        Some(Facts {
            operation: book.number(&record.operation),
            tenant: book.number(&record.tenant),
            status: if has_ended {
                record.callback_status()
            } else {
                record.state.status()
            },
            has_ended,
            is_unauthorized: !has_ended && record.reason == Some(Reason::AuthorizationLost),
            since: record.ended_at.unwrap_or(record.created_at),
            deadline: record.deadline,
            given: record.deadline.duration_since(record.created_at),
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
        let book = self.lock();
        let mut counts: HashMap<(u32, &'static str), u64> = HashMap::new();
        let mut margins: HashMap<u32, SignedDuration> = HashMap::new();
        let mut tenants: HashMap<u32, u64> = HashMap::new();
        let mut summary = Summary::default();
        for facts in book.open.values() {
            let age = now.duration_since(facts.since);
            let oldest = summary.oldest.entry(facts.status).or_insert(age);
            *oldest = age.max(*oldest);
            if facts.has_ended {
                *summary.pending.entry(facts.status).or_default() += 1;
                continue;
            }
            *counts.entry((facts.operation, facts.status)).or_default() += 1;
            let margin = facts.deadline.duration_since(now);
            let least = margins.entry(facts.operation).or_insert(margin);
            *least = margin.min(*least);
            for (days, near) in DEADLINE_DAYS.iter().zip(&mut summary.near_deadline) {
                let days = SignedDuration::from_hours(24 * days);
                *near += u64::from(margin <= days && facts.given > days);
            }
            if facts.is_unauthorized {
                *tenants.entry(facts.tenant).or_default() += 1;
            }
        }
        let name = |number: u32| book.names[number as usize].clone();
        summary.open = counts
            .into_iter()
            .map(|((operation, status), count)| ((name(operation), status), count))
            .collect();
        summary.margin = margins
            .into_iter()
            .map(|(operation, margin)| (name(operation), margin))
            .collect();
        summary.unauthorized = tenants
            .into_iter()
            .map(|(tenant, count)| (name(tenant), count))
            .collect();
        summary
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use courier_core::operation::State;
    use courier_testkit::sample::sample_record;

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
        let margin = summary.margin["team.schedule"];
        assert_eq!(margin, SignedDuration::from_hours(48));
        let oldest = SignedDuration::from_hours(28 * 24);
        assert_eq!(summary.oldest, [("accepted", oldest)].into());

        record.state = State::Running {
            monitor: "https://graph.example/x".to_owned(),
        };
        record.reason = Some(Reason::AuthorizationLost);
        note(&record);
        let summary = census.summary(now);
        let open = ("team.schedule".to_owned(), "running");
        assert_eq!(summary.open, [(open, 1)].into());
        assert_eq!(summary.unauthorized, [(record.tenant.clone(), 1)].into());

        record.due_at = None;
        note(&record);
        assert_eq!(census.summary(now), Summary::default());
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
