//! Refuses catalogue files that would do harm or nothing, with the line, the key and the rule.

use serde_json::Value;

mod fault;
mod results;
mod templates;
#[cfg(test)]
mod tests;

pub use self::fault::{Fault, Faults};
use super::pointer::is_pointer;
use super::{Absent, ItemsSpec, MonitorSource, Operation, PollSpec, Restart, TokenKind};

/// Hosts outside Graph where jobs of Graph have their monitors (`docs/graph-behaviour.md`, The Location).
pub const BUILT_IN_MONITOR_HOSTS: [&str; 5] = [
    "*.sharepoint.com",
    "*.sharepoint.us",
    "*.sharepoint-mil.us",
    "*.sharepoint.cn",
    "api.onedrive.com",
];
/// Statuses that never mean an end, whatever the operation: Graph uses them for what it does not say.
const NEVER_TERMINAL: [&str; 5] = [
    "unknown",
    "invalid",
    "unspecified",
    "none",
    "unknownfuturevalue",
];
/// Beginnings of headers that graph-courier sets itself, or that carry authority.
const DENIED_HEADERS: [&str; 12] = [
    "authorization",
    "host",
    "cookie",
    "content-",
    "client-request-id",
    "transfer-encoding",
    "connection",
    "proxy-",
    "forwarded",
    "x-forwarded-",
    "accept",
    "te",
];

/// Returns every fault of an operation that was read from `text`.
pub(super) fn faults(operation: &Operation, text: &str, monitor_hosts: &[String]) -> Vec<Fault> {
    let mut check = Check {
        operation,
        text,
        faults: Vec::new(),
    };
    check.top();
    check.start(monitor_hosts);
    check.find();
    check.poll();
    check.results();
    check.faults
}

