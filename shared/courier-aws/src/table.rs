//! The `Store` port on one DynamoDB table. The indexes are read only to find ids; the records are then read from the
//! table itself.
//!
//! Every write is a conditional put of the whole item, and a refused one returns the stored item. The nonce in it shows
//! whether it is our own write, repeated by the SDK after a lost answer.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnValuesOnConditionCheckFailure};
use courier_core::operation::{OperationId, Record};
use courier_core::ports::{Document, Filter, Page, Store, StoreError, Write};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use uuid::Uuid;

use crate::item::{
    BODY, CLIENT, DUE, Item, KEY, LISTED, OPERATION, RECORD, REFERENCE, REVISION, SHARD, SHARDS,
    STATUS, WRITER, cursor, filtered, instant, item, listed, number, record, settle, string, text,
};

/// The indexes of the table (`infra/template.yaml`).
const BY_DUE: &str = "by-due";
const BY_CLIENT: &str = "by-client";
/// The most keys that `BatchGetItem` accepts.
const MAX_KEYS_PER_BATCH: usize = 100;
/// Upper bound of the records that one call returns.
const MAX_RECORDS_PER_CALL: usize = 1000;
/// Pauses before requesting again the keys that a throttled table has left unprocessed.
const UNPROCESSED_KEYS_PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];
/// Entries of the index that one request of a list examines.
const ENTRIES_PER_REQUEST: i32 = 500;
/// Upper bound of the requests of one list, which then returns the records found so far and a cursor.
const MAX_REQUESTS_PER_LIST: usize = 10;
/// A position that sorts after every position in a list.
const LIST_END: &str = "~";

#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
}

impl Table {
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self {
            client,
            name: name.into(),
        }
    }

    /// Puts the item if `condition` holds for the stored one; otherwise returns the stored one, if there is one.
    async fn put(
        &self,
        item: Item,
        condition: &str,
        expected: Option<u64>,
    ) -> Result<Put, StoreError> {
        let mut put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if let Some(expected) = expected {
            put = put.expression_attribute_values(":expected", number(expected));
        }
        let Err(error) = put.send().await else {
            return Ok(Put::Applied);
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                Ok(Put::Refused(refusal.item.clone()))
            }
            _ => Err(unavailable(error)),
        }
    }

    async fn get(&self, key: &str, attributes: &str) -> Result<Option<Item>, StoreError> {
        let got = self
            .client
            .get_item()
            .table_name(&self.name)
            .key(KEY, text(key))
            .consistent_read(true)
            .projection_expression("#read")
            .expression_attribute_names("#read", attributes);
        Ok(got.send().await.map_err(unavailable)?.item)
    }

    /// Returns the current records of these keys, by key. One that cannot be read is left out, and logged.
    async fn records(&self, keys: &[String]) -> Result<HashMap<String, Record>, StoreError> {
        let mut records = HashMap::new();
        for keys in keys.chunks(MAX_KEYS_PER_BATCH) {
            let keys = keys
                .iter()
                .map(|key| Item::from([(KEY.to_owned(), text(key))]));
            let mut left = Some(
                KeysAndAttributes::builder()
                    .set_keys(Some(keys.collect()))
                    .consistent_read(true)
                    .projection_expression("pk, #record")
                    .expression_attribute_names("#record", RECORD)
                    .build()
                    .map_err(|error| StoreError::Unavailable(error.into()))?,
            );
            let mut pauses = UNPROCESSED_KEYS_PAUSES.iter();
            while let Some(wanted) = left.take() {
                let got = self
                    .client
                    .batch_get_item()
                    .request_items(&self.name, wanted);
                let got = got.send().await.map_err(unavailable)?;
                let items = got.responses.unwrap_or_default().remove(&self.name);
                for item in items.unwrap_or_default() {
                    let key = string(&item, KEY).unwrap_or_default();
                    match record(key, &item) {
                        Ok(record) => {
                            records.insert(key.to_owned(), record);
                        }
                        Err(error) => {
                            tracing::error!(operation.id = key, %error, "a record cannot be read; leaving it out");
                        }
                    }
                }
                left = got.unprocessed_keys.unwrap_or_default().remove(&self.name);
                if left.is_some() {
                    let pause = pauses
                        .next()
                        .ok_or_else(|| StoreError::Unavailable("keys were left unread".into()))?;
                    tokio::time::sleep(*pause).await;
                }
            }
        }
        Ok(records)
    }

    /// Returns up to `limit` (due, key) of one partition of the index, the most overdue first.
    async fn due(
        &self,
        shard: char,
        before: &str,
        limit: i32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let found = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(BY_DUE)
            .key_condition_expression("#shard = :shard AND #due < :before")
            .expression_attribute_names("#shard", SHARD)
            .expression_attribute_names("#due", DUE)
            .expression_attribute_values(":shard", text(shard))
            .expression_attribute_values(":before", text(before))
            .limit(limit);
        let items = found.send().await.map_err(unavailable)?.items;
        let places = items.unwrap_or_default();
        let places = places.iter().filter_map(|item| {
            let (due, key) = (string(item, DUE)?, string(item, KEY)?);
            Some((due.to_owned(), key.to_owned()))
        });
        Ok(places.collect())
    }
}

