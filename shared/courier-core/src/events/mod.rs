//! The events that tell other systems what happens to operations: their names, their envelope and their contents.
//!
//! An event is a CloudEvent 1.0 and an entry of an EventBridge bus, with one id however often it is sent. It says which
//! operation has changed and how. It has no parameters, names, addresses or secrets (`docs/events.md`).

mod changes;
mod contents;
mod envelope;
mod refusal;
mod schemas;

pub use changes::{changes, inserted};
pub use contents::ended;
pub use envelope::{Context, entry};
pub use refusal::{Refused, refused};
pub use schemas::{document, schema};

/// Source of every entry of an EventBridge bus, and the beginning of every type.
pub const NAMESPACE: &str = "io.graph-courier";

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// The request is stored: it is carried out, or its end is told.
    Accepted,
    /// Graph runs the job.
    Started,
    /// The outcome is final. This event alone is promised.
    Ended,
    /// A request that came as an event was refused.
    Refused,
    /// Somebody has to do something for the operation.
    Attention,
    /// That is done.
    Resolved,
    /// The receiver of the callback has taken the completion.
    Delivered,
    /// The delivery of the completion was given up.
    Undeliverable,
    /// The legal deadline is near, or the job will probably take longer.
    AtRisk,
    /// The legal deadline has passed.
    Passed,
}

impl EventType {
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Started,
        Self::Ended,
        Self::Refused,
        Self::Attention,
        Self::Resolved,
        Self::Delivered,
        Self::Undeliverable,
        Self::AtRisk,
        Self::Passed,
    ];

    /// Returns the name without [`NAMESPACE`], which the patterns of the configuration match.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "operation.accepted",
            Self::Started => "operation.started",
            Self::Ended => "operation.ended",
            Self::Refused => "operation.refused",
            Self::Attention => "operation.attention",
            Self::Resolved => "operation.resolved",
            Self::Delivered => "completion.delivered",
            Self::Undeliverable => "completion.undeliverable",
            Self::AtRisk => "deadline.at_risk",
            Self::Passed => "deadline.passed",
        }
    }

    /// Returns the `type` of the CloudEvent.
    pub fn cloud_event_type(self) -> String {
        format!("{NAMESPACE}.{}", self.name())
    }

    /// Returns the `detail-type` on an EventBridge bus.
    pub const fn detail_type(self) -> &'static str {
        match self {
            Self::Accepted => "Graph Operation Accepted",
            Self::Started => "Graph Operation Started",
            Self::Ended => "Graph Operation Ended",
            Self::Refused => "Graph Operation Request Refused",
            Self::Attention => "Graph Operation Attention Required",
            Self::Resolved => "Graph Operation Attention Resolved",
            Self::Delivered => "Completion Delivered",
            Self::Undeliverable => "Completion Undeliverable",
            Self::AtRisk => "Deadline At Risk",
            Self::Passed => "Deadline Passed",
        }
    }

    /// Returns the name of the schema of `data`, with its version.
    pub fn schema_name(self) -> String {
        format!("urn:graph-courier:schema:{}:1", self.name())
    }

    /// Returns a sentence for the documents.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Accepted => "The request is stored.",
            Self::Started => "Graph runs the job.",
            Self::Ended => "The outcome is final. This event is delivered at least once.",
            Self::Refused => "A request that came as an event was refused.",
            Self::Attention => "Somebody has to do something for the operation.",
            Self::Resolved => "What somebody had to do for the operation is done.",
            Self::Delivered => "The receiver of the callback has taken the completion.",
            Self::Undeliverable => "The delivery of the completion was given up.",
            Self::AtRisk => "The legal deadline is near, or the job will probably take longer.",
            Self::Passed => "The legal deadline has passed.",
        }
    }

    /// Returns the event type with this full `type`.
    pub fn of_cloud_event(kind: &str) -> Option<Self> {
        let name = kind.strip_prefix(NAMESPACE)?.strip_prefix('.')?;
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// The event types that the configuration wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(Vec<EventType>);

impl Wanted {
    pub fn all() -> Self {
        Self(EventType::ALL.to_vec())
    }

    /// Creates the set of the types that one of these patterns matches.
    pub fn of(patterns: Vec<Vec<EventType>>) -> Self {
        let mut all = patterns.concat();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }

    pub fn has(&self, event_type: EventType) -> bool {
        self.0.contains(&event_type)
    }
}

/// Returns the types that a pattern matches: a name, `*`, or a beginning and `.*`. The error says which names there are.
pub fn matching(pattern: &str) -> Result<Vec<EventType>, String> {
    let is_matched = |one: &EventType| match pattern.strip_suffix('*') {
        Some("") => true,
        Some(beginning) => beginning.ends_with('.') && one.name().starts_with(beginning),
        None => one.name() == pattern,
    };
    let found: Vec<_> = EventType::ALL.into_iter().filter(is_matched).collect();
    if found.is_empty() {
        let names = EventType::ALL.map(EventType::name).join(", ");
        return Err(format!(
            "matches no event: write *, operation.*, completion.*, deadline.* or one of {names}"
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_group_or_all() {
        assert_eq!(matching("operation.ended"), Ok(vec![EventType::Ended]));
        assert_eq!(matching("*").unwrap().len(), 10);
        assert_eq!(matching("operation.*").unwrap().len(), 6);
        assert_eq!(matching("completion.*").unwrap().len(), 2);
        for wrong in [
            "",
            "operation",
            "op*",
            "operation.end*",
            "io.graph-courier.*",
        ] {
            let rule = matching(wrong).unwrap_err();
            assert!(rule.contains("deadline.at_risk"), "{wrong}: {rule}");
        }
    }

    #[test]
    fn every_type_is_found_by_its_full_name() {
        for one in EventType::ALL {
            let full = one.cloud_event_type();
            assert_eq!(EventType::of_cloud_event(&full), Some(one));
        }
        assert_eq!(EventType::of_cloud_event("operation.ended"), None);
    }
}
