//! Events about operations that are sent once: what a written change gives rise to, and when the buffer is emptied.

use std::time::Duration;

use crate::config::Events;
use crate::engine::app::App;
use crate::events::{Context, EventType, Refused, changes, inserted, refused};
use crate::operation::{FrozenEvent, Record};
use crate::time::{elapsed, later};

/// Time for which a first event waits for others to go with it.
const GATHER: Duration = Duration::from_millis(200);

impl App {
    /// Returns what the configuration adds to events about the operations of this client; `None` if nobody wants them.
    pub(crate) fn event_context(&self, client: &str) -> Option<Context<'_>> {
        let events = self.config.events.as_ref()?;
        let client = self.config.clients.get(client);
        // A client that is no longer configured has not said that it wants none.
        client
            .is_none_or(|client| client.events)
            .then(|| self.context_of(events))
    }

    fn context_of<'a>(&'a self, events: &'a Events) -> Context<'a> {
        Context {
            source: &events.source,
            base: self.config.public_url.as_deref().unwrap_or_default(),
        }
    }

    pub(crate) fn wants(&self, event_type: EventType) -> bool {
        let events = self.config.events.as_ref();
        events.is_some_and(|events| events.wanted.has(event_type))
    }

    /// Tells that a record was inserted.
    pub(crate) fn tell_inserted(&self, record: &Record) {
        if let Some(context) = self.event_context(&record.client) {
            self.offer(EventType::Accepted, inserted(record, &context));
        }
    }

    /// Tells what a written change of a record means.
    pub(crate) fn tell_changes(&self, old: &Record, new: &Record) {
        if let Some(context) = self.event_context(&new.client) {
            for (event_type, event) in changes(old, new, self.now(), &context) {
                self.offer(event_type, event);
            }
        }
    }

    /// Tells that a request which came as an event was refused.
    pub fn tell_refused(&self, request: &Refused<'_>) {
        if let Some(events) = &self.config.events {
            let event = refused(request, &self.context_of(events));
            self.offer(EventType::Refused, event);
        }
    }

    /// Adds an event to the buffer, if it is wanted. Waits for nothing.
    fn offer(&self, event_type: EventType, event: FrozenEvent) {
        if self.wants(event_type) && !self.announcer.outbox.add(event) {
            self.dropped(1);
        }
    }

    /// Sends the events of the buffer within this time; what is left then, or cannot be sent, is dropped and counted.
    ///
    /// A host that may be frozen after its work calls this at its end.
    pub async fn flush_events(&self, within: Duration) {
        let ends_at = later(self.now(), within);
        while !self.announcer.outbox.is_empty() {
            let left = elapsed(self.now(), ends_at);
            if left.is_zero() || self.send_batch(left).await.is_err() {
                break;
            }
        }
        self.dropped(self.announcer.outbox.clear());
    }

    /// Completes a little after an event has come, so that those which come just after it go with it.
    ///
    /// A host that goes on running calls this and [`Self::send_waiting_events`] by turns, in a task of its own.
    pub async fn events_waiting(&self) {
        self.announcer.outbox.arrival().await;
        tokio::time::sleep(GATHER).await;
    }

    /// Sends one batch of the waiting events. Returns how long the others wait, while the target is left alone.
    pub async fn send_waiting_events(&self) -> Duration {
        let sent = self.send_batch(self.announcer.longest()).await;
        sent.err().unwrap_or_default()
    }

    /// Sends one batch. The error is how long the target is left alone.
    async fn send_batch(&self, within: Duration) -> Result<(), Duration> {
        let outbox = &self.announcer.outbox;
        let Some(events) = &self.config.events else {
            self.dropped(outbox.clear());
            return Ok(());
        };
        let batch = outbox.take();
        if batch.is_empty() {
            return Ok(());
        }
        let sent = self.announcer.send_once(events, &batch, within).await;
        match sent {
            Ok(sent) => {
                let mut counts = self.metrics.counts();
                *counts.events.entry("sent").or_default() += sent as u64;
                drop(counts);
                self.dropped(batch.len() - sent);
                Ok(())
            }
            Err(until) => {
                self.dropped(outbox.put_back(batch));
                Err(elapsed(self.now(), until))
            }
        }
    }

    fn dropped(&self, events: usize) {
        if events > 0 {
            let mut counts = self.metrics.counts();
            *counts.events.entry("dropped").or_default() += events as u64;
            drop(counts);
            let notices = &self.announcer.notices;
            if let Some(left_out) = notices.take("events_dropped", "", self.now()) {
                tracing::warn!(
                    events,
                    left_out,
                    "events were dropped; the end of an operation is never among them"
                );
            }
        }
    }
}
