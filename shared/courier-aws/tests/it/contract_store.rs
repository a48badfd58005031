//! The promises of `Store`, on DynamoDB's protocol; and what only this store has to stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::{Client, Config};
use cloud_testkit::ministack::MiniStack;
use cloud_testkit::proxy::{Action, Fault, Proxy};
use courier_aws::http_client::SharedClient;
use courier_aws::table::Table;
use courier_core::operation::OperationId;
use courier_core::ports::{Filter, Store, StoreError, Write};
use courier_testkit::contract_store::store_contract;
use courier_testkit::sample::{CLIENT, at, next, running, sample_record};
use futures_util::future::try_join_all;

/// A client of what answers at `url`.
pub(crate) fn client(url: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(url)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(SharedClient(
            reqwest::Client::builder().no_proxy().build().unwrap(),
        ));
    Client::from_conf(config.build())
}

/// An empty table behind a proxy.
async fn table() -> (MiniStack, Proxy, Table) {
    let ministack = MiniStack::start().await;
    ministack.create_courier_table("courier").await;
    let proxy = Proxy::start(ministack.url(), courier_aws::clock()).await;
    let table = Table::new(client(&proxy.url()), "courier");
    (ministack, proxy, table)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_keeps_the_promises_of_a_store() {
    let ministack = MiniStack::start().await;
    let number = AtomicUsize::new(0);
    let empty = async || {
        let name = format!("courier-{}", number.fetch_add(1, Ordering::Relaxed));
        ministack.create_courier_table(&name).await;
        Arc::new(Table::new(client(ministack.url()), name)) as Arc<dyn Store>
    };
    store_contract(empty).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_was_lost_is_recognised_as_our_own() {
    let (_ministack, proxy, table) = table().await;
    let lose = || proxy.fault(Fault::on("PutItem", Action::AppliedButLost).times(1));
    let first = sample_record(&OperationId::random());
    lose();
    assert_eq!(table.insert(&first).await.unwrap(), Write::Applied);
    let second = running(&first, at(90));
    lose();
    assert_eq!(table.update(&second).await.unwrap(), Write::Applied);
    for (expected, body) in [(0, "[1]"), (1, "[2]")] {
        lose();
        assert!(table.swap_document("line", expected, body).await.unwrap());
    }
    assert!(!table.swap_document("line", 1, "[3]").await.unwrap());
    assert_eq!(proxy.unused_faults(), Vec::<String>::new());
    assert_eq!(table.load(&first.id).await.unwrap(), Some(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_or_broken_table_is_unavailable_and_keeps_what_it_has() {
    let (_ministack, proxy, table) = table().await;
    let record = sample_record(&OperationId::random());
    table.insert(&record).await.unwrap();
    for action in [Action::throttled, Action::internal] {
        proxy.fault(Fault::on("PutItem", action()).times(3));
        let refused = table.update(&next(&record)).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
        proxy.fault(Fault::on("GetItem", action()).times(3));
        let refused = table.load(&record.id).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
    }
    assert_eq!(table.load(&record.id).await.unwrap(), Some(record));
}

/// One request of a list looks at 500 entries of the index; the filter comes after.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_finds_what_lies_behind_hundreds_that_do_not_match() {
    let (_ministack, _proxy, table) = table().await;
    let mut wanted = sample_record(&OperationId::random());
    wanted.reference = Some("wanted".to_owned());
    table.insert(&wanted).await.unwrap();
    for minute in 1..=26 {
        let others = (0..20).map(async |_| {
            let mut other = sample_record(&OperationId::random());
            other.created_at = at(60 * minute);
            table.insert(&other).await
        });
        try_join_all(others).await.unwrap();
    }
    let filter = Filter {
        reference: wanted.reference.clone(),
        limit: 10,
        ..Filter::default()
    };
    let page = table.list(CLIENT, &filter).await.unwrap();
    assert_eq!((page.records, page.next), (vec![wanted], None));
}

#[tokio::test]
async fn closed_records_are_left_to_the_expiry_of_dynamodb() {
    let nowhere = Table::new(client("http://127.0.0.1:1"), "courier");
    assert_eq!(nowhere.forget(at(0), 10).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_alone_says_which_records_are_shelved_until_when() {
    let (_ministack, proxy, table) = table().await;
    let mut shelved = Vec::new();
    for second in [90, 91, 100, 110] {
        let mut record = running(&sample_record(&OperationId::random()), at(second));
        record.revision = 1;
        record.epoch = u32::try_from(second).unwrap();
        record.shelved_until = record.due_at;
        assert!(record.is_shelved());
        table.insert(&record).await.unwrap();
        shelved.push(record);
    }
    let mut waiting = running(&sample_record(&OperationId::random()), at(100));
    waiting.revision = 1;
    table.insert(&waiting).await.unwrap();
    let found = async |from, to| {
        let mut found = table.shelved(at(from), at(to)).await.unwrap();
        found.sort_by_key(|one| one.due);
        let found = found.into_iter();
        found
            .map(|one| (one.id, one.epoch, one.due))
            .collect::<Vec<_>>()
    };
    let expected = |indexes: &[usize]| -> Vec<_> {
        let records = indexes.iter().map(|index| &shelved[*index]);
        records
            .map(|record| (record.id.clone(), record.epoch, record.due_at.unwrap()))
            .collect()
    };
    let reads = proxy.journal().len();
    assert_eq!(found(91, 110).await, expected(&[1, 2]));
    assert_eq!(found(0, 1000).await, expected(&[0, 1, 2, 3]));
    assert_eq!(found(111, 1000).await, []);
    let calls = proxy.journal().split_off(reads);
    assert!(calls.iter().all(|call| call.operation == "Query"));

    // What is late is overdue like every other record, and one that is set aside is shelved no longer.
    let overdue = table.overdue(at(95), 10).await.unwrap();
    assert_eq!(overdue.records, shelved[..2]);
    let id = shelved[0].id.as_str().to_owned();
    table.set_aside(&[id], at(105)).await.unwrap();
    assert_eq!(found(0, 1000).await, expected(&[1, 2, 3]));
}