struct Check<'a> {
    operation: &'a Operation,
    text: &'a str,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn fault(&mut self, key: &str, rule: impl AsRef<str>) {
        self.faults.push(Fault::new(self.text, key, rule.as_ref()));
    }

    fn require(&mut self, holds: bool, key: &str, rule: &str) {
        if !holds {
            self.fault(key, rule);
        }
    }

    fn top(&mut self) {
        let operation = self.operation;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_name = |part: &str| !part.is_empty() && part.bytes().all(fits);
        let named = operation.name.split('.').all(is_name) && operation.name.len() <= 64;
        self.require(
            named,
            "name",
            "must be words of letters, digits and - with dots between them",
        );
        self.require(
            !operation.clouds.is_empty(),
            "clouds",
            "at least one cloud is needed",
        );
        self.require(
            operation.deadline_seconds > 0,
            "deadline_seconds",
            "must be more than 0",
        );
        self.require(
            !operation.token.is_empty(),
            "token",
            "at least one kind of token is needed",
        );
        for kind in &operation.token {
            let has_some = !operation.permissions_of(*kind).is_empty();
            let rule = format!("has none for the token kind {}", kind.as_str());
            self.require(has_some, "permissions", &rule);
        }
        let is_adopt = operation.restart == Restart::Adopt;
        self.require(
            !is_adopt || !operation.start.already.is_empty(),
            "restart",
            "adopt needs start.already: it says what a second start is answered",
        );
        if let Some(name) = &operation.serialize_by {
            let rule = "must be a required parameter that is no secret";
            self.require(self.is_sure(name), "serialize_by", rule);
        }
        if let Some(pointer) = &operation.person {
            let first = pointer.split('/').nth(1).unwrap_or_default();
            let is_known = operation.parameters["properties"].get(first).is_some();
            let is_secret = operation
                .schema()
                .secrets()
                .iter()
                .any(|name| name == first);
            let holds = is_pointer(pointer) && !pointer.contains('~') && is_known && !is_secret;
            let rule = "must be the JSON Pointer of a parameter that is no secret";
            self.require(holds, "person", rule);
        }
        let is_paired = !operation.schema().has_storage() || operation.schema().storage().is_some();
        self.require(
            is_paired,
            "parameters",
            "a storage stands in the place of one container-sas: oneOf must name the two",
        );
        if let Some(budget) = &operation.budget {
            let holds = budget.requests > 0 && budget.seconds > 0;
            self.require(holds, "budget", "requests and seconds must be more than 0");
        }
    }

    fn start(&mut self, monitor_hosts: &[String]) {
        let (operation, start) = (self.operation, &self.operation.start);
        let is_method = ["POST", "PUT", "PATCH", "DELETE"].contains(&start.method.as_str());
        self.require(
            is_method,
            "start.method",
            "must be POST, PUT, PATCH or DELETE",
        );
        let is_version = ["v1.0", "beta"].contains(&start.version.as_str());
        self.require(is_version, "start.version", "must be v1.0 or beta");
        self.path("start.path", &start.path, &[]);
        self.require(
            !start.accepted.is_empty(),
            "start.accepted",
            "names no status",
        );
        self.require(
            !start.monitor.is_empty(),
            "start.monitor",
            "names no source",
        );
        for source in &start.monitor {
            self.source("start.monitor", source, false);
        }
        for (key, templates) in [
            ("start.headers", &start.headers),
            ("start.query", &start.query),
        ] {
            for (name, template) in templates {
                self.template(&format!("{key}.{name}"), template);
            }
        }
        self.headers("start.headers", start.headers.keys());
        self.headers("poll.headers", operation.poll.headers.keys());
        for (name, template) in &operation.poll.headers {
            self.template(&format!("poll.headers.{name}"), template);
        }
        if let Some(body) = &start.body {
            self.templates("start.body", body);
        }
        let is_never = operation.restart == Restart::Never;
        let rule = "never is sent once: a refusal that means \"not yet\" would have it sent again";
        self.require(!is_never || start.early.is_empty(), "start.early", rule);
        for early in &start.early {
            let holds = early.every_seconds > 0 && early.every_seconds <= early.for_seconds;
            self.require(
                holds,
                "start.early",
                "every_seconds must be from 1 to for_seconds",
            );
        }
        for already in &start.already {
            let one = already.outcome.is_some() != already.monitor.is_some();
            self.require(one, "start.already", "needs either outcome or monitor");
            for source in already.monitor.iter().flatten() {
                self.source("start.already", source, true);
            }
        }
        for host in &start.monitor_hosts {
            let is_known =
                BUILT_IN_MONITOR_HOSTS.contains(&host.as_str()) || monitor_hosts.contains(host);
            let rule = format!(
                "{host} is not permitted: graph.monitor_hosts of the configuration has to name it"
            );
            self.require(is_known, "start.monitor_hosts", &rule);
        }
    }

    fn source(&mut self, key: &str, source: &MonitorSource, in_refusal: bool) {
        match source {
            MonitorSource::Location | MonitorSource::Itself => {}
            MonitorSource::Answer(pointer) => {
                self.require(
                    is_pointer(pointer),
                    key,
                    "answer: needs a pointer such as answer:/url",
                );
            }
            MonitorSource::Target(path) => {
                self.require(in_refusal, key, "target: is for start.already only");
                self.path(key, path, &[]);
            }
            MonitorSource::Find => {
                let has_find = self.operation.find.is_some();
                self.require(has_find, key, "find needs the table [find]");
            }
            MonitorSource::Path(path) => self.path(key, path, &["answer"]),
        }
    }

    fn find(&mut self) {
        let Some(find) = &self.operation.find else {
            return;
        };
        self.path("find.path", &find.path, &[]);
        self.path("find.monitor", &find.monitor, &["item"]);
        let restarts = find.absent == Absent::Restart;
        let is_never = self.operation.restart == Restart::Never;
        let rule = "must be unknown: a start of class never is not sent twice";
        self.require(!(restarts && is_never), "find.absent", rule);
        let chosen = find.items.as_ref();
        let is_chosen = find.since.is_some()
            || !find.conditions.is_empty()
            || chosen.is_some_and(|items| items.since.is_some() || !items.conditions.is_empty());
        self.require(
            is_chosen,
            "find",
            "needs where or since, or it would take any job for ours",
        );
        for (pointer, value) in &find.conditions {
            self.condition("find.where", pointer, value);
        }
        if let Some(items) = chosen {
            self.items("find.items", items);
        }
    }

    fn items(&mut self, key: &str, items: &ItemsSpec) {
        let pointers = [
            Some(&items.at),
            items.since.as_ref(),
            items.key.as_ref(),
            items.expect.as_ref(),
        ];
        for pointer in pointers.into_iter().flatten() {
            let rule = format!("{pointer} is no JSON pointer");
            self.require(is_pointer(pointer), key, &rule);
        }
        let keyed = items.expect.is_none() || items.key.is_some();
        self.require(keyed, &format!("{key}.expect"), "needs key");
        for (pointer, value) in &items.conditions {
            self.condition(&format!("{key}.where"), pointer, value);
        }
    }

    fn condition(&mut self, key: &str, pointer: &str, value: &Value) {
        let rule = format!("{pointer} is no JSON pointer");
        self.require(is_pointer(pointer), key, &rule);
        let mut texts: Vec<&Value> = vec![value];
        texts.extend(value.as_array().into_iter().flatten());
        for text in texts.into_iter().filter_map(Value::as_str) {
            self.placeholders(key, text, &[]);
        }
    }

    fn poll(&mut self) {
        let poll = &self.operation.poll;
        let holds = 0 < poll.initial_seconds && poll.initial_seconds <= poll.max_seconds;
        self.require(
            holds,
            "poll.initial_seconds",
            "must be from 1 to max_seconds",
        );
        if let Some(items) = &poll.items {
            self.items("poll.items", items);
        }
        if let Some(items) = &poll.failed_if {
            self.items("poll.failed_if", items);
        }
        self.words(poll);
        for (pointer, value) in &poll.require {
            let rule = format!("{pointer} is no JSON pointer");
            self.require(is_pointer(pointer), "poll.require", &rule);
            self.templates("poll.require", value);
        }
        let lists = [&poll.status, &poll.error_code, &poll.error_message];
        for pointer in lists.into_iter().flatten().chain(&poll.progress) {
            let rule = format!("{pointer} is no JSON pointer");
            self.require(is_pointer(pointer), "poll.status", &rule);
        }
        let has_status = !poll.status.is_empty() || poll.exists;
        self.require(has_status, "poll.status", "names no pointer");
        for then in &self.operation.then {
            self.path("then.path", &then.path, &["result", "answer"]);
            self.require(
                then.exists,
                "then.exists",
                "must be true: there is no other condition",
            );
            let holds = 0 < then.every_seconds && then.every_seconds <= then.within_seconds;
            self.require(
                holds,
                "then.every_seconds",
                "must be from 1 to within_seconds",
            );
        }
    }

    fn words(&mut self, poll: &PollSpec) {
        let mut seen = Vec::new();
        for (_, words) in poll.words.lists() {
            for word in words {
                let word = word.to_ascii_lowercase();
                let rule = format!("{word} stands twice");
                self.require(!seen.contains(&word), "poll.words", &rule);
                let rule = format!("{word} is never terminal: Graph says nothing by it");
                self.require(
                    !NEVER_TERMINAL.contains(&word.as_str()),
                    "poll.words",
                    &rule,
                );
                seen.push(word);
            }
        }
        let ends = !poll.words.succeeded.is_empty() || poll.exists || poll.absent.is_some();
        self.require(
            ends,
            "poll.words",
            "nothing ends the operation: no status means succeeded",
        );
    }

    fn headers<'n>(&mut self, key: &str, names: impl Iterator<Item = &'n String>) {
        for name in names {
            let lower = name.to_ascii_lowercase();
            let denied = DENIED_HEADERS.iter().any(|denied| {
                lower == *denied || (denied.ends_with('-') && lower.starts_with(denied))
            });
            let place = format!("{key}.{name}");
            self.require(
                !denied,
                &place,
                "this header cannot be set by a catalogue file",
            );
            let is_name = lower.parse::<http::HeaderName>().is_ok();
            self.require(is_name, &place, "is no name of a header");
        }
    }
}

/// Returns the warnings about an operation that is valid.
pub fn warnings(operation: &Operation) -> Vec<String> {
    let mut warnings = Vec::new();
    if operation.start.version == "beta" {
        warnings.push(
            "uses the beta version of Graph, which Microsoft may change at any time".to_owned(),
        );
    }
    if operation.token == [TokenKind::Delegated] {
        warnings.push("works with a signed-in person's token only".to_owned());
    }
    warnings
}
