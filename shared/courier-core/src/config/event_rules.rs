//! Reads what a client says about its events: who may deliver them, from which sources they may come, and the queue in
//! which they arrive.

use super::is_dns_name;
use crate::config::reader::Reader;

/// Longest name of an SQS queue (CreateQueue, `QueueName`).
const MAX_QUEUE_NAME: usize = 80;

/// Whose events are a client's requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventRules {
    /// The senders that the CloudEvents handshake permits, in small letters.
    pub origins: Vec<String>,
    /// The values of the attribute `source` that are accepted, each exact or with a `*` at its end; empty for all.
    pub sources: Vec<String>,
}

impl EventRules {
    pub(super) fn read(table: &mut Reader<'_>) -> Self {
        Self {
            origins: table.texts("event_origins", |text| {
                let is_name = !text.is_empty() && is_dns_name(&text);
                let rule = || "must be a DNS name such as eventgrid.azure.net".to_owned();
                is_name.then(|| text.to_ascii_lowercase()).ok_or_else(rule)
            }),
            sources: table.texts("event_sources", |text| {
                let fixed = text.strip_suffix('*').unwrap_or(&text);
                let rule = "must be a source such as urn:contoso:tickets, or the beginning of one and a * such as https://tickets.contoso.com/*";
                let is_pattern = !fixed.is_empty() && !fixed.contains('*');
                is_pattern.then_some(text).ok_or_else(|| rule.to_owned())
            }),
        }
    }

    /// Reports whether an event of this source may be a request of the client.
    pub fn permit(&self, source: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => source.starts_with(beginning),
            None => source == pattern,
        };
        self.sources.is_empty() || self.sources.iter().any(matches)
    }
}

/// Returns the name of the queue in `source = "sqs:NAME"`.
pub(super) fn queue(table: &mut Reader<'_>) -> Option<String> {
    let text = table.optional_text("source")?;
    let name = text.strip_prefix("sqs:").unwrap_or_default();
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !(1..=MAX_QUEUE_NAME).contains(&name.len()) || !name.bytes().all(is_letter) {
        let rule = "must be sqs: and the name of a standard queue, such as sqs:courier-intake";
        table.error("source", rule);
        return None;
    }
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_permitted_as_a_whole_or_by_its_beginning() {
        let rules = |sources: &[&str]| EventRules {
            sources: sources.iter().map(ToString::to_string).collect(),
            ..EventRules::default()
        };
        for (sources, source, is_permitted) in [
            (&[][..], "urn:anything", true),
            (&["urn:a"], "urn:a", true),
            (&["urn:a"], "urn:ab", false),
            (&["urn:a"], "URN:a", false),
            (
                &["urn:b", "https://a.example/*"],
                "https://a.example/1",
                true,
            ),
            (&["https://a.example/*"], "https://a.example.evil/1", false),
        ] {
            let permitted = rules(sources).permit(source);
            assert_eq!(permitted, is_permitted, "{sources:?} {source}");
        }
    }
}
