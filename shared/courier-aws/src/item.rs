//! Records as items of the table: the record as JSON, and attributes for the indexes and conditions.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use courier_core::operation::{OperationId, Record, State};
use courier_core::ports::{Position, StoreError, Write};
use courier_core::time::{elapsed, later};
use jiff::Timestamp;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// The primary key: an operation's id, or `document/` and a document's key.
pub(crate) const KEY: &str = "pk";
pub(crate) const REVISION: &str = "revision";
/// The nonce of the last write.
pub(crate) const WRITER: &str = "writer";
pub(crate) const RECORD: &str = "record";
pub(crate) const BODY: &str = "body";
/// The keys of the index by due time; only records that are not closed have them.
pub(crate) const SHARD: &str = "shard";
pub(crate) const DUE: &str = "due";
/// The keys of the index by client, and the attributes that lists filter on.
pub(crate) const CLIENT: &str = "client";
pub(crate) const LISTED: &str = "listed";
/// The public status and the status of the callback, as `running/pending`; the version before wrote the status alone.
pub(crate) const STATUS: &str = "status";
pub(crate) const OPERATION: &str = "operation";
pub(crate) const REFERENCE: &str = "reference";
/// The key of the index that counts a client's open records: the client, as long as the record is not closed.
pub(crate) const OPEN: &str = "open_client";
/// The time at which DynamoDB may delete a closed record, in seconds since 1970; nothing reads it as a clock.
const EXPIRES: &str = "expires";

/// The partitions of the index by due time, one for each first digit of an id, so that no partition takes every write.
pub(crate) const SHARDS: &str = "0123456789abcdef";

/// Returns the item of a record that is kept for `retention` after its end.
pub(crate) fn item(record: &Record, retention: Duration) -> Result<Item, serde_json::Error> {
    let mut item = Item::from([
        (KEY.to_owned(), text(record.id.as_str())),
        (REVISION.to_owned(), number(record.revision)),
        (WRITER.to_owned(), text(&record.writer)),
        (RECORD.to_owned(), text(serde_json::to_string(record)?)),
        (CLIENT.to_owned(), text(&record.client)),
        (LISTED.to_owned(), text(listed(record))),
        (
            STATUS.to_owned(),
            text(status(record.state.status(), record.callback_status())),
        ),
        (OPERATION.to_owned(), text(&record.operation)),
    ]);
    if let Some(reference) = &record.reference {
        item.insert(REFERENCE.to_owned(), text(reference));
    }
    if let Some(due) = record.due_at {
        item.insert(SHARD.to_owned(), text(&record.id.bare()[..1]));
        item.insert(DUE.to_owned(), text(due_text(record, due)));
        item.insert(OPEN.to_owned(), text(&record.client));
    }
    if let (State::Closed { .. }, Some(ended_at)) = (&record.state, record.ended_at) {
        let expires = later(ended_at, retention + Duration::from_secs(1)).as_second();
        item.insert(EXPIRES.to_owned(), number(expires.unsigned_abs()));
    }
    Ok(item)
}

/// Lengths of the cells to which a due time is rounded up in the index, where its margin is as long.
///
/// Another key costs two writes of the index, and a job's due time moves with each write of its record.
const CELLS: [Duration; 4] = [
    Duration::from_secs(4 * 3600),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(3600),
    Duration::from_secs(1800),
];

/// Returns the due time as the index has it: that of a job up to its margin after the next poll later, so that a lost
/// message is found at most 8 h after its poll instead of 4 h.
fn indexed_due(record: &Record, due: Timestamp) -> Timestamp {
    let (State::Running { .. }, Some(next_poll)) = (&record.state, record.graph.next_poll_at)
    else {
        return due;
    };
    let margin = elapsed(next_poll, due);
    let Some(cell) = CELLS.iter().find(|cell| margin >= **cell) else {
        return due;
    };
    let cell = i64::try_from(cell.as_secs()).unwrap_or(1);
    let end = (due.as_second().div_euclid(cell) + 1).saturating_mul(cell);
    Timestamp::from_second(end).unwrap_or(due)
}

