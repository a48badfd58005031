//! Classifies the answers to a GET that looks for a job, as a pure function.

use crate::catalogue::FindSpec;
use crate::catalogue::places::{Places, unwrapped};
use crate::graph::choosing::{body_of, chosen, has, time};
use crate::graph::monitor;
use crate::graph::verdict::{GraphReply, Subject};

/// The meaning of an answer to a GET that looks for a job.
#[derive(Debug, PartialEq)]
pub enum FindVerdict {
    /// The URL to poll the job at.
    Found(String),
    /// There is no such job.
    Absent,
    /// The token does not permit looking, or Graph does not know such a look.
    Refused,
    /// The answer does not say whether there is one.
    Nothing,
}

/// Classifies the answer to a GET that looks for the job of an operation.
pub fn classify_find(reply: &GraphReply, find: &FindSpec, subject: Subject<'_>) -> FindVerdict {
    let GraphReply::Answer(answer) = reply else {
        return FindVerdict::Nothing;
    };
    match answer.status {
        200..=299 => {}
        // What is looked for may have ended already, and its end is that it is gone.
        404 | 410 if subject.operation.poll.absent.is_some() => {
            return monitor_at(find, subject.places(), subject).unwrap_or(FindVerdict::Absent);
        }
        404 | 410 => return FindVerdict::Absent,
        400 | 401 | 403 | 405 | 501 => return FindVerdict::Refused,
        _ => return FindVerdict::Nothing,
    }
    let Some(body) = &answer.body else {
        return FindVerdict::Nothing;
    };
    let places = subject.places();
    let found = match &find.items {
        Some(items) => match chosen(items, body_of(items, body), &places) {
            Some(chosen) => chosen.last(),
            None => return FindVerdict::Nothing,
        },
        None => {
            let document = unwrapped(body);
            let mut conditions = find.conditions.iter();
            let fits = conditions.all(|(place, wanted)| has(document, place, wanted, &places));
            let begins =
                |since: &String| time(document, since).is_some_and(|at| at >= places.since());
            let is_new = find.since.as_ref().is_none_or(begins);
            (fits && is_new).then_some(document)
        }
    };
    let Some(item) = found else {
        // More pages are to be read than were, so what is not on these may be on the others.
        let is_whole = body.get("@odata.nextLink").is_none();
        return if is_whole {
            FindVerdict::Absent
        } else {
            FindVerdict::Nothing
        };
    };
    let places = Places {
        item: Some(item),
        ..places
    };
    monitor_at(find, places, subject).unwrap_or(FindVerdict::Nothing)
}

fn monitor_at(find: &FindSpec, places: Places<'_>, subject: Subject<'_>) -> Option<FindVerdict> {
    let url = places.url(&find.monitor).ok()?;
    let version = &subject.operation.start.version;
    let monitor = monitor::trusted(&url, subject.graph, version).ok()?;
    Some(FindVerdict::Found(monitor))
}
