//! Erasure: what a closed operation says about people goes, what answers a repeat of its request stays.

use super::{Decision, Next, Rules, only, written};
use crate::operation::State;

impl Rules<'_> {
    /// Erases everything but the tombstone of a closed record: id, client, operation, fingerprint, status and times.
    ///
    /// A record that is not closed, or already erased, stays as it is.
    pub(super) fn erased(&self) -> Decision {
        let closed = matches!(self.record.state, State::Closed { .. });
        if !closed || self.record.erased_at.is_some() {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        record.erased_at = Some(self.now);
        record.reference = None;
        record.person = None;
        record.acknowledged = None;
        record.resumed_as = None;
        record.parameters.clear();
        record.sealed_parameters = None;
        record.callback = None;
        record.traceparent = None;
        record.tracestate = None;
        record.last_monitor = None;
        record.graph.client_request_id = None;
        record.graph.request_id = None;
        record.result = None;
        record.sealed_result = None;
        record.error = None;
        record.event = None;
        record.announcement = None;
        // Nobody here knows what a newer version keeps in its fields.
        record.unknown.clear();
        record.graph.unknown.clear();
        record.delivery.unknown.clear();
        if let Some(clock) = &mut record.legal {
            clock.unknown.clear();
        }
        self.note(&mut record, "erased", None);
        record.erase_history();
        written(record, Next::Drop)
    }
}
