//! Fills in the templates of a catalogue file: paths with `{name}`, and values with `{{/pointer}}`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::catalogue::pointer;
use crate::crypto::hmac::Encoding;
use crate::operation::{OperationId, Record};
use crate::time::earlier;

/// Time before the acceptance of a request from which on a job may be its own: clocks differ.
const CLOCK_DIFFERENCE: std::time::Duration = std::time::Duration::from_secs(120);
/// Number of letters and digits of an operation's tag.
const TAG_LETTERS: usize = 24;

/// What the templates of one operation may name.
pub(crate) struct Places<'a> {
    pub(crate) parameters: &'a Map<String, Value>,
    pub(crate) id: &'a OperationId,
    pub(crate) reference: Option<&'a str>,
    pub(crate) created_at: Timestamp,
    pub(crate) graph: &'a Url,
    pub(crate) version: &'a str,
    /// The body of the answer to the start.
    pub(crate) answer: Option<&'a Value>,
    /// The element that a find has found.
    pub(crate) item: Option<&'a Value>,
    /// The document that a poll has read.
    pub(crate) look: Option<&'a Value>,
    /// The result so far.
    pub(crate) result: Option<&'a Map<String, Value>>,
}

impl<'a> Places<'a> {
    /// Returns the places of `record`, with its parameters as they are stored: without secrets.
    pub(crate) fn of(record: &'a Record, graph: &'a Url, version: &'a str) -> Self {
        Self {
            parameters: &record.parameters,
            id: &record.id,
            reference: record.reference.as_deref(),
            created_at: record.created_at,
            graph,
            version,
            answer: None,
            item: None,
            look: None,
            result: record.result.as_ref(),
        }
    }

    /// Returns the earliest time at which a job of this operation can have begun, by Graph's clock.
    pub(crate) fn since(&self) -> Timestamp {
        earlier(self.created_at, CLOCK_DIFFERENCE)
    }

    /// Returns the root of Graph's API with the version, as `odata.bind` wants it.
    pub(crate) fn root(&self) -> String {
        format!(
            "{}/{}",
            self.graph.origin().ascii_serialization(),
            self.version
        )
    }