/// Between the time and the epoch in the attribute `DUE` of a shelved record. It sorts after every character of a time.
const SHELVED: char = '~';

/// Returns the value of the attribute `DUE`: the time, and for a shelved record its epoch, so that the index alone says
/// which message to send.
fn due_text(record: &Record, due: Timestamp) -> String {
    match record.is_shelved() {
        true => format!("{}{SHELVED}{}", instant(due), record.epoch),
        false => instant(indexed_due(record, due)),
    }
}

/// Reads time and epoch of a shelved record from its attribute `DUE`; `None` for a record that is not shelved.
pub(crate) fn shelved(due: &str) -> Option<(Timestamp, u32)> {
    let (time, epoch) = due.split_once(SHELVED)?;
    Some((time.parse().ok()?, epoch.parse().ok()?))
}

/// Reads the record of the item with this `id`.
pub(crate) fn record(id: &str, item: &Item) -> Result<Record, StoreError> {
    let corrupt =
        |cause: Box<dyn std::error::Error + Send + Sync>| StoreError::Corrupt(id.to_owned(), cause);
    let stored = string(item, RECORD).ok_or_else(|| corrupt("it has no record".into()))?;
    serde_json::from_str(stored).map_err(|error| corrupt(error.into()))
}

/// Returns what a refused write of `mine` means, given the stored item.
pub(crate) fn settle(mine: &Record, old: Option<Item>) -> Result<Write, StoreError> {
    let Some(old) = old else {
        return Err(StoreError::Missing(mine.id.clone()));
    };
    Ok(Write::settle(mine, record(mine.id.as_str(), &old)?))
}

/// Returns the value of the attribute `STATUS`.
pub(crate) fn status(status: &str, callback: &str) -> String {
    format!("{status}/{callback}")
}

/// Returns the position of a record in its client's list: its time of creation and its bare id.
pub(crate) fn listed(record: &Record) -> String {
    format!("{}/{}", instant(record.created_at), record.id.bare())
}

/// Returns the attribute of a position in a client's list. The API's positions have no key of their own here.
pub(crate) fn listed_at(position: &Position) -> String {
    let bare = position.id.trim_start_matches("op_");
    format!("{}/{bare}", instant(position.at))
}

/// Reads the position of a record in its client's list.
pub(crate) fn position(listed: &str) -> Option<Position> {
    let (created, id) = listed.split_once('/')?;
    let id = OperationId::parse(&format!("op_{id}"))?;
    Some(Position::new(created.parse().ok()?, id.as_str()))
}

/// Formats a time so that texts sort in the order of their times.
pub(crate) fn instant(time: Timestamp) -> String {
    format!("{time:.9}")
}

pub(crate) fn string<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

#[cfg(test)]
mod tests {
    use courier_core::operation::{DeliveryOutcome, Outcome};
    use courier_core::ports::Filter;
    use courier_testkit::sample::{at, closed, ended, running, sample_record};
    use serde_json::Value;

    use super::*;

    const RETENTION: Duration = Duration::from_secs(40 * 24 * 3600);

