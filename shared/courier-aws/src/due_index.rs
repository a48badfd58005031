//! The index by due time: which records are overdue, and which are shelved until when.

use courier_core::operation::OperationId;
use courier_core::ports::{Shelved, StoreError};

use crate::item::{DUE, KEY, SHARD, shelved, string, text};
use crate::table::{Table, unavailable};

/// The name of the index (`infra/template.yaml`).
const BY_DUE: &str = "by-due";

impl Table {
    /// Returns up to `limit` (due, key) of one partition of the index, the most overdue first.
    pub(crate) async fn due(
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

    /// Returns the shelved records of one partition that are due at `from` or later and before `to`.
    pub(crate) async fn shelved_in(
        &self,
        shard: char,
        from: &str,
        to: &str,
    ) -> Result<Vec<Shelved>, StoreError> {
        let mut shelved_records = Vec::new();
        let mut start = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.name)
                .index_name(BY_DUE)
                .key_condition_expression("#shard = :shard AND #due BETWEEN :from AND :to")
                .expression_attribute_names("#shard", SHARD)
                .expression_attribute_names("#due", DUE)
                .expression_attribute_values(":shard", text(shard))
                .expression_attribute_values(":from", text(from))
                .expression_attribute_values(":to", text(to))
                .set_exclusive_start_key(start);
            let page = page.send().await.map_err(unavailable)?;
            let found = page.items.unwrap_or_default();
            shelved_records.extend(found.iter().filter_map(|item| {
                let id = OperationId::parse(string(item, KEY)?)?;
                let (due, epoch) = shelved(string(item, DUE)?)?;
                Some(Shelved { id, epoch, due })
            }));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(shelved_records);
            }
        }
    }
}
