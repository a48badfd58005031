//! The contract of the `Store` port, as properties that every implementation is tested against.

use std::collections::BTreeSet;
use std::sync::Arc;

use courier_core::operation::{DeliveryOutcome, OperationId, Outcome, Record, State};
use courier_core::ports::{Filter, Store, StoreError, Write};

use crate::Verdict;
use crate::sample::{CLIENT, at, closed, ended, next, running, sample_record, sample_target};

mod callbacks;
mod documents;

use self::documents::{RACERS, ROUNDS};
pub use self::documents::{documents_change_by_compare_and_swap, racing_swaps_have_one_winner};

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
    a_foreign_cursor_is_refused(new().await).await?;
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

pub async fn overdue_gives_the_most_overdue_open_records(store: Arc<dyn Store>) -> Verdict {
    let mut ids = Vec::new();
    for due in [40, 10, 30, 20, 50] {
        let mut record = sample_record(&OperationId::random());
        record.due_at = Some(at(due));
        store.insert(&record).await?;
        ids.push((due, record.id.clone()));
        if due == 10 {
            store
                .update(&closed(&record, Outcome::Succeeded, at(5)))
                .await?;
        }
    }
    ids.sort();
    let expected = |range: std::ops::Range<usize>| -> Vec<OperationId> {
        ids[range].iter().map(|(_, id)| id.clone()).collect()
    };
    for (before, limit, range) in [
        (at(20), 10, 1..1),
        (at(21), 10, 1..2),
        (at(50), 10, 1..4),
        (at(51), 10, 1..5),
        (at(51), 2, 1..3),
        (at(51), 0, 1..1),
    ] {
        let found = store.overdue(before, limit).await?;
        let found: Vec<_> = found.into_iter().map(|record| record.id).collect();
        assert_eq!(found, expected(range), "before {before}, at most {limit}");
    }
    Ok(())
}

pub async fn lists_are_newest_first_and_filtered(store: Arc<dyn Store>) -> Verdict {
    let make = |created: i64, operation: &str, reference: Option<&str>| {
        let mut record = sample_record(&OperationId::random());
        record.created_at = at(created);
        record.operation = operation.to_owned();
        record.reference = reference.map(str::to_owned);
        record
    };
    let inserted = [
        make(2, "team.schedule", Some("B")),
        make(1, "team.schedule", Some("A")),
        make(3, "goals.exportJob", Some("A")),
        make(4, "goals.exportJob", None),
    ];
    for record in &inserted {
        store.insert(record).await?;
    }
    let [two, one, three, four] = inserted;
    let mut three = running(&three, at(90));
    three.callback = Some(sample_target());
    store.update(&three).await?;
    let four = running(&four, at(90));
    store.update(&four).await?;
    let mut four = ended(&four, Outcome::PartiallySucceeded, at(80));
    four.callback = Some(sample_target());
    four.state = State::Closed {
        outcome: Outcome::PartiallySucceeded,
        how: DeliveryOutcome::Undeliverable,
    };
    store.update(&four).await?;

    let filter = |status: &str, operation: &str, reference: &str| Filter {
        status: (!status.is_empty()).then(|| status.to_owned()),
        operation: (!operation.is_empty()).then(|| operation.to_owned()),
        reference: (!reference.is_empty()).then(|| reference.to_owned()),
        callback: None,
        cursor: None,
        limit: 10,
    };
    let callback = |word: &str| Filter {
        callback: Some(word.to_owned()),
        ..filter("", "", "")
    };
    for (filter, expected) in [
        (filter("", "", ""), vec![&four, &three, &two, &one]),
        (filter("running", "", ""), vec![&three]),
        (filter("accepted", "", ""), vec![&two, &one]),
        (filter("partiallySucceeded", "", ""), vec![&four]),
        (filter("", "team.schedule", ""), vec![&two, &one]),
        (filter("", "", "A"), vec![&three, &one]),
        (filter("", "goals.exportJob", "A"), vec![&three]),
        (filter("accepted", "team.schedule", "A"), vec![&one]),
        (callback("none"), vec![&two, &one]),
        (callback("pending"), vec![&three]),
        (callback("undeliverable"), vec![&four]),
        (callback("delivered"), vec![]),
        (filter("failed", "", ""), vec![]),
        (filter("", "", "a"), vec![]),
    ] {
        let page = store.list(CLIENT, &filter).await?;
        assert_eq!(
            page.records.iter().collect::<Vec<_>>(),
            expected,
            "{filter:?}"
        );
        assert_eq!(page.next, None, "{filter:?}");
    }
    Ok(())
}

