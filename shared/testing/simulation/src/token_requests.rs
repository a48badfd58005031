//! I13: each process asks for one token at a time, and after a failure only when the pause is over.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use courier_core::outbound::{Answered, Call, Unanswered};
use courier_core::time::later;
use jiff::Timestamp;

use crate::world::{Life, lock};

/// The shortest pause after a failure that names none.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);

/// The token requests of one process, by path and kind of grant.
#[derive(Default)]
pub(crate) struct TokenRequests(Mutex<BTreeMap<String, Asked>>);

#[derive(Default, Clone, Copy)]
struct Asked {
    in_flight: bool,
    not_before: Option<Timestamp>,
}

/// Returns the path and the kind of grant of a token request; `None` for any other call.
pub(crate) fn kind(call: &Call) -> Option<String> {
    let path = call.url.path();
    let refresh = String::from_utf8_lossy(&call.body).contains("refresh_token");
    path.contains("/oauth2/")
        .then(|| format!("{path} {}", if refresh { "refresh" } else { "client" }))
}

/// A token request that is under way; it ends when this is dropped, with or without an answer.
pub(crate) struct TokenRequest<'a>(&'a TokenRequests, &'a str);

impl TokenRequests {
    pub(crate) fn begin<'a>(&'a self, life: &Life, kind: &'a str) -> TokenRequest<'a> {
        let world = &life.world;
        let mut all = lock(&self.0);
        let asked = all.entry(kind.to_owned()).or_default();
        // Where clocks are off, a process takes a pause for over that is not.
        let is_early = asked.not_before.is_some_and(|time| world.now() < time);
        if asked.in_flight || (is_early && !world.plan.skewed) {
            world.broken(format_args!("I13: {kind} was asked for a token too often"));
        }
        asked.in_flight = true;
        TokenRequest(self, kind)
    }
}

impl TokenRequest<'_> {
    pub(crate) fn answered(self, life: &Life, answer: &Result<Answered, Unanswered>) {
        let failed = !matches!(answer, Ok(answered) if answered.status == 200);
        let pause_ends = failed.then(|| later(life.world.now(), SHORTEST_PAUSE));
        if let Some(asked) = lock(&self.0.0).get_mut(self.1) {
            asked.not_before = pause_ends;
        }
    }
}

impl Drop for TokenRequest<'_> {
    fn drop(&mut self) {
        if let Some(asked) = lock(&self.0.0).get_mut(self.1) {
            asked.in_flight = false;
        }
    }
}
