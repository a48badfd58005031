//! Properties of what the sweeper asks for: overdue records, records that are set aside, and old ones.

use std::sync::Arc;

use courier_core::operation::{OperationId, Outcome};
use courier_core::ports::Store;

use crate::Verdict;
use crate::sample::{at, closed, ended, running, sample_record, unreadable};

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
        let found: Vec<_> = found.records.into_iter().map(|record| record.id).collect();
        assert_eq!(found, expected(range), "before {before}, at most {limit}");
    }
    Ok(())
}

pub async fn a_record_that_is_set_aside_leaves_its_place_to_the_next(
    store: Arc<dyn Store>,
) -> Verdict {
    let mut records = Vec::new();
    for due in [10, 20, 30] {
        let mut record = sample_record(&OperationId::random());
        record.due_at = Some(at(due));
        store.insert(&record).await?;
        records.push(record);
    }
    let done = closed(&records[2], Outcome::Succeeded, at(5));
    store.update(&done).await?;
    let ids: Vec<String> = records
        .iter()
        .map(|record| record.id.as_str().to_owned())
        .collect();
    let nobody = OperationId::random();
    let aside = [ids[0].clone(), ids[2].clone(), nobody.as_str().to_owned()];
    store.set_aside(&aside, at(100)).await?;

    let found = store.overdue(at(50), 1).await?.records;
    assert_eq!(found, [records[1].clone()], "the next one");
    store.set_aside(&[ids[1].clone()], at(15)).await?;
    assert_eq!(store.overdue(at(20), 9).await?.records, [], "never earlier");
    let found = store.overdue(at(1000), 9).await?.records;
    assert_eq!(found, [records[1].clone(), records[0].clone()]);
    assert_eq!(store.load(&records[0].id).await?, Some(records[0].clone()));
    assert_eq!(store.load(&done.id).await?, Some(done));
    assert_eq!(store.load(&nobody).await?, None);

    let written = running(&records[0], at(40));
    store.update(&written).await?;
    let found = store.overdue(at(50), 9).await?.records;
    assert_eq!(
        found,
        [records[1].clone(), written],
        "due as it was written"
    );
    Ok(())
}

pub async fn unreadable_records_are_overdue_too(store: Arc<dyn Store>) -> Verdict {
    let mut damaged = Vec::new();
    for due in [1, 2] {
        let mut record = unreadable(&sample_record(&OperationId::random()));
        record.due_at = Some(at(due));
        store.insert(&record).await?;
        damaged.push(record.id.as_str().to_owned());
    }
    let mut sound = sample_record(&OperationId::random());
    sound.due_at = Some(at(3));
    store.insert(&sound).await?;
    damaged.sort();
    let mut found = store.overdue(at(100), 2).await?;
    found.unreadable.sort();
    assert_eq!(found.unreadable, damaged);
    assert_eq!(found.records, [], "they take places");
    store.set_aside(&found.unreadable, at(200)).await?;
    let found = store.overdue(at(100), 2).await?;
    assert_eq!((found.records, found.unreadable), (vec![sound], vec![]));
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