    /// Returns the path below the version with its placeholders filled in. The error names the placeholder.
    pub(crate) fn path(&self, template: &str) -> Result<String, String> {
        let mut path = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            let text = self.text(name).ok_or_else(|| name.to_owned())?;
            push_constant(&mut path, before);
            // Between single quotes stands an OData literal (OData 4.01 URL Conventions, section 5.1.1.6.1).
            let is_literal = before.ends_with('\'') && after.starts_with('\'');
            let text = if is_literal {
                text.replace('\'', "''")
            } else {
                text
            };
            push_encoded(&mut path, &text);
            rest = after;
        }
        push_constant(&mut path, rest);
        Ok(path)
    }

    /// Returns the absolute URL of a path template.
    pub(crate) fn url(&self, template: &str) -> Result<String, String> {
        Ok(self.root() + &self.path(template)?)
    }

    /// Returns a text in which `{name}` is filled in as it is, to compare it with something.
    pub(crate) fn plain(&self, template: &str) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            text.push_str(before);
            text.push_str(&self.text(name).unwrap_or_default());
            rest = after;
        }
        text.push_str(rest);
        text
    }

    fn text(&self, name: &str) -> Option<String> {
        let found = match name.split_once('/') {
            Some(("operation", "id")) => return Some(self.id.to_string()),
            Some(("operation", "tag")) => return Some(self.tag()),
            Some(("operation", "reference")) => return self.reference.map(str::to_owned),
            Some(("answer", rest)) => pointer::first(unwrapped(self.answer?), &format!("/{rest}")),
            Some(("item", rest)) => pointer::first(self.item?, &format!("/{rest}")),
            Some(("look", rest)) => pointer::first(self.look?, &format!("/{rest}")),
            Some(("result", name)) => self.result?.get(name),
            Some(_) => None,
            None if name == "since" => return Some(seconds(self.since())),
            None => self.parameters.get(name),
        };
        match found? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        }
    }

    /// Returns a mark of the operation that Graph can keep: 24 hexadecimal digits of a hash of its id.
    pub(crate) fn tag(&self) -> String {
        let mut tag = Encoding::Hex.encode(&Sha256::digest(self.id.to_string()));
        tag.truncate(TAG_LETTERS);
        tag
    }

    /// Returns the value of a template, or `None` if it finds nothing.
    ///
    /// A text that is one whole `{{/pointer}}` becomes the value with its type. Fields and elements that find nothing are
    /// left out; a `null` that the caller wrote stays.
    pub(crate) fn value(&self, template: &Value) -> Option<Value> {
        match template {
            Value::String(text) => self.value_of_text(text),
            Value::Array(elements) => {
                Some(elements.iter().filter_map(|one| self.value(one)).collect())
            }
            Value::Object(fields) => {
                let filled = fields
                    .iter()
                    .filter_map(|(name, one)| Some((name.clone(), self.value(one)?)));
                Some(Value::Object(filled.collect()))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(template.clone()),
        }
    }

    /// Returns the text of a template, or `None` if it finds nothing at all.
    pub(crate) fn header(&self, template: &str) -> Option<String> {
        match self.value_of_text(template)? {
            Value::String(text) => Some(text),
            Value::Null => None,
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Some(other.to_string())
            }
        }
    }

    fn value_of_text(&self, text: &str) -> Option<Value> {
        let whole = text
            .strip_prefix("{{")
            .and_then(|text| text.strip_suffix("}}"));
        if let Some(place) = whole.filter(|place| !place.contains("{{")) {
            return self.at(place);
        }
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (place, after) = after.split_once("}}").unwrap_or((after, ""));
            let found = match self.at(place) {
                Some(Value::String(text)) => text,
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            };
            let is_literal = before.ends_with('\'') && after.starts_with('\'');
            filled.push_str(before);
            filled.push_str(&if is_literal {
                found.replace('\'', "''")
            } else {
                found
            });
            rest = after;
        }
        filled.push_str(rest);
        Some(Value::String(filled))
    }

    fn at(&self, place: &str) -> Option<Value> {
        match place.trim_start_matches('/').split_once('/') {
            Some(("parameters", rest)) => {
                let (name, below) = rest
                    .split_once('/')
                    .map_or((rest, String::new()), |(name, below)| {
                        (name, format!("/{below}"))
                    });
                pointer::first(self.parameters.get(name)?, &below).cloned()
            }
            Some(("operation", "id")) => Some(json!(self.id)),
            Some(("operation", "tag")) => Some(self.tag().into()),
            Some(("operation", "reference")) => self.reference.map(Value::from),
            Some(_) => None,
            None if place == "/graph" => Some(self.root().into()),
            None => None,
        }
    }
}

/// Returns the document inside an envelope `{"value": {…}}`, in which some services put theirs.
pub(crate) fn unwrapped(document: &Value) -> &Value {
    document
        .get("value")
        .filter(|inner| inner.is_object())
        .unwrap_or(document)
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Adds a part of a template as it is; only the space between words of a filter is encoded.
fn push_constant(path: &mut String, text: &str) {
    path.push_str(&text.replace(' ', "%20"));
}

/// Adds a value, percent-encoded so that it stays in its segment (RFC 3986, section 3.3).
fn push_encoded(path: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Adds query parameters to a URL that may have some.
pub(crate) fn with_query<'q>(
    url: &str,
    pairs: impl Iterator<Item = (&'q String, String)>,
) -> String {
    let mut url = url.to_owned();
    for (name, value) in pairs {
        url.push(if url.contains('?') { '&' } else { '?' });
        push_encoded(&mut url, name);
        url.push('=');
        push_encoded(&mut url, &value);
    }
    url
}
