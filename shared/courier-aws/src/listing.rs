//! Lists of a client's records, newest first, and the count of the open ones.
//!
//! One list examines a bounded number of entries of the index; what does not match by then is left to the next page.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::Select;
use courier_core::operation::{CALLBACK_STATUSES, Record, STATUSES};
use courier_core::ports::{self, Filter, Page, Position, StoreError};

use crate::item::{
    CLIENT, KEY, LISTED, OPEN, OPERATION, REFERENCE, STATUS, listed_at, position, status, string,
    text,
};
use crate::table::{MAX_RECORDS_PER_CALL, Table, unavailable};

/// The indexes of the table (`infra/template.yaml`).
const BY_CLIENT: &str = "by-client";
const BY_OPEN: &str = "by-open";
/// Entries of the index that one request of a list examines.
const ENTRIES_PER_REQUEST: i32 = 500;
/// Upper bound of the requests of one list or count.
const MAX_REQUESTS: usize = 10;
/// Open records of one client that a list by urgency sorts; there is no index of deadlines and due dates.
const MAX_SORTED: usize = 1_000;

impl Table {
    pub(crate) async fn page(&self, client: &str, filter: &Filter) -> Result<Page, StoreError> {
        let limit = filter.limit.clamp(1, MAX_RECORDS_PER_CALL);
        if filter.order.is_by_urgency() {
            return self.page_by_urgency(client, filter, limit).await;
        }
        let after = filter.start();
        let (mut records, mut unreadable) = (Vec::new(), 0);
        // The position up to which the index has been read, if there is more of it.
        let mut read_to = None;
        // DynamoDB refuses a query whose key is empty.
        let mut query = (!client.is_empty()).then(|| self.listing(client, filter));
        for _ in 0..MAX_REQUESTS {
            let Some(request) = query.take() else { break };
            let page = request.clone().send().await.map_err(unavailable)?;
            let last = page.last_evaluated_key.filter(|key| !key.is_empty());
            read_to = last.as_ref().and_then(|key| position(string(key, LISTED)?));
            let items = page.items.unwrap_or_default();
            let keys = items
                .iter()
                .filter_map(|item| string(item, KEY).map(str::to_owned));
            let keys: Vec<String> = keys.collect();
            for keys in keys.chunks(limit + 1) {
                let mut found = self.records(keys).await?;
                unreadable += found.unreadable.len();
                let found = keys.iter().filter_map(|key| found.readable.remove(key));
                records.extend(found.filter(|record| {
                    // The range of the index has both of its ends.
                    let position = Position::of(record, filter);
                    filter.matches(record) && filter.precedes(&after, &position)
                }));
                if records.len() > limit {
                    break;
                }
            }
            if last.is_some() && records.len() <= limit {
                query = Some(request.set_exclusive_start_key(last));
            }
        }
        if records.len() > limit {
            records.truncate(limit);
            read_to = records.last().map(|last| Position::of(last, filter));
        }
        Ok(Page {
            records,
            next: read_to,
            unreadable,
        })
    }

    /// Returns the page of a list by deadline or due date: the client's open records, up to [`MAX_SORTED`] of them, are read and sorted.
    ///
    /// If there are more, which of them are looked at is left to the table, and the page says that more may follow.
    async fn page_by_urgency(
        &self,
        client: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let mut request = (!client.is_empty()).then(|| self.open_entries(client));
        let mut keys: Vec<String> = Vec::new();
        let mut is_cut = false;
        while let Some(query) = request.take() {
            let page = query.clone().send().await.map_err(unavailable)?;
            let items = page.items.unwrap_or_default();
            let found = items.iter().filter_map(|item| string(item, KEY));
            keys.extend(found.map(str::to_owned));
            let last = page.last_evaluated_key.filter(|key| !key.is_empty());
            is_cut = keys.len() > MAX_SORTED || last.is_some() && keys.len() == MAX_SORTED;
            if last.is_some() && !is_cut {
                request = Some(query.set_exclusive_start_key(last));
            }
        }
        keys.truncate(MAX_SORTED);
        let after = filter.start();
        let found = self.records(&keys).await?;
        let is_behind = |record: &Record| filter.precedes(&after, &Position::of(record, filter));
        let matching = found.readable.into_values();
        let mut records: Vec<Record> = matching
            .filter(|record| filter.matches(record) && is_behind(record))
            .collect();
        records.sort_by_key(|record| Position::of(record, filter));
        let has_more = records.len() > limit;
        records.truncate(limit);
        let last = records.last().filter(|_| has_more || is_cut);
        Ok(Page {
            next: last.map(|last| Position::of(last, filter)),
            records,
            unreadable: found.unreadable.len(),
        })
    }

