//! What a list selects, in which order, and where its pages begin.

use jiff::Timestamp;

use crate::operation::{OperationId, Record};

/// The value of `status` that stands for every operation without an outcome.
pub const OPEN: &str = "open";

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    Created,
    /// Only operations without an outcome, the earliest deadline first.
    Deadline,
    /// Only operations without an outcome that have a legal clock, the earliest due date first.
    Due,
}

impl Order {
    /// Reports whether the list has only operations without an outcome, the most urgent one first.
    pub fn is_by_urgency(self) -> bool {
        match self {
            Self::Created => false,
            Self::Deadline | Self::Due => true,
        }
    }
}

/// Selects the records to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// A public status (`running`, `succeeded`, …), or [`OPEN`].
    pub status: Option<String>,
    pub operation: Option<String>,
    pub reference: Option<String>,
    /// A status of the callback (`pending`, `undeliverable`, …).
    pub callback: Option<String>,
    /// The stored hash of a person ([`crate::operation::person_hash`]).
    pub person: Option<String>,
    /// Only records that were created at this time or later.
    pub created_from: Option<Timestamp>,
    /// Only records that were created before this time.
    pub created_before: Option<Timestamp>,
    /// Only records whose deadline is before this time.
    pub deadline_before: Option<Timestamp>,
    /// Only records with a legal clock whose due date is before this time.
    pub due_before: Option<Timestamp>,
    pub order: Order,
    /// The position of the last record of the page before.
    pub cursor: Option<Position>,
    pub limit: usize,
}

impl Filter {
    /// Reports whether a record matches, wherever in the list it is.
    pub fn matches(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == value
        };
        let is_open = record.state.outcome().is_none();
        let has_status = match self.status.as_deref() {
            Some(OPEN) => is_open,
            Some(status) => status == record.state.status(),
            None => true,
        };
        let callback = self.callback.as_deref();
        has_status
            && (is_open || !self.order.is_by_urgency())
            && (record.legal.is_some() || self.order != Order::Due)
            && is(&self.operation, Some(&record.operation))
            && is(&self.reference, record.reference.as_deref())
            && is(&self.person, record.person.as_deref())
            && callback.is_none_or(|wanted| record.matches_callback(wanted))
            && self
                .created_from
                .is_none_or(|from| record.created_at >= from)
            && self
                .created_before
                .is_none_or(|before| record.created_at < before)
            && self
                .deadline_before
                .is_none_or(|before| record.deadline < before)
            && self.due_before.is_none_or(|before| {
                let clock = record.legal.as_ref();
                clock.is_some_and(|clock| clock.due_at < before)
            })
    }

    /// Reports whether `one` comes before `other` in the order of the list.
    pub fn precedes(&self, one: &Position, other: &Position) -> bool {
        match self.order.is_by_urgency() {
            true => one < other,
            false => one > other,
        }
    }

    /// Reports whether everything from `position` on is outside of the times that the filter admits.
    pub fn ends_before(&self, position: &Position) -> bool {
        let (from, before) = match self.order {
            Order::Created => (self.created_from, None),
            Order::Deadline => (None, self.deadline_before),
            Order::Due => (None, self.due_before),
        };
        from.is_some_and(|from| position.at < from)
            || before.is_some_and(|before| position.at >= before)
    }

    /// Returns the position after which the page begins.
    pub fn start(&self) -> Position {
        let first = match (self.order.is_by_urgency(), self.created_before) {
            (true, _) => Position::new(Timestamp::MIN, ""),
            (false, Some(before)) => Position::new(before, ""),
            (false, None) => Position::new(Timestamp::MAX, "~"),
        };
        match &self.cursor {
            Some(cursor) if self.precedes(&first, cursor) => cursor.clone(),
            Some(_) | None => first,
        }
    }
}

/// The position of a record in a list: the time by which the list is ordered, then the id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub at: Timestamp,
    /// The whole id of the record. A text that is no id stands before (empty) or behind (`~`) all records of this time.
    pub id: String,
}

impl Position {
    pub fn new(at: Timestamp, id: &str) -> Self {
        Self {
            at,
            id: id.to_owned(),
        }
    }

    /// Returns the position of a record in a list of this filter.
    pub fn of(record: &Record, filter: &Filter) -> Self {
        let at = match filter.order {
            Order::Created => record.created_at,
            Order::Deadline => record.deadline,
            Order::Due => record
                .legal
                .as_ref()
                .map_or(Timestamp::MAX, |clock| clock.due_at),
        };
        Self::new(at, record.id.as_str())
    }

    /// Returns the position as the API gives it out: nanoseconds since 1970 in 16 hexadecimal digits, then the bare id.
    pub fn text(&self) -> String {
        let nanoseconds = i64::try_from(self.at.as_nanosecond()).unwrap_or(i64::MAX);
        format!("{nanoseconds:016x}{}", self.id.trim_start_matches("op_"))
    }

    /// Reads what [`Position::text`] has written, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let (nanoseconds, id) = text.split_at_checked(16)?;
        let id = OperationId::parse(&format!("op_{id}"))?;
        let nanoseconds = u64::from_str_radix(nanoseconds, 16).ok()?.cast_signed();
        let at = Timestamp::from_nanosecond(nanoseconds.into()).ok()?;
        let position = Self::new(at, id.as_str());
        (position.text() == text).then_some(position)
    }
}

/// One page of a list, and the cursor of the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Fewer than the limit, or none, although there is a `next`, where the store has read as much as it may for a page.
    pub records: Vec<Record>,
    pub next: Option<Position>,
    /// Number of records that are left out because they cannot be read.
    pub unreadable: usize,
}

impl Page {
    /// Merges pages of the same filter, one for each client, to one page.
    ///
    /// Behind the position up to which a page was read, something of its client may come that it does not have.
    pub fn merge(pages: Vec<Self>, filter: &Filter) -> Self {
        let unreadable = pages.iter().map(|page| page.unreadable).sum();
        let mut read_to: Option<Position> = None;
        let mut found = Vec::new();
        for page in pages {
            if let Some(next) = page.next
                && read_to
                    .as_ref()
                    .is_none_or(|read| filter.precedes(&next, read))
            {
                read_to = Some(next);
            }
            let records = page.records.into_iter();
            found.extend(records.map(|record| (Position::of(&record, filter), record)));
        }
        found.sort_by(|(one, _), (other, _)| match filter.order.is_by_urgency() {
            true => one.cmp(other),
            false => other.cmp(one),
        });
        if let Some(read_to) = &read_to {
            found.retain(|(position, _)| !filter.precedes(read_to, position));
        }
        if found.len() > filter.limit {
            found.truncate(filter.limit);
            read_to = found.last().map(|(position, _)| position.clone());
        }
        Self {
            records: found.into_iter().map(|(_, record)| record).collect(),
            next: read_to,
            unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_only_as_it_was_given_out() {
        let id = OperationId::unique(uuid::Uuid::from_u128(7));
        let good = Position::new(Timestamp::from_second(1_790_000_000).unwrap(), id.as_str());
        let text = good.text();
        assert_eq!(Position::parse(&text), Some(good));
        for bad in [
            String::new(),
            "x".to_owned(),
            "é".repeat(24),
            "' OR 1=1 --".to_owned(),
            text.to_uppercase() + "0",
            text[1..].to_owned(),
            format!("+{}", &text[1..]),
            "0".repeat(100_000),
        ] {
            assert_eq!(Position::parse(&bad), None, "{bad:.40}");
        }
    }
}
