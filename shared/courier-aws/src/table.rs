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
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnValuesOnConditionCheckFailure};
use courier_core::operation::{OperationId, Record};
use courier_core::ports::{Document, Filter, Overdue, Page, Shelved, Store, StoreError, Write};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use uuid::Uuid;

use crate::item::{
    BODY, DUE, Item, KEY, RECORD, REVISION, SHARDS, WRITER, instant, item, number, record, settle,
    string, text,
};

/// The most keys that `BatchGetItem` accepts.
const MAX_KEYS_PER_BATCH: usize = 100;
/// Upper bound of the records that one call returns.
pub(crate) const MAX_RECORDS_PER_CALL: usize = 1000;
/// Pauses before requesting again the keys that a throttled table has left unprocessed.
const UNPROCESSED_KEYS_PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];
/// Retention of closed records, unless the configuration says otherwise.
const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
    retention: Duration,
}

impl Table {
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self {
            client,
            name: name.into(),
            retention: RETENTION,
        }
    }

    /// Returns this table with another retention of closed records.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Self {
        Self { retention, ..self }
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

    /// Returns the current records of these keys.
    pub(crate) async fn records(&self, keys: &[String]) -> Result<Records, StoreError> {
        let mut records = Records::default();
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
                            records.readable.insert(key.to_owned(), record);
                        }
                        Err(_) => records.unreadable.push(key.to_owned()),
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
}

/// Records by their keys.
#[derive(Default)]
pub(crate) struct Records {
    pub(crate) readable: HashMap<String, Record>,
    /// Keys of those that cannot be read.
    pub(crate) unreadable: Vec<String>,
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
        match self.put(self.stored(record)?, absent, None).await? {
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
        Ok(self.records(&keys).await?.readable.into_values().collect())
    }

    async fn update(&self, record: &Record) -> Result<Write, StoreError> {
        let expected = record.revision.saturating_sub(1);
        let same = "revision = :expected";
        match self.put(self.stored(record)?, same, Some(expected)).await? {
            Put::Applied => Ok(Write::Applied),
            Put::Refused(old) => settle(record, old),
        }
    }

    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Overdue, StoreError> {
        let limit = limit.min(MAX_RECORDS_PER_CALL);
        let Some(per_shard) = i32::try_from(limit).ok().filter(|limit| *limit > 0) else {
            return Ok(Overdue::default());
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
        let found = keys.iter().filter_map(|key| records.readable.remove(key));
        // The index may be behind the table.
        let found = found.filter(|record| record.due_at.is_some_and(|due| due < before));
        Ok(Overdue {
            records: found.collect(),
            unreadable: records.unreadable,
        })
    }

    async fn shelved(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Shelved>, StoreError> {
        let (from, to) = (instant(from), instant(to));
        let shards = SHARDS
            .chars()
            .map(|shard| self.shelved_in(shard, &from, &to));
        Ok(try_join_all(shards).await?.concat())
    }

    async fn set_aside(&self, ids: &[String], until: Timestamp) -> Result<(), StoreError> {
        for id in ids {
            let moved = self
                .client
                .update_item()
                .table_name(&self.name)
                .key(KEY, text(id))
                // A closed record, or one that has been deleted, has no due time and gets none.
                .condition_expression("#due < :until")
                .update_expression("SET #due = :until")
                .expression_attribute_names("#due", DUE)
                .expression_attribute_values(":until", text(instant(until)));
            if let Err(error) = moved.send().await
                && !matches!(
                    error.as_service_error(),
                    Some(UpdateItemError::ConditionalCheckFailedException(_))
                )
            {
                return Err(unavailable(error));
            }
        }
        Ok(())
    }

    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError> {
        self.page(client, filter).await
    }

    async fn count_open(&self, client: &str, at_most: usize) -> Result<usize, StoreError> {
        self.open(client, at_most).await
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
    fn stored(&self, record: &Record) -> Result<Item, StoreError> {
        item(record, self.retention).map_err(|error| StoreError::Unavailable(error.into()))
    }
}

fn document_key(key: &str) -> String {
    format!("document/{key}")
}

pub(crate) fn unavailable<E>(error: SdkError<E>) -> StoreError
where
    E: std::error::Error + Send + Sync + 'static,
{
    StoreError::Unavailable(error.into())
}