enum Put {
    Applied,
    /// The condition did not hold; this is the stored item.
    Refused(Option<Item>),
}

#[async_trait]
impl Store for Table {
    async fn insert(&self, record: &Record) -> Result<Write, StoreError> {
        let absent = "attribute_not_exists(pk)";
        match self.put(stored(record)?, absent, None).await? {
            Put::Applied => Ok(Write::Applied),
            Put::Refused(old) => settle(record, old),
        }
    }

    async fn load(&self, id: &OperationId) -> Result<Option<Record>, StoreError> {
        let item = self.get(id.as_str(), RECORD).await?;
        item.map(|item| record(id.as_str(), &item)).transpose()
    }

    async fn load_many(&self, ids: &[OperationId]) -> Result<Vec<Record>, StoreError> {
        let mut keys: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(self.records(&keys).await?.into_values().collect())
    }

    async fn update(&self, record: &Record) -> Result<Write, StoreError> {
        let expected = record.revision.saturating_sub(1);
        let same = "revision = :expected";
        match self.put(stored(record)?, same, Some(expected)).await? {
            Put::Applied => Ok(Write::Applied),
            Put::Refused(old) => settle(record, old),
        }
    }

    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Vec<Record>, StoreError> {
        let limit = limit.min(MAX_RECORDS_PER_CALL);
        let Some(per_shard) = i32::try_from(limit).ok().filter(|limit| *limit > 0) else {
            return Ok(Vec::new());
        };
        let earlier = instant(before);
        let shards = SHARDS
            .chars()
            .map(|shard| self.due(shard, &earlier, per_shard));
        let mut places = try_join_all(shards).await?.concat();
        places.sort();
        places.truncate(limit);
        let keys: Vec<String> = places.into_iter().map(|(_, key)| key).collect();
        let mut records = self.records(&keys).await?;
        let found = keys.iter().filter_map(|key| records.remove(key));
        // The index may be behind the table.
        Ok(found
            .filter(|record| record.due_at.is_some_and(|due| due < before))
            .collect())
    }

    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError> {
        let limit = filter.limit.clamp(1, MAX_RECORDS_PER_CALL);
        let after = match &filter.cursor {
            Some(text) => cursor(text).ok_or(StoreError::BadCursor)?,
            None => LIST_END,
        };
        // DynamoDB refuses a query whose key is empty.
        if client.is_empty() {
            return Ok(Page {
                records: Vec::new(),
                next: None,
            });
        }
        let mut query = self.listing(client, filter, after);
        let mut records = Vec::new();
        // The position up to which the index has been read, if there is more of it.
        let mut read_to = None;
        for _ in 0..MAX_REQUESTS_PER_LIST {
            let page = query.clone().send().await.map_err(unavailable)?;
            let last = page.last_evaluated_key.filter(|key| !key.is_empty());
            read_to = last
                .as_ref()
                .and_then(|key| string(key, LISTED).map(str::to_owned));
            let items = page.items.unwrap_or_default();
            let keys = items
                .iter()
                .filter_map(|item| string(item, KEY).map(str::to_owned));
            let keys: Vec<String> = keys.collect();
            for keys in keys.chunks(limit + 1) {
                let mut found = self.records(keys).await?;
                let found = keys.iter().filter_map(|key| found.remove(key));
                records.extend(found.filter(|record| filtered(record, filter)));
                if records.len() > limit {
                    break;
                }
            }
            if last.is_none() || records.len() > limit {
                break;
            }
            query = query.set_exclusive_start_key(last);
        }
        if records.len() > limit {
            records.truncate(limit);
            read_to = records.last().map(listed);
        }
        Ok(Page {
            records,
            next: read_to,
        })
    }

