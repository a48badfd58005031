//! Finds the monitor's URL in the answer to a start.

use crate::catalogue::places::{Places, unwrapped};
use crate::catalogue::{MonitorSource, pointer};
use crate::graph::monitor;
use crate::graph::verdict::{Answer, Subject};
use crate::operation::Reason;

/// Returns the monitor's URL from the first of these sources that has one, or why there is none.
pub(super) fn monitor_of(
    answer: &Answer,
    sources: &[MonitorSource],
    subject: Subject<'_>,
    start_url: &str,
) -> Result<String, Reason> {
    let places = Places {
        answer: answer.body.as_ref(),
        ..subject.places()
    };
    let version = &subject.operation.start.version;
    let trusted = |text: &str| monitor::trusted(text, subject.graph, version).ok();
    let mut reason = Reason::StartUntrackable;
    for source in sources {
        let found = match source {
            MonitorSource::Location => match location(answer, subject) {
                Ok(monitor) => Some(monitor),
                Err(Reason::LocationUntrusted) => {
                    reason = Reason::LocationUntrusted;
                    None
                }
                Err(_) => None,
            },
            MonitorSource::Itself if subject.operation.start.method == "POST" => {
                let id = places.path("/{answer/id}").ok();
                id.and_then(|id| trusted(&format!("{}{id}", start_url.split('?').next()?)))
            }
            MonitorSource::Itself => Some(start_url.to_owned()),
            MonitorSource::Answer(place) => {
                let body = answer.body.as_ref().map(unwrapped);
                let text = body.and_then(|body| pointer::first(body, place)?.as_str());
                text.and_then(trusted)
            }
            MonitorSource::Target(path) => {
                let error = answer.error.as_ref();
                let target = error.and_then(|error| error.target.as_deref());
                target.and_then(|target| monitor::from_target(target, path, subject.graph, version))
            }
            MonitorSource::Path(template) => {
                places.url(template).ok().and_then(|url| trusted(&url))
            }
            MonitorSource::Find => None,
        };
        if let Some(monitor) = found {
            return Ok(monitor);
        }
    }
    Err(reason)
}

fn location(answer: &Answer, subject: Subject<'_>) -> Result<String, Reason> {
    let mut locations = answer.locations.iter();
    let first = locations.next().ok_or(Reason::StartUntrackable)?;
    if locations.any(|other| other != first) {
        return Err(Reason::LocationUntrusted);
    }
    if let Some(foreign) = &answer.foreign_monitor {
        return Ok(foreign.clone());
    }
    let version = &subject.operation.start.version;
    monitor::trusted(first, subject.graph, version).map_err(|untrusted| match untrusted {
        monitor::Untrusted::Missing | monitor::Untrusted::Unparsable(_) => Reason::StartUntrackable,
        monitor::Untrusted::ForeignOrigin => Reason::LocationUntrusted,
    })
}
