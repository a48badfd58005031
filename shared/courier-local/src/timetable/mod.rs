//! The timetable: the newest message of each open operation, in memory, in the order in which they are due.
//!
//! A message that waits, that is received or that is postponed writes nothing to the file. What must survive the process
//! is in the records, from which the next process makes the timetable anew (`Message::resuming`).
//!
//! A message never replaces one with a higher epoch: its step would only find that it is outdated, and the entry is all
//! that keeps the operation going.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use courier_core::operation::message::Message;
use courier_core::operation::{OperationId, Record, State};
use jiff::{SignedDuration, Timestamp};
use slab::Slab;

mod flows;

use self::flows::flow_of;
pub use self::flows::{Capacity, Flow};

/// A message that this process has received and claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub message: Message,
    pub receipt: Receipt,
    /// Number of receives, this one included.
    pub receives: u32,
    /// The earliest time at which it could have been received.
    pub due: Timestamp,
    /// Whom the message works for and at what.
    pub flow: Flow,
}

/// Identifies one claim; it is invalid once the message is claimed or sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    operation_id: OperationId,
    number: u64,
}

/// What a stored record means for its operation's message.
pub(crate) struct Carried {
    id: OperationId,
    flow: Flow,
    owed: Option<(Message, Timestamp)>,
    is_running: bool,
}

impl Carried {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            id: record.id.clone(),
            flow: flow_of(record),
            owed: Message::owed(record),
            is_running: matches!(record.state, State::Running { .. }),
        }
    }
}

#[derive(Default)]
pub(crate) struct Timetable(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    entries: Slab<Entry>,
    places: HashMap<OperationId, usize>,
    /// The entries of each flow by their time, and the time of each flow's first entry.
    waiting: HashMap<Flow, BTreeSet<(Timestamp, usize)>>,
    first: BTreeSet<(Timestamp, Flow)>,
    receipts: u64,
}

struct Entry {
    message: Message,
    due: Timestamp,
    flow: Flow,
    receives: u32,
    /// The number of the newest claim, and the time at which the message was due when it was claimed.
    claim: Option<(u64, Timestamp)>,
}

/// When a message takes the place of the one that is there.
#[derive(Clone, Copy)]
enum Replace {
    /// If the epoch of that one is not higher, and that one differs, was received before, or is due later. The same message,
    /// due at the same time, that is being handled already is not handled twice.
    Older,
    /// If that one is the watchdog.
    Watchdog,
    Never,
}

impl Timetable {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the operation's message, unless the present one is identical and due no later, or received and not yet
    /// settled: a written record may have queued it before its writer does, and a repeated request does not put it off.
    pub(crate) fn send(&self, message: &Message, due: Timestamp) {
        let mut entries = self.lock();
        entries.put(message.clone(), due, None, Replace::Older);
    }

    /// Adds the message of a record that an earlier process has left.
    pub(crate) fn resume(&self, record: &Record, message: Message, due: Timestamp) {
        let mut entries = self.lock();
        entries.put(message, due, Some(flow_of(record)), Replace::Never);
    }

    /// Takes note of a new record, whose message must be there even if the process that wrote it sends none.
    pub(crate) fn inserted(&self, carried: Carried) {
        if let Some((message, due)) = carried.owed {
            let mut entries = self.lock();
            entries.put(message, due, Some(carried.flow), Replace::Older);
        }
    }

    /// Takes note of a written record: its message is put there if it is missing, and taken away once it is Closed.
    pub(crate) fn updated(&self, carried: Carried) {
        let mut entries = self.lock();
        let Some((message, due)) = carried.owed else {
            return entries.remove(&carried.id);
        };
        let replace = if carried.is_running {
            Replace::Watchdog
        } else {
            Replace::Never
        };
        entries.set_flow(&carried.id, &carried.flow);
        entries.put(message, due, Some(carried.flow), replace);
    }

