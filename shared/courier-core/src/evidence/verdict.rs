//! Verifies evidence without a server: who has signed it, and whether its entries lead to its head.

use serde_json::Value;

use super::envelope::{Envelope, PAYLOAD_TYPE};
use super::reading::Statement;
use super::statement::{Entry, GapView};
use crate::crypto::evidence_keys::PublicKey;
use crate::operation::Hash;
use crate::strict_json;

/// What evidence is compared with.
#[derive(Debug, Default)]
pub struct Against<'a> {
    /// The keys that are trusted; without one nobody's signature can be checked.
    pub keys: &'a [PublicKey],
    /// A head that was noted at some time.
    pub head: Option<Hash>,
    /// The body of a completion that was received.
    pub completion: Option<&'a [u8]>,
}

/// What was found, each a sentence without a full stop.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What the evidence says, if it can be read.
    pub says: Vec<String>,
    pub proven: Vec<String>,
    pub wrong: Vec<String>,
    pub not_proven: Vec<String>,
    /// A trusted key has signed the evidence.
    pub is_signed: bool,
}

impl Verdict {
    /// Reports whether nothing is wrong and a trusted key has signed it.
    pub fn holds(&self) -> bool {
        self.wrong.is_empty() && self.is_signed
    }

    fn expect(&mut self, holds: bool, proven: &str, wrong: &str) {
        match holds {
            true => self.proven.push(proven.to_owned()),
            false => self.wrong.push(wrong.to_owned()),
        }
    }
}

/// Verifies an envelope.
pub fn verify(envelope: &[u8], against: &Against<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let envelope = match Envelope::parse(envelope) {
        Ok(envelope) => envelope,
        Err(fault) => {
            verdict
                .wrong
                .push(format!("this is no DSSE envelope: {fault}"));
            return verdict;
        }
    };
    signatures(&envelope, against.keys, &mut verdict);
    if envelope.payload_type != PAYLOAD_TYPE {
        let fault = format!("the type of its payload is not {PAYLOAD_TYPE}");
        verdict.wrong.push(fault);
        return verdict;
    }
    let statement = match Statement::parse(&envelope.payload) {
        Ok(statement) => statement,
        Err(fault) => {
            let fault = format!("the payload is no evidence of graph-courier: {fault}");
            verdict.wrong.push(fault);
            return verdict;
        }
    };
    verdict.says = says(&statement);
    chain(&statement, &mut verdict);
    if let Some(head) = against.head {
        compare_head(&statement, head, "the head that was given", &mut verdict);
    }
    if let Some(completion) = against.completion {
        compare_completion(&statement, completion, &mut verdict);
    }
    limits(&statement, &mut verdict);
    verdict
}

fn signatures(envelope: &Envelope, keys: &[PublicKey], verdict: &mut Verdict) {
    if keys.is_empty() {
        let text = "who has signed this: no key was given, so anybody may have made it";
        verdict.not_proven.push(text.to_owned());
        return;
    }
    let signers = envelope.signers(keys);
    verdict.is_signed = !signers.is_empty();
    for key in signers {
        let text = format!("the key {} has signed exactly this payload", key.id());
        verdict.proven.push(text);
    }
    if !verdict.is_signed {
        let text = "none of its signatures is one of the given keys' over this payload";
        verdict.wrong.push(text.to_owned());
    }
}

fn says(statement: &Statement) -> Vec<String> {
    let predicate = &statement.predicate;
    let (operation, observer) = (&predicate.operation, &predicate.observer);
    let reason = operation.reason.as_ref();
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let ended = operation.ended_at.as_ref();
    let ended = ended.map_or_else(String::new, |at| format!(", ended at {at}"));
    vec![
        format!(
            "{} of the client {}: {}{reason}{ended}",
            operation.name, operation.client, operation.status
        ),
        format!(
            "observed by {} {} ({}), stated at {}",
            observer.program, observer.version, observer.deployment, predicate.stated_at
        ),
    ]
}

/// Computes the chain again from its entries.
fn chain(statement: &Statement, verdict: &mut Verdict) {
    let view = &statement.predicate.chain;
    let history = &statement.predicate.history;
    let mut faults = Vec::new();
    let mut before: Option<&Entry> = None;
    let mut gaps = view.gaps.iter();
    for entry in history {
        let number = entry.hashed.sequence;
        if entry.hashed.hash() != entry.hash {
            faults.push(format!(
                "entry {number} does not have the hash that it claims"
            ));
        }
        if entry.hashed.operation != statement.id {
            faults.push(format!("entry {number} is one of another operation"));
        }
        if !follows(before, entry) && !gaps.next().is_some_and(|gap| spans(gap, before, entry)) {
            faults.push(format!(
                "entry {number} does not follow the entry before it"
            ));
        }
        if !discloses(entry) {
            let fault = format!("what entry {number} discloses does not match its digest");
            faults.push(fault);
        }
        before = Some(entry);
    }
    if gaps.next().is_some() {
        faults.push("it names a gap where there is none".to_owned());
    }
    let last = before.map(|entry| (entry.hash, entry.hashed.sequence));
    if last != Some((view.head, view.entries)) || view.head != statement.subject {
        faults.push("the last entry is not the head of the chain".to_owned());
    }
    let ended = history.iter().find(|entry| entry.hashed.event == "ended");
    let operation = &statement.predicate.operation;
    if operation.id != statement.id
        || ended.is_some_and(|entry| entry.hashed.status != operation.status)
    {
        faults.push("what it says of the operation does not match its history".to_owned());
    }
    if faults.is_empty() {
        verdict.proven.push(format!(
            "{} entries lead to the head {}",
            history.len(),
            view.head
        ));
    }
    verdict.wrong.append(&mut faults);
}

