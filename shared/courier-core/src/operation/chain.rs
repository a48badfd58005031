//! The hash chain of a history: the hash of each entry covers the hash of the one before it.
//!
//! The record keeps what cannot be computed again: the newest hash and, where entries were dropped, the hash before the
//! gap. docs/evidence.md describes the form that is hashed.

use serde::{Deserialize, Serialize};

use super::hash::Hash;
use super::history::{Digests, HistoryEntry};
use super::{FIRST_HISTORY_LINES, OperationId, Record, Unknown};
use crate::crypto::hmac::Encoding;
use crate::time::milliseconds;

/// Number of bytes of a salt, as many as make guessing hopeless.
const SALT_BYTES: usize = 16;
/// How the label of an operator begins; the name of one may be that of a person, and is hashed with a salt.
const OPERATOR: &str = "operator ";

/// What a record keeps of its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The hash of the newest entry.
    pub head: Hash,
    /// The sequence number of the newest entry: entries are counted from 1, the dropped ones too.
    pub entries: u64,
    /// Makes the digests of texts impossible to guess. Erasing removes it, after which nobody can test a guess.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// First and last numbers of entries that a version without the chain wrote; they were chained later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<(u64, u64)>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// The entries that were dropped because the history was full. They follow the first ones, which are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub dropped: u64,
    /// The hash of the last dropped entry, which the next one's covers.
    pub last: Hash,
}

/// An entry as it is hashed. The members stand in the order of RFC 8785, so that its JSON is the canonical one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hashed {
    pub at: String,
    /// `client` and its name, or `operator` and a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Digest of the ids of the call to Graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Hash>,
    /// Digest of the detail, with a salt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Hash>,
    pub event: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    pub operation: OperationId,
    /// The hash of the entry before; the first one has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    pub sequence: u64,
    pub status: String,
}

/// The ids of a call to Graph, as they are hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallIds {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A text and its salt, as they are hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaltedDetail {
    pub detail: String,
    pub salt: String,
}

#[derive(Serialize)]
struct SaltedBy<'a> {
    by: &'a str,
    salt: &'a str,
}

/// An entry of the stored history, as it is hashed, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub hashed: Hashed,
    pub hash: Hash,
}

/// The stored history does not lead to the head of its chain: somebody has changed one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the history of the operation does not match its hash chain")]
pub struct Broken;

impl Hashed {
    pub fn hash(&self) -> Hash {
        Hash::of_json(self)
    }
}

impl CallIds {
    fn of(entry: &HistoryEntry) -> Option<Self> {
        let ids = Self {
            client_request_id: entry.client_request_id.clone(),
            request_id: entry.request_id.clone(),
        };
        (ids != Self::default()).then_some(ids)
    }

    pub fn digest(&self) -> Hash {
        Hash::of_json(self)
    }
}

impl SaltedDetail {
    pub fn digest(&self) -> Hash {
        Hash::of_json(self)
    }
}

impl Chain {
    fn new(salt: &str) -> Self {
        Self {
            head: Hash::default(),
            entries: 0,
            salt: Some(salt.to_owned()),
            gap: None,
            late: Vec::new(),
            unknown: Unknown::new(),
        }
    }

    fn dropped(&self) -> u64 {
        self.gap.as_ref().map_or(0, |gap| gap.dropped)
    }

    /// Returns the sequence number of the entry at this index of the history.
    fn sequence(&self, index: usize) -> u64 {
        let dropped = match index < FIRST_HISTORY_LINES {
            true => 0,
            false => self.dropped(),
        };
        index as u64 + 1 + dropped
    }

    fn salt_of(&self, sequence: u64, field: &str) -> String {
        let text = format!(
            "{}/{sequence}/{field}",
            self.salt.as_deref().unwrap_or_default()
        );
        Encoding::Hex.encode(&Hash::of(text.as_bytes()).bytes()[..SALT_BYTES])
    }

    /// Returns the detail of an entry with its salt, by which its digest can be checked; `None` once erased.
    pub fn opened(&self, sequence: u64, entry: &HistoryEntry) -> Option<SaltedDetail> {
        let detail = entry.detail.clone().filter(|_| self.salt.is_some())?;
        let salt = self.salt_of(sequence, "detail");
        Some(SaltedDetail { detail, salt })
    }

    /// Returns the digests of what erasing takes from an entry.
    pub(crate) fn digests(&self, sequence: u64, entry: &HistoryEntry) -> Option<Digests> {
        if entry.digests.is_some() {
            return entry.digests.clone();
        }
        let by = entry.by.as_deref().filter(|by| by.starts_with(OPERATOR));
        let digests = Digests {
            by: by.map(|by| {
                let salt = &self.salt_of(sequence, "by");
                Hash::of_json(&SaltedBy { by, salt })
            }),
            call: CallIds::of(entry).map(|ids| ids.digest()),
            detail: entry.detail.clone().map(|detail| {
                let salt = self.salt_of(sequence, "detail");
                SaltedDetail { detail, salt }.digest()
            }),
        };
        (digests != Digests::default()).then_some(digests)
    }