    /// Claims messages that are due, the longest due first of each flow, as far as its share of `capacity` goes.
    ///
    /// They are visible again at `visible_again` unless deleted or postponed.
    pub(crate) fn receive(
        &self,
        now: Timestamp,
        capacity: &Capacity,
        visible_again: Timestamp,
    ) -> Vec<Received> {
        let mut entries = self.lock();
        let mut capacity = capacity.clone();
        let (mut received, mut places) = (Vec::new(), Vec::new());
        while let Some(flow) = entries.next_flow(now, &capacity) {
            capacity.begin(&flow);
            if let Some((place, message)) = entries.claim(&flow) {
                places.push(place);
                received.push(message);
            }
        }
        // Only now, so that none is received twice although it is visible again at once.
        for place in places {
            entries.enter(place, visible_again);
        }
        received
    }

    pub(crate) fn holds(&self, id: &OperationId) -> bool {
        self.lock().places.contains_key(id)
    }

    pub(crate) fn delete(&self, receipt: &Receipt) {
        let mut entries = self.lock();
        if entries.is_valid(receipt) {
            entries.remove(&receipt.operation_id);
        }
    }

    /// Makes the claimed message visible again at `until` instead of at the end of its visibility timeout.
    pub(crate) fn postpone(&self, receipt: &Receipt, until: Timestamp) {
        let mut entries = self.lock();
        if entries.is_valid(receipt) {
            entries.reschedule(&receipt.operation_id, until);
            entries.release(&receipt.operation_id);
        }
    }

    /// Returns the time by which everything that was due has been done, `now` at the latest.
    pub(crate) fn settled(&self, now: Timestamp) -> Timestamp {
        self.next_unsettled().map_or(now, |due| due.min(now))
    }

    /// Returns the earliest time at which a message is due, or was due that is being handled.
    pub(crate) fn next_unsettled(&self) -> Option<Timestamp> {
        let entries = self.lock();
        let due = entries.entries.iter().map(|(_, entry)| match entry.claim {
            Some((_, due)) => due,
            None => entry.due,
        });
        due.min()
    }

    /// Returns how long the message that is longest due waits to be received; zero if none is due.
    pub(crate) fn behind(&self, now: Timestamp) -> SignedDuration {
        let entries = self.lock();
        let due = entries.first.first().map_or(now, |(due, _)| *due);
        now.duration_since(due.min(now))
    }

    /// Returns the earliest time after `time` at which a message is due or visible again.
    pub(crate) fn next_due_after(&self, time: Timestamp) -> Option<Timestamp> {
        let entries = self.lock();
        let after = |waiting: &BTreeSet<(Timestamp, usize)>| {
            let later = waiting.range((time, usize::MAX)..);
            later.map(|(due, _)| *due).find(|due| *due > time)
        };
        match entries.first.first() {
            Some((first, _)) if *first > time => Some(*first),
            Some(_) => entries.waiting.values().filter_map(after).min(),
            None => None,
        }
    }
}

impl Entries {
    fn put(&mut self, message: Message, due: Timestamp, flow: Option<Flow>, replace: Replace) {
        let id = message.operation_id().clone();
        let Some(&place) = self.places.get(&id) else {
            let flow = flow.unwrap_or_else(|| "".into());
            let place = self.entries.insert(Entry {
                message,
                due,
                flow,
                receives: 0,
                claim: None,
            });
            self.places.insert(id, place);
            self.enter(place, due);
            return;
        };
        let present = &self.entries[place];
        let may_replace = match replace {
            Replace::Older => {
                let is_waiting = present.receives == 0 && present.due <= due;
                let is_in_hand =
                    present.due > due && present.claim.is_some_and(|(_, was_due)| was_due == due);
                let is_there = present.message == message && (is_waiting || is_in_hand);
                epoch(&present.message) <= epoch(&message) && !is_there
            }
            Replace::Watchdog => epoch(&present.message) == 0,
            Replace::Never => false,
        };
        if may_replace {
            self.reschedule(&id, due);
            let present = &mut self.entries[place];
            present.message = message;
            present.receives = 0;
            present.claim = None;
        }
    }