    fn open_entries(&self, client: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .index_name(BY_OPEN)
            .key_condition_expression("#open = :client")
            .expression_attribute_names("#open", OPEN)
            .expression_attribute_values(":client", text(client))
    }

    /// Counts the entries of the index of open records. Records that were last written by the version before have none.
    pub(crate) async fn open(&self, client: &str, at_most: usize) -> Result<usize, StoreError> {
        let mut count = 0;
        let mut query =
            (!client.is_empty()).then(|| self.open_entries(client).select(Select::Count));
        for _ in 0..MAX_REQUESTS {
            let Some(request) = query.take() else { break };
            let page = request.clone().send().await.map_err(unavailable)?;
            count += usize::try_from(page.count).unwrap_or_default();
            let last = page.last_evaluated_key.filter(|key| !key.is_empty());
            if last.is_some() && count < at_most {
                query = Some(request.set_exclusive_start_key(last));
            }
        }
        Ok(count.min(at_most))
    }

    fn listing(&self, client: &str, filter: &Filter) -> QueryFluentBuilder {
        let after = listed_at(&filter.start());
        let from = filter.created_from.map_or_else(
            || " ".to_owned(),
            |from| listed_at(&Position::new(from, "")),
        );
        let mut query = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(BY_CLIENT)
            .scan_index_forward(false)
            .limit(ENTRIES_PER_REQUEST)
            .key_condition_expression("#client = :client AND #listed BETWEEN :from AND :after")
            .expression_attribute_names("#client", CLIENT)
            .expression_attribute_names("#listed", LISTED)
            .expression_attribute_values(":client", text(client))
            .expression_attribute_values(":from", text(&from))
            .expression_attribute_values(":after", text(&after));
        let mut conditions = Vec::new();
        for (name, wanted) in [
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
        let words = words(filter);
        if !words.is_empty() {
            let names: Vec<String> = (0..words.len()).map(|n| format!(":s{n}")).collect();
            conditions.push(format!("#status IN ({})", names.join(", ")));
            query = query.expression_attribute_names("#status", STATUS);
            for (name, word) in names.into_iter().zip(words) {
                query = query.expression_attribute_values(name, text(word));
            }
        }
        if !conditions.is_empty() {
            query = query.filter_expression(conditions.join(" AND "));
        }
        query
    }
}

/// Returns the values of `STATUS` that may match, or none if the filter names neither status.
///
/// An entry that the version before wrote has no status of the callback, so its record decides.
fn words(filter: &Filter) -> Vec<String> {
    if filter.status.is_none() && filter.callback.is_none() {
        return Vec::new();
    }
    let admits =
        |wish: &Option<String>, value: &str| wish.as_deref().is_none_or(|wish| wish == value);
    let is_open = |status: &str| ["accepted", "starting", "running"].contains(&status);
    let has_status = |status: &str| match filter.status.as_deref() {
        Some(ports::OPEN) => is_open(status),
        Some(_) | None => admits(&filter.status, status),
    };
    let mut words = Vec::new();
    for one in STATUSES.iter().filter(|one| has_status(one)) {
        words.push((*one).to_owned());
        let callbacks = CALLBACK_STATUSES.iter();
        // `pending` finds what is retrying too, as in `Record::matches_callback`.
        let is_retrying_pending = |callback: &str| {
            callback == "retrying" && filter.callback.as_deref() == Some("pending")
        };
        words.extend(
            callbacks
                .filter(|callback| {
                    admits(&filter.callback, callback) || is_retrying_pending(callback)
                })
                .map(|callback| status(one, callback)),
        );
    }
    words
}
