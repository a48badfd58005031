//! The receivers of callbacks: what they got, and how each of them behaves.

use std::collections::BTreeMap;

use courier_testkit::receiver::Callback;

/// The callbacks that receivers got, and the behaviour of each receiver, by path.
#[derive(Default)]
pub(crate) struct Receivers {
    pub(crate) journal: Vec<Callback>,
    pub(crate) manners: BTreeMap<String, Manner>,
    /// The announcements that the target of events got: event id and body, by operation.
    pub(crate) announced: BTreeMap<String, (String, String)>,
}

/// The behaviour of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Takes,
    /// Takes some, and the rest it refuses or drops.
    Moody,
    /// Never takes one.
    Refuses,
    /// 410.
    Gone,
}
