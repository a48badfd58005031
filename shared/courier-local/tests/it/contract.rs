//! The contract suites, on SQLite.

use std::sync::{Arc, Mutex};

use courier_core::ports::Store;
use courier_testkit::contract_queue::{queue_contract, the_longest_due_come_first};
use courier_testkit::contract_store::{only_old_closed_records_are_forgotten, store_contract};

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
