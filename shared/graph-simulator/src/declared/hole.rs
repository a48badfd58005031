//! Placeholders: what each stands for in the documents, headers and paths of one job.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::instant;

/// What the placeholders of one job stand for.
pub(crate) struct Scope<'a> {
    pub(crate) job: &'a str,
    pub(crate) variables: &'a BTreeMap<String, String>,
    pub(crate) body: &'a Value,
    pub(crate) started: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) origin: &'a str,
    /// The origin with the version of the API.
    pub(crate) root: &'a str,
    /// The root of the host that takes no token.
    pub(crate) anonymous: &'a str,
    /// The element that a `{{for …}}` repeats its template for.
    pub(crate) each: Option<&'a Value>,
}

/// A placeholder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Hole {
    Job,
    Origin,
    Root,
    Anonymous,
    /// A new GUID, with or without its hyphens; only an id of a job may be made of it.
    New {
        hyphens: bool,
    },
    /// A GUID that is always the same for one job and name.
    Guid(String),
    Time {
        since_start: bool,
        seconds: f64,
        /// Prints the time of day with hyphens, as some of Graph's services do.
        malformed: bool,
    },
    /// The value at a pointer of the request that started the job.
    Body(String),
    /// The key at the end of a URL in that request.
    Key(String),
    Each(String),
    Variable(String),
}

impl Hole {
    /// Reads the text between the braces.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let pointer = |rest: &str| match rest {
            "" => String::new(),
            rest => format!("/{rest}"),
        };
        let (word, rest) = text.split_once('/').unwrap_or((text, ""));
        Ok(match word {
            "job" => Self::Job,
            "origin" => Self::Origin,
            "root" => Self::Root,
            "anonymous" => Self::Anonymous,
            "uuid" => Self::New { hyphens: true },
            "hex" => Self::New { hyphens: false },
            "guid" => Self::Guid(rest.to_owned()),
            "body" => Self::Body(pointer(rest)),
            "key" => Self::Key(pointer(rest)),
            "each" => Self::Each(pointer(rest)),
            _ if text.starts_with("start") || text.starts_with("now") => time(text)?,
            _ if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Self::Variable(text.to_owned())
            }
            _ => return Err(format!("the placeholder {text:?} means nothing")),
        })
    }

    /// Returns the name of a parameter of the start's path.
    pub(crate) fn variable(&self) -> Option<&str> {
        match self {
            Self::Variable(name) => Some(name),
            Self::Job
            | Self::Origin
            | Self::Root
            | Self::Anonymous
            | Self::New { .. }
            | Self::Guid(_)
            | Self::Time { .. }
            | Self::Body(_)
            | Self::Key(_)
            | Self::Each(_) => None,
        }
    }

    pub(crate) fn is_job(&self) -> bool {
        *self == Self::Job
    }

    pub(crate) fn value(&self, scope: &Scope<'_>) -> Value {
        let at = |value: &Value, pointer: &str| value.pointer(pointer).cloned();
        match self {
            Self::Job => scope.job.into(),
            Self::Origin => scope.origin.into(),
            Self::Root => scope.root.into(),
            Self::Anonymous => scope.anonymous.into(),
            Self::New { hyphens: true } => Uuid::new_v4().to_string().into(),
            Self::New { hyphens: false } => Uuid::new_v4().simple().to_string().into(),
            Self::Guid(name) => guid(scope.job, name).into(),
            Self::Time {
                since_start,
                seconds,
                malformed,
            } => {
                let base = if *since_start {
                    scope.started
                } else {
                    scope.now
                };
                let at = instant::after(base, *seconds);
                let spell = if *malformed {
                    instant::hyphenated
                } else {
                    instant::iso
                };
                spell(at).into()
            }
            Self::Body(pointer) => at(scope.body, pointer).unwrap_or(Value::Null),
            Self::Key(pointer) => {
                let url = scope.body.pointer(pointer).and_then(Value::as_str);
                key(url.unwrap_or_default()).into()
            }
            Self::Each(pointer) => {
                let found = scope.each.and_then(|each| at(each, pointer));
                found.unwrap_or(Value::Null)
            }
            Self::Variable(name) => scope.variables.get(name).cloned().into(),
        }
    }

    pub(crate) fn text(&self, scope: &Scope<'_>) -> String {
        match self.value(scope) {
            Value::String(text) => text,
            Value::Null => String::new(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                other.to_string()
            }
        }
    }
}

/// Reads `start`, `now`, `start+5s`, `now-30d`, and either with ` hyphens` behind it.
fn time(text: &str) -> Result<Hole, String> {
    let (moment, malformed) = match text.strip_suffix(" hyphens") {
        Some(moment) => (moment, true),
        None => (text, false),
    };
    let (since_start, offset) = match moment.strip_prefix("start") {
        Some(offset) => (true, offset),
        None => (false, moment.trim_start_matches("now")),
    };
    let wrong = || format!("the placeholder {text:?} is no time, as start+5s or now-30d");
    let seconds = if offset.is_empty() {
        0.0
    } else {
        let (number, unit) = offset
            .split_at_checked(offset.len() - 1)
            .ok_or_else(wrong)?;
        let scale = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        scale * number.parse::<f64>().map_err(|_| wrong())?
    };
    Ok(Hole::Time {
        since_start,
        seconds,
        malformed,
    })
}

/// Returns a GUID made from a job's id and a name.
fn guid(job: &str, name: &str) -> String {
    // FNV-1a with 128 bits: the same for the same text, and that is all it has to be.
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in job.bytes().chain([0]).chain(name.bytes()) {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    let random = uuid::Builder::from_random_bytes(hash.to_be_bytes());
    random.into_uuid().to_string()
}

/// Returns the key of `…/groups('KEY')`, `…/groups(KEY)` or `…/groups/KEY`.
fn key(url: &str) -> String {
    let end = url.rsplit('/').next().unwrap_or_default();
    let end = end.strip_suffix(')').and_then(|end| end.split_once('('));
    let key = end.map_or_else(
        || url.rsplit('/').next().unwrap_or_default(),
        |(_, key)| key,
    );
    key.trim_matches('\'').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_a_bound_url_is_found_in_each_of_its_forms() {
        for url in [
            "https://g/v1.0/groups('a')",
            "https://g/v1.0/groups(a)",
            "https://g/v1.0/groups/a",
        ] {
            assert_eq!(key(url), "a", "{url}");
        }
    }
}