    /// Claims the first message of the flow and takes its place out of it.
    fn claim(&mut self, flow: &Flow) -> Option<(usize, Received)> {
        let &(due, place) = self.waiting.get(flow)?.first()?;
        self.leave(place);
        self.receipts += 1;
        let entry = &mut self.entries[place];
        entry.receives = entry.receives.saturating_add(1);
        entry.claim = Some((self.receipts, due));
        let received = Received {
            message: entry.message.clone(),
            receipt: Receipt {
                operation_id: entry.message.operation_id().clone(),
                number: self.receipts,
            },
            receives: entry.receives,
            due,
            flow: Flow::clone(flow),
        };
        Some((place, received))
    }

    fn is_valid(&self, receipt: &Receipt) -> bool {
        let place = self.places.get(&receipt.operation_id);
        let claim = place.and_then(|place| self.entries[*place].claim);
        claim.is_some_and(|(number, _)| number == receipt.number)
    }

    fn reschedule(&mut self, id: &OperationId, due: Timestamp) {
        if let Some(&place) = self.places.get(id) {
            self.leave(place);
            self.enter(place, due);
        }
    }

    fn release(&mut self, id: &OperationId) {
        if let Some(&place) = self.places.get(id) {
            self.entries[place].claim = None;
        }
    }

    fn set_flow(&mut self, id: &OperationId, flow: &Flow) {
        if let Some(&place) = self.places.get(id)
            && self.entries[place].flow != *flow
        {
            self.leave(place);
            self.entries[place].flow = Flow::clone(flow);
            self.enter(place, self.entries[place].due);
        }
    }

    fn remove(&mut self, id: &OperationId) {
        if let Some(place) = self.places.remove(id) {
            self.leave(place);
            self.entries.remove(place);
        }
    }

    fn enter(&mut self, place: usize, due: Timestamp) {
        let entry = &mut self.entries[place];
        entry.due = due;
        let flow = &entry.flow;
        let waiting = self.waiting.entry(Flow::clone(flow)).or_default();
        let first = waiting.first().map(|(first, _)| *first);
        waiting.insert((due, place));
        if first.is_none_or(|first| due < first) {
            if let Some(first) = first {
                self.first.remove(&(first, Flow::clone(flow)));
            }
            self.first.insert((due, Flow::clone(flow)));
        }
    }

    fn leave(&mut self, place: usize) {
        let entry = &self.entries[place];
        let (flow, due) = (&entry.flow, entry.due);
        let Some(waiting) = self.waiting.get_mut(flow) else {
            return;
        };
        let was_first = waiting.first() == Some(&(due, place));
        waiting.remove(&(due, place));
        let first = waiting.first().map(|(first, _)| *first);
        if was_first && first != Some(due) {
            self.first.remove(&(due, Flow::clone(flow)));
            match first {
                Some(first) => drop(self.first.insert((first, Flow::clone(flow)))),
                None => drop(self.waiting.remove(flow)),
            }
        }
    }

    /// Returns the flow whose first message is received next: the one with the fewest steps in flight.
    fn next_flow(&self, now: Timestamp, capacity: &Capacity) -> Option<Flow> {
        let due = self.first.iter().take_while(|(due, _)| *due <= now);
        due.filter(|(_, flow)| capacity.room(flow) > 0)
            .min_by_key(|(due, flow)| (capacity.rank(flow), *due))
            .map(|(_, flow)| Flow::clone(flow))
    }
}

fn epoch(message: &Message) -> u32 {
    match message {
        Message::WatchdogV1 { .. } => 0,
        Message::PollV1 { epoch, .. } => *epoch,
    }
}
