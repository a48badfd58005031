//! The in-toto statement (version 1) about an operation, made from its record.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::safe::{is_code, is_request_id, is_safe_detail, is_status_word};
use crate::catalogue::Operation;
use crate::operation::chain::{Broken, CallIds, Chain, Hashed, Link, SaltedDetail};
use crate::operation::{Hash, HistoryEntry, Record};
use crate::time::milliseconds;

pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
pub const PREDICATE_TYPE: &str = "urn:graph-courier:evidence:v1";
/// How the name of the subject begins; the operation's id follows.
pub const SUBJECT_PREFIX: &str = "urn:graph-courier:operation:";
/// What the statement says of itself.
pub const SCOPE: &str = "What this deployment of graph-courier observed of the operation: what it was asked, sent and received, and when. It does not say that the job's data is complete or correct.";

/// What a statement says besides the record.
pub struct Observer<'a> {
    /// The URI of the deployment, as in `ce-source`.
    pub deployment: &'a str,
    /// The operation in the catalogue, unless it has left it.
    pub operation: Option<&'a Operation>,
    pub now: Timestamp,
}

/// One entry of the history in a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub hash: Hash,
    /// Exactly what is hashed.
    pub hashed: Hashed,
    /// What stands behind digests in `hashed`, as far as it is shown.
    #[serde(default, skip_serializing_if = "Disclosed::is_empty")]
    pub disclosed: Disclosed,
}

/// What stands behind digests of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disclosed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallIds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<SaltedDetail>,
}

impl Disclosed {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Entries that were dropped because the history was full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapView {
    /// Sequence numbers of the first and the last dropped entry.
    pub from: u64,
    pub to: u64,
    pub count: u64,
    /// Hash of the entry before the gap, and of the last one in it, which the entry after it names as its previous one.
    pub before: Hash,
    pub last: Hash,
}

/// The chain as a statement shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainView {
    pub head: Hash,
    pub entries: u64,
    pub gaps: Vec<GapView>,
    /// First and last numbers of entries that were written before the chain, and were put into it later.
    pub chained_later: Vec<(u64, u64)>,
}

/// Returns the statement about a record; `None` if nothing has happened yet.
///
/// It contains no parameter, result, note, reference, URL or answer, and no text that may name a person. It fails if the
/// stored history does not match its chain.
pub fn statement(record: &Record, observer: &Observer<'_>) -> Result<Option<Value>, Broken> {
    let Some((chain, links)) = record.chained()? else {
        return Ok(None);
    };
    let view = ChainView::of(&chain, &links);
    let entries: Vec<Entry> = links
        .into_iter()
        .zip(&record.history)
        .map(|(link, line)| entry(&chain, link, line, observer.operation))
        .collect();
    Ok(Some(json!({
        "_type": STATEMENT_TYPE,
        "subject": [{
            "name": format!("{SUBJECT_PREFIX}{}", record.id),
            "digest": { "sha256": chain.head.hex() },
        }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "scope": SCOPE,
            "observer": {
                "program": "graph-courier",
                "version": env!("CARGO_PKG_VERSION"),
                "deployment": observer.deployment,
            },
            "statedAt": milliseconds(observer.now),
            "operation": operation(record),
            "graph": graph(record, observer.operation),
            "callback": callback(record),
            "chain": view,
            "history": entries,
        },
    })))
}

fn operation(record: &Record) -> Value {
    json!({
        "id": record.id,
        "name": record.operation,
        "client": record.client,
        "tenant": record.tenant,
        "status": record.state.status(),
        "reason": record.reason,
        "createdAt": milliseconds(record.created_at),
        "startedAt": record.started_at.map(milliseconds),
        "endedAt": record.ended_at.map(milliseconds),
        "deadline": milliseconds(record.deadline),
        "adopted": record.adopted,
        "previous": record.previous,
        "resumedFrom": record.resumed_from,
        "acknowledgedAt": record.acknowledged.as_ref().map(|one| milliseconds(one.at)),
        "erasedAt": record.erased_at.map(milliseconds),
    })
}

fn graph(record: &Record, operation: Option<&Operation>) -> Value {
    let graph = &record.graph;
    let id = |id: &Option<String>| id.clone().filter(|id| is_request_id(id));
    let status = graph.status.as_deref();
    let error = record.error.as_ref().map(|error| {
        json!({
            "code": Some(&error.code).filter(|code| is_code(code)),
            "httpStatus": error.http_status,
            "requestId": id(&error.request_id),
        })
    });
    json!({
        "status": status.filter(|word| is_status_word(word, operation)),
        "polls": graph.polls,
        "clientRequestId": id(&graph.client_request_id),
        "requestId": id(&graph.request_id),
        "error": error,
    })
}

fn callback(record: &Record) -> Value {
    json!({
        "status": record.callback_status(),
        "attempts": record.delivery.attempts,
        "lastStatus": record.delivery.last_status,
        "eventId": record.event.as_ref().map(|event| &event.id),
    })
}

impl ChainView {
    fn of(chain: &Chain, links: &[Link]) -> Self {
        let at_gap = links
            .windows(2)
            .find(|pair| pair[0].hashed.sequence + 1 != pair[1].hashed.sequence);
        let gaps = chain.gap.iter().zip(at_gap).map(|(gap, pair)| GapView {
            from: pair[0].hashed.sequence + 1,
            to: pair[1].hashed.sequence - 1,
            count: gap.dropped,
            before: pair[0].hash,
            last: gap.last,
        });
        Self {
            head: chain.head,
            entries: chain.entries,
            gaps: gaps.collect(),
            chained_later: chain.late.clone(),
        }
    }
}

fn entry(chain: &Chain, link: Link, line: &HistoryEntry, operation: Option<&Operation>) -> Entry {
    let ids = CallIds {
        client_request_id: line.client_request_id.clone(),
        request_id: line.request_id.clone(),
    };
    let mut shown = ids.client_request_id.iter().chain(&ids.request_id);
    let are_ids = shown.all(|id| is_request_id(id));
    let detail = chain.opened(link.hashed.sequence, line);
    Entry {
        disclosed: Disclosed {
            call: Some(ids).filter(|ids| are_ids && *ids != CallIds::default()),
            detail: detail.filter(|one| is_safe_detail(&line.event, &one.detail, operation)),
        },
        hash: link.hash,
        hashed: link.hashed,
    }
}
