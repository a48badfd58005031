//! The bill of DynamoDB for recorded calls: request units, by the sizes of the items and the indexes that change.
//!
//! DynamoDB Developer Guide, "DynamoDB on-demand capacity mode" and "Provisioned throughput considerations for GSIs".

use std::collections::HashMap;

use anyhow::{Result, bail};
use cloud_testkit::proxy::Call;
use serde_json::{Map, Value};

/// A unit writes 1 KB and reads 4 KB.
const WRITE: usize = 1024;
const READ: usize = 4096;

/// Follows the table through its calls.
#[derive(Default)]
pub(crate) struct Units {
    /// Items by key, as last written.
    items: HashMap<String, Value>,
    pub(crate) writes: f64,
    pub(crate) reads: f64,
    /// The largest item that was written, in bytes.
    pub(crate) largest: usize,
}

impl Units {
    pub(crate) fn add(&mut self, call: &Call) -> Result<()> {
        let request: Value = serde_json::from_slice(&call.request)?;
        match call.operation.as_str() {
            "PutItem" => self.put(&request["Item"], call.status == Some(200)),
            // Always consistent.
            "GetItem" => {
                let item = self.items.get(key(&request["Key"]));
                self.reads += units(item.map_or(0, size), READ);
            }
            // Each key by itself.
            "BatchGetItem" => {
                let tables = request["RequestItems"].as_object();
                let keys = tables.into_iter().flat_map(Map::values);
                let keys = keys.filter_map(|table| table["Keys"].as_array()).flatten();
                for wanted in keys {
                    let item = self.items.get(key(wanted));
                    self.reads += units(item.map_or(0, size), READ);
                }
            }
            // The count of a client's open operations: eventually consistent, and of a few entries of a few bytes.
            "Query" => self.reads += 0.5,
            other => bail!("{other}: not counted yet"),
        }
        Ok(())
    }

    /// The larger one of the old and the new item counts. A refused write costs as if it had been done.
    fn put(&mut self, item: &Value, applied: bool) {
        let old = self.items.get(key(item));
        let length = size(item).max(old.map_or(0, size));
        self.writes += units(length, WRITE);
        if !applied {
            return;
        }
        self.largest = self.largest.max(size(item));
        self.writes += by_due(old, item) + by_client(old, item) + by_open(old, item);
        self.items.insert(key(item).to_owned(), item.clone());
    }
}

/// Keys only.
fn by_due(old: Option<&Value>, new: &Value) -> f64 {
    index(old, new, ["shard", "due"], &[])
}

/// The key of the table completes an entry, and it does not change.
fn by_open(old: Option<&Value>, new: &Value) -> f64 {
    index(old, new, ["open_client", "pk"], &[])
}

fn by_client(old: Option<&Value>, new: &Value) -> f64 {
    let others = ["status", "operation", "reference"];
    index(old, new, ["client", "listed"], &others)
}

/// Writes of one index: its entries are smaller than a unit. Another key is a deletion and an insertion.
fn index(old: Option<&Value>, new: &Value, keys: [&str; 2], others: &[&str]) -> f64 {
    let entry = |item: &Value| {
        let entry = keys.map(|name| item[name].clone());
        entry.iter().all(|key| !key.is_null()).then_some(entry)
    };
    match (old.and_then(entry), entry(new)) {
        (None, None) => 0.0,
        (None, Some(_)) | (Some(_), None) => 1.0,
        (Some(before), Some(after)) if before != after => 2.0,
        (Some(_), Some(_)) => {
            let same = others
                .iter()
                .all(|name| old.is_some_and(|old| old[*name] == new[*name]));
            f64::from(u8::from(!same))
        }
    }
}

fn units(length: usize, unit: usize) -> f64 {
    length.div_ceil(unit).max(1) as f64
}

fn key(item: &Value) -> &str {
    item["pk"]["S"].as_str().unwrap_or_default()
}

/// Names and values of an item: texts and numbers are all we have.
fn size(item: &Value) -> usize {
    let attributes = item.as_object().into_iter().flat_map(Map::iter);
    attributes
        .map(|(name, value)| {
            let text = value["S"].as_str().map(str::len);
            let number = value["N"].as_str().map(|text| text.len().div_ceil(2) + 1);
            name.len() + text.or(number).unwrap_or_default()
        })
        .sum()
}
