//! The contract suites, on SQLite.

use std::sync::{Arc, Mutex};

use courier_core::operation::OperationId;
use courier_core::ports::{Filter, Store};
use courier_testkit::contract_queue::{queue_contract, the_longest_due_come_first};
use courier_testkit::contract_store::{only_old_closed_records_are_forgotten, store_contract};
use courier_testkit::sample::{CLIENT, sample_record};

use crate::workspace::Workspace;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_the_contract() {
    let workspaces = Mutex::new(Vec::new());
    let new = async || {
        let workspace = Workspace::new();
        let store: Arc<dyn Store> = Arc::new(workspace.database.clone());
        workspaces.lock().unwrap().push(workspace);
        store
    };
    store_contract(&new).await.unwrap();
    only_old_closed_records_are_forgotten(new().await)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_queue_keeps_the_contract() {
    queue_contract(async || Workspace::new()).await.unwrap();
    the_longest_due_come_first(Workspace::new()).await.unwrap();
}

/// Stronger than the contract: DynamoDB may give a cursor behind which there is nothing.
#[tokio::test]
async fn a_page_that_ends_with_the_last_record_has_no_cursor() {
    let workspace = Workspace::new();
    for _ in 0..3 {
        let record = sample_record(&OperationId::random());
        workspace.database.insert(&record).await.unwrap();
    }
    for (limit, records, more) in [(2, 2, true), (3, 3, false), (4, 3, false)] {
        let filter = Filter {
            limit,
            ..Filter::default()
        };
        let page = workspace.database.list(CLIENT, &filter).await.unwrap();
        assert_eq!((page.records.len(), page.next.is_some()), (records, more));
    }
}
