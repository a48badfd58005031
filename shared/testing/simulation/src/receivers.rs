//! The receivers of callbacks: what they got, and how each of them behaves.

use std::collections::BTreeMap;

use courier_testkit::receiver::Callback;

/// What receivers got, and how each of them behaves, by path.
#[derive(Default)]
pub(crate) struct Receivers {
    pub(crate) journal: Vec<Callback>,
    pub(crate) manners: BTreeMap<String, Manner>,
}

/// How a receiver answers.
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
