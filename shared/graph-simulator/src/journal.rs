//! The journal: every request, its answer, and the fault that hit it. An entry is written before the answer goes out,
//! to memory and optionally to a file that outlives a killed client.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Payload;

/// The request headers that entries contain.
const HEADERS: [&str; 13] = [
    "accept",
    "accept-encoding",
    "client-request-id",
    "connection",
    "content-type",
    "host",
    "ms-app-acts-as",
    "prefer",
    "retry-attempt",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-ms-throttle-priority",
];

/// One request as the simulator received it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The number of the entry; entries count from 1 without gaps.
    pub seq: u64,
    pub at: Timestamp,
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The name of the call: `token`, `export.start`, `goals.poll`, …, `other`.
    pub call: String,
    pub client_request_id: Option<String>,
    /// The token that came with the request: `app:tok_12`, `delegated:tok_3`, `unknown`, or none.
    pub authorization: Option<String>,
    pub acts_as: Option<String>,
    pub headers: BTreeMap<String, String>,
    /// The request's body: a JSON value, or a string if it is not JSON.
    pub body: Option<Value>,
    /// The status of the answer; `None` when the answer was deliberately lost.
    pub status: Option<u16>,
    pub retry_after: Option<String>,
    /// The earliest time of the next request by a client that obeys `retry_after`, if that is a number of seconds.
    pub not_before: Option<Timestamp>,
    /// The action of the fault that hit the request.
    pub fault: Option<String>,
    /// The job that the request concerned.
    pub job: Option<String>,
    /// The token that was issued, on a call to the token endpoint.
    pub issued: Option<String>,
}

pub(crate) struct Journal {
    entries: Vec<Entry>,
    /// Number of entries dropped from memory; all of them are older than the rest.
    dropped: u64,
    keep: Option<usize>,
    file: Option<File>,
}

impl Journal {
    pub(crate) fn open(path: Option<&Path>, keep: Option<usize>) -> io::Result<Self> {
        let append = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            entries: Vec::new(),
            dropped: 0,
            keep,
            file: path.map(append).transpose()?,
        })
    }

    /// Numbers an entry and stores it. The file gets it in one write, so that a line is whole or absent.
    pub(crate) fn record(&mut self, mut entry: Entry) -> io::Result<u64> {
        let seq = self.dropped + self.entries.len() as u64 + 1;
        entry.seq = seq;
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            file.write_all(&line)?;
        }
        self.entries.push(entry);
        self.forget();
        Ok(seq)
    }

    /// Drops the oldest entries beyond the limit, many at a time, so that every request costs about the same.
    fn forget(&mut self) {
        let Some(keep) = self.keep else { return };
        if self.entries.len() > 2 * keep.max(512) {
            let excess = self.entries.len() - keep;
            self.entries.drain(..excess);
            self.dropped += excess as u64;
        }
    }

    /// Returns the entries after number `seq`, in order.
    pub(crate) fn since(&self, seq: u64) -> &[Entry] {
        let start = usize::try_from(seq.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        self.entries.get(start..).unwrap_or_default()
    }
}

pub(crate) fn selected(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |name: &&'static str| {
        let value = headers.get(*name)?;
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        Some(((*name).to_owned(), text))
    };
    HEADERS.iter().filter_map(text).collect()
}

pub(crate) fn body(payload: &Payload) -> Option<Value> {
    match payload {
        Payload::Empty => None,
        Payload::Json(value) => Some(value.clone()),
        Payload::Text(text) => Some(Value::String(text.clone())),
    }
}
