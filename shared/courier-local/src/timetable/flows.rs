//! Shares the worker's capacity between flows, so that slow work fills only its own share.
//!
//! A flow is the work of one client of one kind: to start, to poll or to deliver. A flow may use as much as half of what
//! nobody uses (dynamic thresholds, as in the buffers of network switches): a flow alone gets a third of the capacity,
//! several slow ones get equal parts, and some of it is always left for the next one.

use std::collections::HashMap;
use std::sync::Arc;

use courier_core::operation::{Record, State};

/// The name of a flow.
pub type Flow = Arc<str>;

/// Returns the flow of the operation's message.
pub(crate) fn flow_of(record: &Record) -> Flow {
    let kind = match &record.state {
        State::Accepted { .. }
        | State::Starting { .. }
        | State::StartUnknown { .. }
        | State::Locating { .. } => "start",
        State::Running { .. } => "poll",
        State::Ended { .. } | State::Closed { .. } => "deliver",
    };
    format!("{kind} {}", record.client).into()
}

/// The number of steps that may run at once, and those that run now.
#[derive(Debug, Clone)]
pub struct Capacity {
    total: usize,
    in_flight: HashMap<Flow, usize>,
    /// Sum of `in_flight`.
    busy: usize,
    is_shared: bool,
}

impl Capacity {
    pub fn new(total: usize) -> Self {
        Self {
            total: total.max(1),
            in_flight: HashMap::new(),
            busy: 0,
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
    pub fn begin(&mut self, flow: &Flow) {
        *self.in_flight.entry(Arc::clone(flow)).or_default() += 1;
        self.busy += 1;
    }

    /// Counts a step that has ended.
    pub fn end(&mut self, flow: &Flow) {
        if let Some(count) = self.in_flight.get_mut(flow) {
            *count -= 1;
            self.busy -= 1;
            if *count == 0 {
                self.in_flight.remove(flow);
            }
        }
    }

    /// Returns the number of steps that may still begin.
    pub fn free(&self) -> usize {
        self.total.saturating_sub(self.busy)
    }

    fn in_flight(&self, flow: &Flow) -> usize {
        self.in_flight.get(flow).copied().unwrap_or_default()
    }

    /// Returns how many steps of the flow may begin, if no other flow has any to begin.
    pub(crate) fn room(&self, flow: &Flow) -> usize {
        if self.is_shared {
            self.free().div_ceil(2).saturating_sub(self.in_flight(flow))
        } else {
            self.free()
        }
    }

    /// Returns what decides which flow is next: the fewest steps in flight, unless flows are not shared.
    pub(crate) fn rank(&self, flow: &Flow) -> usize {
        if self.is_shared {
            self.in_flight(flow)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets each of the flows begin as many steps as it may, one after the other.
    fn fill(capacity: &mut Capacity, flows: &[&str]) -> Vec<usize> {
        let flows: Vec<Flow> = flows.iter().map(|name| Flow::from(*name)).collect();
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
        assert!(crowded.room(&"another".into()) > 0);
    }

    #[test]
    fn capacity_of_one_is_used() {
        let mut capacity = Capacity::new(1);
        let (a, b): (Flow, Flow) = ("a".into(), "b".into());
        assert_eq!(capacity.room(&a), 1);
        capacity.begin(&a);
        assert_eq!(capacity.room(&b), 0);
        capacity.end(&a);
        assert_eq!(capacity.room(&b), 1);
    }
}
