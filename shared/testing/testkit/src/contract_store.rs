//! The contract of the `Store` port, as properties that every implementation is tested against.

use std::sync::Arc;

use courier_core::operation::{OperationId, Record};
use courier_core::ports::{Store, StoreError, Write};

use crate::Verdict;
use crate::sample::{at, next, running, sample_record};

mod callbacks;
mod documents;
mod lists;
mod sweeping;

use self::documents::{RACERS, ROUNDS};
pub use self::documents::{documents_change_by_compare_and_swap, racing_swaps_have_one_winner};
pub use self::lists::*;
pub use self::sweeping::*;

/// Runs every property, each on an empty store of its own that `new` makes.
pub async fn store_contract(new: impl AsyncFn() -> Arc<dyn Store>) -> Verdict {
    what_is_inserted_is_loaded(new().await).await?;
    many_are_loaded_at_once(new().await).await?;
    only_the_first_insert_of_an_id_counts(new().await).await?;
    racing_inserts_have_one_winner(new().await).await?;
    own_writes_are_recognised(new().await).await?;
    an_update_replaces_exactly_the_revision_before_it(new().await).await?;
    racing_updates_have_one_winner(new().await).await?;
    an_update_of_an_unknown_record_says_so(new().await).await?;
    overdue_gives_the_most_overdue_open_records(new().await).await?;
    lists_are_newest_first_and_filtered(new().await).await?;
    callbacks::a_retrying_callback_is_found_as_pending_too(new().await).await?;
    a_client_lists_only_its_own(new().await).await?;
    a_cursor_walks_everything_once(new().await).await?;
    lists_by_time_and_person(new().await).await?;
    an_unreadable_record_is_left_out_of_lists_and_counted(new().await).await?;
    fields_of_a_newer_version_are_kept(new().await).await?;
    open_records_are_counted_for_each_client(new().await).await?;
    a_record_that_is_set_aside_leaves_its_place_to_the_next(new().await).await?;
    unreadable_records_are_overdue_too(new().await).await?;
    documents_change_by_compare_and_swap(new().await).await?;
    racing_swaps_have_one_winner(new().await).await
}

pub async fn what_is_inserted_is_loaded(store: Arc<dyn Store>) -> Verdict {
    let record = sample_record(&OperationId::random());
    assert_eq!(store.load(&record.id).await?, None);
    assert_eq!(store.insert(&record).await?, Write::Applied);
    assert_eq!(store.load(&record.id).await?, Some(record));
    Ok(())
}

pub async fn many_are_loaded_at_once(store: Arc<dyn Store>) -> Verdict {
    let mut records: Vec<Record> = Vec::new();
    for _ in 0..12 {
        let record = sample_record(&OperationId::random());
        store.insert(&record).await?;
        records.push(record);
    }
    let mut ids: Vec<OperationId> = records.iter().map(|record| record.id.clone()).collect();
    ids.insert(3, OperationId::random());
    ids.push(ids[0].clone());
    let mut loaded = store.load_many(&ids).await?;
    loaded.sort_by(|a, b| a.id.cmp(&b.id));
    loaded.dedup();
    records.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(loaded, records);
    assert_eq!(store.load_many(&[]).await?, []);
    Ok(())
}

pub async fn only_the_first_insert_of_an_id_counts(store: Arc<dyn Store>) -> Verdict {
    let first = sample_record(&OperationId::random());
    let second = sample_record(&first.id);
    assert_eq!(store.insert(&first).await?, Write::Applied);
    let refused = Write::Refused(Box::new(first.clone()));
    assert_eq!(store.insert(&second).await?, refused);
    assert_eq!(store.load(&first.id).await?, Some(first));
    Ok(())
}

pub async fn racing_inserts_have_one_winner(store: Arc<dyn Store>) -> Verdict {
    for _ in 0..ROUNDS {
        let id = OperationId::random();
        let candidates: Vec<Record> = (0..RACERS).map(|_| sample_record(&id)).collect();
        let winner = one_winner(&store, candidates, |store, record| async move {
            store.insert(&record).await
        });
        let winner = winner.await?;
        assert_eq!(store.load(&id).await?, Some(winner));
    }
    Ok(())
}

