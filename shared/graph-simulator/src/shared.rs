//! The state that all connections and the administration share: the clock and the world, which one request at a time
//! changes.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use tokio::sync::watch;

use crate::answer::Payload;
use crate::delivery::Delivery;
use crate::exchange::{Incoming, Outgoing, World};
use crate::options::Clock;

/// The state that all connections share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    world: Mutex<World>,
    /// The number of journal entries.
    pub(crate) seen: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(clock: Clock, world: World) -> Self {
        let seen = watch::Sender::new(0);
        let world = Mutex::new(world);
        Self { clock, world, seen }
    }

    /// One request from the wire to the journal, whatever the wire is.
    pub(crate) fn exchange(
        &self,
        head: Parts,
        body: &[u8],
    ) -> io::Result<(Response<Bytes>, Delivery)> {
        let incoming = Incoming {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            payload: Payload::parse(body),
        };
        let now = (self.clock)();
        let Outgoing { answer, delivery } = self.world().exchange(&incoming, now)?;
        self.seen.send_modify(|seen| *seen += 1);
        Ok((answer.into_response(), delivery))
    }

    /// The world, also after a panic of another holder: tests want to see it then.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
