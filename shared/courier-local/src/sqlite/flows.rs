//! Shares the worker's capacity between flows, so that slow work fills only its own share.
//!
//! A flow is the work of one client of one kind: to start, to poll or to deliver. A flow may use as much as half of what
//! nobody uses (dynamic thresholds, as in the buffers of network switches): a flow alone gets a third of the capacity,
//! several slow ones get equal parts, and some of it is always left for the next one.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::sqlite::database::nanoseconds;
use crate::sqlite::failure::Failure;

/// The flow of an operation's message, in SQL, read from its record.
macro_rules! flow_of {
    ($id:literal) => {
        concat!(
            "coalesce((SELECT CASE WHEN ended_at IS NOT NULL THEN 'deliver '
            WHEN status = 'running' THEN 'poll ' ELSE 'start ' END || client FROM operations WHERE id = ",
            $id,
            "), '')"
        )
    };
}
pub(crate) use flow_of;

const NEXT_FLOW: &str = "SELECT flow FROM queue WHERE flow > ? ORDER BY flow LIMIT 1";
const FIRST_FLOW: &str = "SELECT flow FROM queue ORDER BY flow LIMIT 1";
const DUE: &str = "SELECT operation_id, message, receives, due_at FROM queue
    WHERE flow = ? AND due_at <= ? ORDER BY due_at LIMIT ?";

/// The number of steps that may run at once, and those that run now.
#[derive(Debug, Clone)]
pub struct Capacity {
    total: usize,
    in_flight: HashMap<String, usize>,
    is_shared: bool,
}

impl Capacity {
    pub fn new(total: usize) -> Self {
        Self {
            total: total.max(1),
            in_flight: HashMap::new(),
            is_shared: true,
        }
    }

    /// Returns a capacity for messages that are handled one after the other, which flows need not share.
    pub fn in_turn(total: usize) -> Self {
        Self {
            is_shared: false,
            ..Self::new(total)
        }
    }

    /// Counts a step that begins.
    pub fn begin(&mut self, flow: &str) {
        *self.in_flight.entry(flow.to_owned()).or_default() += 1;
    }

    /// Counts a step that has ended.
    pub fn end(&mut self, flow: &str) {
        if let Some(count) = self.in_flight.get_mut(flow) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(flow);
            }
        }
    }

    /// Returns the number of steps that may still begin.
    pub fn free(&self) -> usize {
        self.total
            .saturating_sub(self.in_flight.values().sum::<usize>())
    }

    fn in_flight(&self, flow: &str) -> usize {
        self.in_flight.get(flow).copied().unwrap_or_default()
    }

    /// Returns how many steps of the flow may begin, if no other flow has any to begin.
    fn room(&self, flow: &str) -> usize {
        if self.is_shared {
            self.free().div_ceil(2).saturating_sub(self.in_flight(flow))
        } else {
            self.free()
        }
    }
}

/// A message that is due, as it is stored.
pub(crate) struct Due {
    pub(crate) operation_id: String,
    pub(crate) message: String,
    pub(crate) receives: u32,
    pub(crate) due_at: i64,
    pub(crate) flow: String,
}

/// Returns the messages to receive: of the flows with the fewest steps in flight first, the longest due of each first.
pub(crate) fn due(
    connection: &Connection,
    now: Timestamp,
    capacity: &Capacity,
) -> Result<Vec<Due>, Failure> {
    let mut capacity = capacity.clone();
    let mut waiting = Vec::new();
    for flow in flows(connection)? {
        let messages = due_of(connection, &flow, now, capacity.room(&flow))?;
        if !messages.is_empty() {
            waiting.push((flow, VecDeque::from(messages)));
        }
    }
    let mut chosen = Vec::new();
    loop {
        let next = waiting
            .iter_mut()
            .filter(|(flow, messages)| !messages.is_empty() && capacity.room(flow) > 0)
            .min_by_key(|(flow, messages)| {
                let due_at = messages.front().map_or(i64::MAX, |message| message.due_at);
                let in_flight = capacity.in_flight(flow);
                (if capacity.is_shared { in_flight } else { 0 }, due_at)
            });
        let Some((flow, messages)) = next else {
            return Ok(chosen);
        };
        capacity.begin(flow);
        chosen.extend(messages.pop_front());
    }
}

/// Returns the flows that have messages; each costs one step in the index, however many messages it has.
fn flows(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut flows = Vec::new();
    let first = connection
        .prepare_cached(FIRST_FLOW)?
        .query_row([], |row| row.get::<_, String>(0))
        .optional()?;
    let mut following = connection.prepare_cached(NEXT_FLOW)?;
    let mut next = first;
    while let Some(flow) = next {
        next = following.query_row([&flow], |row| row.get(0)).optional()?;
        flows.push(flow);
    }
    Ok(flows)
}

fn due_of(
    connection: &Connection,
    flow: &str,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Due>, Failure> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(DUE)?;
    let rows = statement.query_map(params![flow, nanoseconds(now), limit], |row| {
        Ok(Due {
            operation_id: row.get(0)?,
            message: row.get(1)?,
            receives: row.get(2)?,
            due_at: row.get(3)?,
            flow: flow.to_owned(),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets each of the flows begin as many steps as it may, one after the other.
    fn fill(capacity: &mut Capacity, flows: &[&str]) -> Vec<usize> {
        while let Some(flow) = flows
            .iter()
            .filter(|flow| capacity.room(flow) > 0)
            .min_by_key(|flow| capacity.in_flight(flow))
        {
            capacity.begin(flow);
        }
        flows.iter().map(|flow| capacity.in_flight(flow)).collect()
    }

    #[test]
    fn slow_flows_share_alike_and_leave_room_for_the_next_one() {
        let mut capacity = Capacity::new(192);
        assert_eq!(fill(&mut capacity, &["a"]), [64]);
        assert_eq!(fill(&mut capacity, &["a", "b"]), [64, 43]);
        let mut together = Capacity::new(192);
        assert_eq!(fill(&mut together, &["a", "b"]), [48, 48]);
        let names: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let many: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut crowded = Capacity::new(192);
        let shares = fill(&mut crowded, &many);
        assert!(shares.iter().all(|share| *share >= 4), "{shares:?}");
        assert!(crowded.room("another") > 0);
    }

    #[test]
    fn capacity_of_one_is_used() {
        let mut capacity = Capacity::new(1);
        assert_eq!(capacity.room("a"), 1);
        capacity.begin("a");
        assert_eq!(capacity.room("b"), 0);
        capacity.end("a");
        assert_eq!(capacity.room("b"), 1);
    }
}