pub async fn own_writes_are_recognised(store: Arc<dyn Store>) -> Verdict {
    let record = sample_record(&OperationId::random());
    assert_eq!(store.insert(&record).await?, Write::Applied);
    assert_eq!(store.insert(&record).await?, Write::Applied, "insert again");
    let update = running(&record, at(90));
    assert_eq!(store.update(&update).await?, Write::Applied);
    assert_eq!(store.update(&update).await?, Write::Applied, "update again");
    let refused = Write::Refused(Box::new(update));
    assert_eq!(store.insert(&record).await?, refused, "after an update");
    Ok(())
}

pub async fn an_update_replaces_exactly_the_revision_before_it(store: Arc<dyn Store>) -> Verdict {
    let first = sample_record(&OperationId::random());
    store.insert(&first).await?;
    let second = running(&first, at(90));
    assert_eq!(store.update(&second).await?, Write::Applied);
    let refused = Write::Refused(Box::new(second.clone()));
    let late = next(&first);
    assert_eq!(store.update(&late).await?, refused, "an old revision");
    let early = next(&next(&second));
    assert_eq!(store.update(&early).await?, refused, "a skipped revision");
    assert_eq!(store.load(&first.id).await?, Some(second));
    Ok(())
}

pub async fn racing_updates_have_one_winner(store: Arc<dyn Store>) -> Verdict {
    let mut current = sample_record(&OperationId::random());
    store.insert(&current).await?;
    for _ in 0..ROUNDS {
        let candidates: Vec<Record> = (0..RACERS).map(|_| next(&current)).collect();
        let winner = one_winner(&store, candidates, |store, record| async move {
            store.update(&record).await
        });
        current = winner.await?;
        assert_eq!(store.load(&current.id).await?, Some(current.clone()));
    }
    Ok(())
}

/// Unknown fields are those that a newer version wrote, before a rollback or while it is rolled out.
pub async fn fields_of_a_newer_version_are_kept(store: Arc<dyn Store>) -> Verdict {
    let mut record = sample_record(&OperationId::random());
    for unknown in [
        &mut record.unknown,
        &mut record.graph.unknown,
        &mut record.delivery.unknown,
    ] {
        unknown.insert("newer".to_owned(), serde_json::json!({ "a": [1, null] }));
    }
    store.insert(&record).await?;
    let loaded = store.load(&record.id).await?.ok_or("it was inserted")?;
    assert_eq!(loaded, record);
    let rewritten = running(&loaded, at(90));
    store.update(&rewritten).await?;
    assert_eq!(store.load(&record.id).await?, Some(rewritten.clone()));
    assert_eq!(rewritten.unknown, record.unknown);
    Ok(())
}

pub async fn an_update_of_an_unknown_record_says_so(store: Arc<dyn Store>) -> Verdict {
    let record = next(&sample_record(&OperationId::random()));
    let refused = store.update(&record).await;
    assert!(
        matches!(&refused, Err(StoreError::Missing(id)) if *id == record.id),
        "{refused:?}"
    );
    assert_eq!(store.load(&record.id).await?, None);
    Ok(())
}

/// Makes all `candidates` write at once; returns the one that was applied, after checking that the others were shown
/// it.
async fn one_winner<F>(
    store: &Arc<dyn Store>,
    candidates: Vec<Record>,
    write: impl Fn(Arc<dyn Store>, Record) -> F,
) -> Result<Record, Box<dyn std::error::Error + Send + Sync>>
where
    F: Future<Output = Result<Write, StoreError>> + Send + 'static,
{
    let attempts: Vec<_> = candidates
        .into_iter()
        .map(|record| {
            (
                record.clone(),
                tokio::spawn(write(Arc::clone(store), record)),
            )
        })
        .collect();
    let mut winners = Vec::new();
    let mut shown = Vec::new();
    for (record, attempt) in attempts {
        match attempt.await?? {
            Write::Applied => winners.push(record),
            Write::Refused(current) => shown.push(*current),
        }
    }
    assert_eq!(winners.len(), 1, "exactly one writer wins");
    let winner = winners.remove(0);
    assert!(
        shown.iter().all(|current| *current == winner),
        "losers see the winner's record"
    );
    Ok(winner)
}