    /// Deletes nothing: DynamoDB itself lets closed records expire.
    async fn forget(&self, _before: Timestamp, _limit: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn load_document(&self, key: &str) -> Result<Option<Document>, StoreError> {
        let got = self
            .client
            .get_item()
            .table_name(&self.name)
            .key(KEY, text(document_key(key)))
            .consistent_read(true);
        let Some(item) = got.send().await.map_err(unavailable)?.item else {
            return Ok(None);
        };
        let corrupt = || StoreError::Corrupt(key.to_owned(), "it is no document".into());
        let revision = item.get(REVISION).and_then(|value| value.as_n().ok());
        Ok(Some(Document {
            revision: revision
                .and_then(|text| text.parse().ok())
                .ok_or_else(corrupt)?,
            body: string(&item, BODY).ok_or_else(corrupt)?.to_owned(),
        }))
    }

    async fn swap_document(
        &self,
        key: &str,
        expected: u64,
        body: &str,
    ) -> Result<bool, StoreError> {
        let writer = Uuid::new_v4().simple().to_string();
        let item = Item::from([
            (KEY.to_owned(), text(document_key(key))),
            (REVISION.to_owned(), number(expected + 1)),
            (WRITER.to_owned(), text(&writer)),
            (BODY.to_owned(), text(body)),
        ]);
        let put = match expected {
            0 => self.put(item, "attribute_not_exists(pk)", None).await?,
            _ => {
                self.put(item, "revision = :expected", Some(expected))
                    .await?
            }
        };
        Ok(match put {
            Put::Applied => true,
            Put::Refused(old) => old.is_some_and(|old| string(&old, WRITER) == Some(&writer)),
        })
    }
}

impl Table {
    fn listing(&self, client: &str, filter: &Filter, after: &str) -> QueryFluentBuilder {
        let mut query = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(BY_CLIENT)
            .scan_index_forward(false)
            .limit(ENTRIES_PER_REQUEST)
            .key_condition_expression("#client = :client AND #listed < :after")
            .expression_attribute_names("#client", CLIENT)
            .expression_attribute_names("#listed", LISTED)
            .expression_attribute_values(":client", text(client))
            .expression_attribute_values(":after", text(after));
        let mut conditions = Vec::new();
        for (name, wanted) in [
            (STATUS, &filter.status),
            (OPERATION, &filter.operation),
            (REFERENCE, &filter.reference),
        ] {
            if let Some(wanted) = wanted {
                conditions.push(format!("#{name} = :{name}"));
                query = query
                    .expression_attribute_names(format!("#{name}"), name)
                    .expression_attribute_values(format!(":{name}"), text(wanted));
            }
        }
        if !conditions.is_empty() {
            query = query.filter_expression(conditions.join(" AND "));
        }
        query
    }
}

fn stored(record: &Record) -> Result<Item, StoreError> {
    item(record).map_err(|error| StoreError::Unavailable(error.into()))
}

fn document_key(key: &str) -> String {
    format!("document/{key}")
}

fn unavailable<E>(error: SdkError<E>) -> StoreError
where
    E: std::error::Error + Send + Sync + 'static,
{
    StoreError::Unavailable(error.into())
}