pub async fn a_client_lists_only_its_own(store: Arc<dyn Store>) -> Verdict {
    let record = sample_record(&OperationId::random());
    store.insert(&record).await?;
    let filter = Filter {
        limit: 10,
        ..Filter::default()
    };
    let by_reference = Filter {
        reference: record.reference.clone(),
        ..filter.clone()
    };
    assert_eq!(store.list(CLIENT, &filter).await?.records, [record]);
    for client in ["", "another", "Servicenow", "servicenow ", "%"] {
        for filter in [&filter, &by_reference] {
            assert_eq!(store.list(client, filter).await?.records, [], "{client:?}");
        }
    }
    Ok(())
}

/// Includes records of the same instant, and records that others insert meanwhile.
pub async fn a_cursor_walks_everything_once(store: Arc<dyn Store>) -> Verdict {
    let mut expected = BTreeSet::new();
    for number in 0..23 {
        let mut record = sample_record(&OperationId::random());
        record.created_at = at(number / 4);
        store.insert(&record).await?;
        expected.insert(record.id);
    }
    for reference in [None, Some("RITM0012345".to_owned())] {
        let mut filter = Filter {
            reference,
            limit: 5,
            ..Filter::default()
        };
        let mut seen = Vec::new();
        loop {
            let page = store.list(CLIENT, &filter).await?;
            assert!(page.records.len() <= 5);
            seen.extend(page.records.into_iter().map(|record| record.id));
            let mut newer = sample_record(&OperationId::random());
            newer.created_at = at(1000);
            newer.reference = None;
            store.insert(&newer).await?;
            filter.cursor = page.next;
            if filter.cursor.is_none() {
                break;
            }
        }
        seen.retain(|id| expected.contains(id));
        assert_eq!(seen.len(), expected.len(), "each once");
        assert_eq!(BTreeSet::from_iter(seen), expected);
    }
    Ok(())
}

pub async fn a_foreign_cursor_is_refused(store: Arc<dyn Store>) -> Verdict {
    for _ in 0..3 {
        store.insert(&sample_record(&OperationId::random())).await?;
    }
    let mut filter = Filter {
        limit: 1,
        ..Filter::default()
    };
    let good = store.list(CLIENT, &filter).await?.next.unwrap_or_default();
    for bad in [
        String::new(),
        "x".to_owned(),
        "é".repeat(24),
        "' OR 1=1 --".to_owned(),
        good.to_uppercase() + "0",
        good[1..].to_owned(),
        format!("+{}", &good[1..]),
        "0".repeat(100_000),
    ] {
        filter.cursor = Some(bad);
        let refused = store.list(CLIENT, &filter).await;
        assert!(matches!(refused, Err(StoreError::BadCursor)), "{refused:?}");
    }
    filter.cursor = Some(good);
    assert_eq!(store.list(CLIENT, &filter).await?.records.len(), 1);
    Ok(())
}

/// Applies only to a store that deletes records itself; another leaves that to its platform.
pub async fn only_old_closed_records_are_forgotten(store: Arc<dyn Store>) -> Verdict {
    let mut closed_ids = Vec::new();
    for time in [10, 20, 30] {
        let record = sample_record(&OperationId::random());
        store.insert(&record).await?;
        store
            .update(&closed(&record, Outcome::Failed, at(time)))
            .await?;
        closed_ids.push(record.id);
    }
    let open = sample_record(&OperationId::random());
    store.insert(&open).await?;
    let undelivered = sample_record(&OperationId::random());
    store.insert(&undelivered).await?;
    store
        .update(&ended(&undelivered, Outcome::Failed, at(1)))
        .await?;

    assert_eq!(store.forget(at(10), 10).await?, 0, "ended at, not before");
    assert_eq!(store.forget(at(1000), 1).await?, 1, "the limit");
    assert_eq!(store.forget(at(25), 10).await?, 1);
    for gone in &closed_ids[..2] {
        assert_eq!(store.load(gone).await?, None);
    }
    for kept in [&closed_ids[2], &open.id, &undelivered.id] {
        assert!(store.load(kept).await?.is_some());
    }
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
