//! The state shared by all connections and the administration: the clock and the world, which one request at a time
//! changes.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use tokio::sync::watch;

use crate::answer::Payload;
use crate::declared::Place;
use crate::delivery::Delivery;
use crate::exchange::{Incoming, Outgoing, World};
use crate::options::Clock;

/// The state shared by all connections.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    world: Mutex<World>,
    /// The number of journal entries, for those who wait for more.
    pub(crate) seen: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(clock: Clock, world: World) -> Self {
        let seen = watch::Sender::new(0);
        let world = Mutex::new(world);
        Self { clock, world, seen }
    }

    /// Serves one request, from its arrival to its journal entry, whatever its transport.
    ///
    /// A host of the monitors that take no token is theirs, wherever the request arrived.
    pub(crate) fn exchange(
        &self,
        head: Parts,
        body: &[u8],
        listener: Place,
    ) -> io::Result<(Response<Bytes>, Delivery)> {
        let payload = Payload::parse(body);
        let mut world = self.world();
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| head.uri.authority().map(Authority::as_str));
        let incoming = Incoming {
            place: match listener {
                Place::Anonymous => Place::Anonymous,
                Place::Graph => world.declared.place(host),
            },
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            payload,
        };
        let now = (self.clock)();
        let Outgoing { answer, delivery } = world.exchange(&incoming, now)?;
        drop(world);
        self.seen.send_modify(|seen| *seen += 1);
        Ok((answer.into_response(), delivery))
    }

    /// Locks the world, even after a panic of another holder: tests still want to see it.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