    fn link(
        &self,
        id: &OperationId,
        (sequence, previous): (u64, Option<Hash>),
        entry: &HistoryEntry,
    ) -> Link {
        let digests = self.digests(sequence, entry).unwrap_or_default();
        let by = entry.by.as_ref().map(|by| match &digests.by {
            Some(digest) => format!("{OPERATOR}{digest}"),
            None => by.clone(),
        });
        let hashed = Hashed {
            at: milliseconds(entry.at),
            by,
            call: digests.call,
            detail: digests.detail,
            event: entry.event.clone(),
            http_status: entry.http_status,
            latency_ms: entry.latency_ms,
            operation: id.clone(),
            previous,
            sequence,
            status: entry.status.clone(),
        };
        Link {
            hash: hashed.hash(),
            hashed,
        }
    }

    /// Returns every stored entry with its hash, computed from the first one on.
    fn links(&self, id: &OperationId, history: &[HistoryEntry]) -> Vec<Link> {
        let mut links: Vec<Link> = Vec::with_capacity(history.len());
        for (index, entry) in history.iter().enumerate() {
            let gap = self.gap.as_ref().filter(|_| index == FIRST_HISTORY_LINES);
            let before = gap.map(|gap| gap.last);
            let previous = before.or_else(|| links.last().map(|link| link.hash));
            links.push(self.link(id, (self.sequence(index), previous), entry));
        }
        links
    }

    fn append(&mut self, id: &OperationId, entry: &HistoryEntry) {
        let previous = Some(self.head).filter(|_| self.entries > 0);
        let sequence = self.entries + 1;
        self.head = self.link(id, (sequence, previous), entry).hash;
        self.entries = sequence;
    }

    /// Chains the entries that a version without the chain has added.
    fn catch_up(&mut self, id: &OperationId, history: &[HistoryEntry]) {
        let first = self.entries + 1;
        let known =
            usize::try_from(self.entries.saturating_sub(self.dropped())).unwrap_or(usize::MAX);
        for entry in history.iter().skip(known) {
            self.append(id, entry);
        }
        if first <= self.entries {
            self.late.push((first, self.entries));
        }
    }

    /// Moves the oldest entry after the first ones, which is about to be dropped, into the gap.
    fn drop_one(&mut self, id: &OperationId, history: &[HistoryEntry]) {
        let upto = &history[..=FIRST_HISTORY_LINES];
        let Some(link) = self.links(id, upto).pop() else {
            return;
        };
        self.gap = Some(Gap {
            dropped: self.dropped() + 1,
            last: link.hash,
        });
    }
}

impl Record {
    /// Begins the chain of a new record, with the nonce of its writer as the salt.
    pub fn begin_chain(&mut self) {
        let mut chain = Chain::new(&self.writer);
        for entry in &self.history {
            chain.append(&self.id, entry);
        }
        self.chain = (chain.entries > 0).then_some(chain);
    }

    /// Returns the chain as it goes on: with every stored entry in it, also those of a version without the chain.
    pub(super) fn whole_chain(&self) -> Chain {
        let chain = self.chain.clone();
        let mut chain = chain.unwrap_or_else(|| Chain::new(&self.writer));
        chain.catch_up(&self.id, &self.history);
        chain
    }

    /// Puts an entry into the chain; the oldest one after the first ones is dropped if `is_full`.
    pub(super) fn chain_entry(&mut self, entry: &HistoryEntry, is_full: bool) {
        let mut chain = self.whole_chain();
        if is_full {
            chain.drop_one(&self.id, &self.history);
        }
        // After an erasure the salt of the erased entries is gone for good; later ones get another.
        chain.salt.get_or_insert_with(|| self.writer.clone());
        chain.append(&self.id, entry);
        self.chain = Some(chain);
    }

    /// Returns the chain and its links, one for each stored entry; `None` if nothing has happened yet.
    ///
    /// Fails if the history has been changed since it was written.
    pub fn chained(&self) -> Result<Option<(Chain, Vec<Link>)>, Broken> {
        let chain = self.whole_chain();
        let links = chain.links(&self.id, &self.history);
        let Some(last) = links.last() else {
            return if chain.entries == 0 {
                Ok(None)
            } else {
                Err(Broken)
            };
        };
        let leads_to_head = last.hash == chain.head && last.hashed.sequence == chain.entries;
        if leads_to_head {
            Ok(Some((chain, links)))
        } else {
            Err(Broken)
        }
    }

    /// Replaces what erasing takes from the history by digests, and forgets the salt: the chain can still be verified.
    pub(crate) fn erase_history(&mut self) {
        let mut chain = self.whole_chain();
        for (index, line) in self.history.iter_mut().enumerate() {
            *line = HistoryEntry {
                http_status: line.http_status,
                latency_ms: line.latency_ms,
                digests: chain.digests(chain.sequence(index), line),
                by: line.by.take(),
                ..HistoryEntry::new(line.at, &line.status, &line.event, None)
            };
        }
        chain.salt = None;
        chain.unknown.clear();
        self.chain = Some(chain);
    }
}