/// Reports whether an entry comes directly after the one before it.
fn follows(before: Option<&Entry>, entry: &Entry) -> bool {
    let sequence = before.map_or(0, |before| before.hashed.sequence);
    let hash = before.map(|before| before.hash);
    sequence.checked_add(1) == Some(entry.hashed.sequence) && entry.hashed.previous == hash
}

/// Reports whether a gap lies exactly between two entries.
fn spans(gap: &GapView, before: Option<&Entry>, after: &Entry) -> bool {
    let Some(before) = before else {
        return false;
    };
    let (from, to) = (
        before.hashed.sequence.checked_add(1),
        after.hashed.sequence.checked_sub(1),
    );
    let is_counted = gap.from <= gap.to && Some(gap.count) == (gap.to - gap.from).checked_add(1);
    is_counted
        && (Some(gap.from), Some(gap.to)) == (from, to)
        && gap.before == before.hash
        && Some(gap.last) == after.hashed.previous
}

fn discloses(entry: &Entry) -> bool {
    let (call, detail) = (&entry.disclosed.call, &entry.disclosed.detail);
    let digest = call.as_ref().map(|call| call.digest());
    let of_detail = detail.as_ref().map(|detail| detail.digest());
    let matches = |shown: Option<Hash>, hashed: Option<Hash>| shown.is_none() || shown == hashed;
    matches(digest, entry.hashed.call) && matches(of_detail, entry.hashed.detail)
}

fn compare_head(statement: &Statement, head: Hash, what: &str, verdict: &mut Verdict) {
    let view = &statement.predicate.chain;
    let found = statement
        .predicate
        .history
        .iter()
        .find(|entry| entry.hash == head);
    match found {
        Some(_) if head == view.head => {
            verdict.proven.push(format!("{what} is the head of this chain"));
        }
        Some(entry) => verdict.proven.push(format!(
            "{what} is entry {} ({}) of this chain, which has gone on since",
            entry.hashed.sequence, entry.hashed.event
        )),
        None if !view.gaps.is_empty() => verdict.not_proven.push(format!(
            "{what} belongs to this chain: it is none of its entries, and may be one of those that were dropped"
        )),
        None => verdict.wrong.push(format!("{what} is none of this chain's entries")),
    }
}

fn compare_completion(statement: &Statement, completion: &[u8], verdict: &mut Verdict) {
    let document = match strict_json::parse(completion) {
        Ok(document) => document,
        Err(error) => {
            verdict
                .wrong
                .push(format!("the completion cannot be read: {error}"));
            return;
        }
    };
    let Some(found) = with_head(&document) else {
        let text = "that the completion belongs to this chain: it names no head";
        verdict.not_proven.push(text.to_owned());
        return;
    };
    let head = found["evidence"]["head"].as_str().and_then(Hash::parse);
    let Some(head) = head else {
        let fault = "the head in the completion is no SHA-256 hash";
        verdict.wrong.push(fault.to_owned());
        return;
    };
    compare_head(statement, head, "the head in the completion", verdict);
    let operation = &statement.predicate.operation;
    let same = |name: &str, ours: &str| found[name].as_str().is_none_or(|theirs| theirs == ours);
    verdict.expect(
        same("id", statement.id.as_str()) && same("status", &operation.status),
        "the completion is about this operation, with this outcome",
        "the completion is about another operation, or says another outcome",
    );
}

/// Returns the object with a member `evidence`, at whatever depth a callback profile has put it.
fn with_head(value: &Value) -> Option<&Value> {
    match value {
        Value::Object(fields) if fields.get("evidence").is_some_and(Value::is_object) => {
            Some(value)
        }
        Value::Object(fields) => fields.values().find_map(with_head),
        Value::Array(items) => items.iter().find_map(with_head),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Says what even sound evidence leaves open.
fn limits(statement: &Statement, verdict: &mut Verdict) {
    let chain = &statement.predicate.chain;
    let not_proven = &mut verdict.not_proven;
    for gap in &chain.gaps {
        not_proven.push(format!(
            "what the {} entries from {} to {} said: the history was full, and they were dropped",
            gap.count, gap.from, gap.to
        ));
    }
    for (from, to) in &chain.chained_later {
        not_proven.push(format!(
            "that entries {from} to {to} are as they were written: a version without the chain wrote them, and they were chained later"
        ));
    }
    if let Some(at) = &statement.predicate.operation.erased_at {
        not_proven.push(format!(
            "what the digests of the entries stand for: the personal data was erased at {at}"
        ));
    }
    not_proven.push(
        "that the data of the job is complete or correct: nobody here has seen it".to_owned(),
    );
}