    fn names(record: &Record) -> Vec<String> {
        let mut names: Vec<String> = item(record, RETENTION).unwrap().into_keys().collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_is_not_closed_is_in_the_index_by_due_time_and_only_what_is_closed_expires() {
        let open = sample_record(&OperationId::random());
        assert!(names(&open).contains(&SHARD.to_owned()));
        assert!(names(&open).contains(&DUE.to_owned()));
        assert!(names(&open).contains(&OPEN.to_owned()));
        assert!(!names(&open).contains(&EXPIRES.to_owned()));
        let undelivered = ended(&open, Outcome::Succeeded, at(100));
        assert!(names(&undelivered).contains(&DUE.to_owned()));
        assert!(!names(&undelivered).contains(&EXPIRES.to_owned()));
        let closed = closed(&open, Outcome::Succeeded, at(100));
        assert!(matches!(
            closed.state,
            State::Closed {
                how: DeliveryOutcome::Delivered,
                ..
            }
        ));
        assert!(!names(&closed).contains(&DUE.to_owned()));
        assert!(!names(&closed).contains(&OPEN.to_owned()));
        let expires = item(&closed, RETENTION).unwrap()[EXPIRES]
            .as_n()
            .unwrap()
            .clone();
        let kept = at(100).as_second() + 40 * 24 * 3600 + 1;
        assert_eq!(expires, kept.to_string());
    }

    #[test]
    fn empty_fields_are_not_stored_and_are_empty_when_they_are_read() {
        let plain = running(&sample_record(&OperationId::random()), at(90));
        let mut newer = plain.clone();
        newer.unknown.insert("newer".to_owned(), Value::Null);
        newer.graph.unknown.insert("newer".to_owned(), Value::Null);
        for before in [plain, newer] {
            let item = item(&before, RETENTION).unwrap();
            assert_eq!(record(before.id.as_str(), &item).unwrap(), before);
            let stored = string(&item, RECORD).unwrap();
            assert_eq!(
                stored.matches("null").count(),
                stored.matches("\"newer\"").count()
            );
        }
    }

    #[test]
    fn due_time_of_a_job_is_rounded_up_in_the_index_by_no_more_than_its_margin() {
        let mut job = running(&sample_record(&OperationId::random()), at(0));
        for (margin, cell) in [
            (60, 0),
            (1799, 0),
            (1800, 1800),
            (3600, 3600),
            (4 * 3600, 4 * 3600),
            (9 * 3600, 4 * 3600),
        ] {
            for second in [0, 1, 1799, 1800, 100_000] {
                job.graph.next_poll_at = Some(at(second));
                let due = at(second + margin);
                let indexed = indexed_due(&job, due);
                let later = indexed.duration_since(due).as_secs();
                assert!((0..=cell).contains(&later), "{margin} {second} {later}");
                if cell > 0 {
                    assert_eq!(indexed.as_second() % cell, 0, "{margin} {second}");
                }
            }
        }
        job.graph.next_poll_at = None;
        assert_eq!(indexed_due(&job, at(1)), at(1));
        let ended = ended(&job, Outcome::Succeeded, at(100));
        assert_eq!(indexed_due(&ended, at(20_000)), at(20_000));
    }

    #[test]
    fn instants_sort_as_texts() {
        let times = [
            "2026-11-21T20:00:00Z",
            "2026-11-21T20:00:00.000000001Z",
            "2026-11-21T20:00:00.1Z",
        ];
        let texts: Vec<String> = times
            .iter()
            .map(|time| instant(time.parse().unwrap()))
            .collect();
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!(texts[0], "2026-11-21T20:00:00.000000000Z");
    }

    #[test]
    fn the_position_of_a_record_is_read_from_the_index_as_it_was_written() {
        let record = sample_record(&OperationId::random());
        let own = Position::of(&record, &Filter::default());
        assert_eq!(listed_at(&own), listed(&record));
        assert_eq!(position(&listed(&record)), Some(own));
        for bad in ["", "x", "\u{0}/"] {
            assert_eq!(position(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_record_that_has_moved_on_since_the_index_is_not_listed() {
        let record = sample_record(&OperationId::random());
        let all = Filter::default();
        assert!(all.matches(&record));
        let status = |word: &str| Filter {
            status: Some(word.to_owned()),
            ..Filter::default()
        };
        assert!(status("accepted").matches(&record));
        assert!(!status("running").matches(&record));
        let operation = |name: &str| Filter {
            operation: Some(name.to_owned()),
            ..status("accepted")
        };
        assert!(operation("user.exportPersonalData").matches(&record));
        assert!(!operation("team.schedule").matches(&record));
        let reference = |text: &str| Filter {
            reference: Some(text.to_owned()),
            ..operation("user.exportPersonalData")
        };
        assert!(reference("RITM0012345").matches(&record));
        assert!(!reference("RITM").matches(&record));
        let mut unnamed = record;
        unnamed.reference = None;
        assert!(!reference("RITM0012345").matches(&unnamed));
        assert!(operation("user.exportPersonalData").matches(&unnamed));
    }
}
