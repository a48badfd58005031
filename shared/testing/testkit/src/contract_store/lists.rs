//! Properties of lists and counts: order, filters, cursors, and what cannot be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use courier_core::operation::{DeliveryOutcome, OperationId, Outcome, State, person_hash};
use courier_core::ports::{Filter, OPEN, Order, Store, StoreError};

use crate::Verdict;
use crate::sample::{
    CLIENT, at, closed, ended, running, sample_clock, sample_record, sample_target, unreadable,
};

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
        limit: 10,
        ..Filter::default()
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
        (
            Filter {
                callback: Some("undeliverable".to_owned()),
                ..filter("partiallySucceeded", "goals.exportJob", "")
            },
            vec![&four],
        ),
        (
            Filter {
                callback: Some("none".to_owned()),
                ..filter("accepted", "", "A")
            },
            vec![&one],
        ),
        (
            Filter {
                callback: Some("pending".to_owned()),
                ..filter("", "", "A")
            },
            vec![&three],
        ),
        (
            Filter {
                callback: Some("none".to_owned()),
                ..filter("running", "", "")
            },
            vec![],
        ),
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

/// The order by deadline, the times, the person, and everything without an outcome.
pub async fn lists_by_time_and_person(store: Arc<dyn Store>) -> Verdict {
    let mut made = Vec::new();
    for number in 0..6 {
        let mut record = sample_record(&OperationId::random());
        record.created_at = at(number);
        // The two last have one deadline.
        record.deadline = at(1_000 - 100 * number.min(4));
        // The earliest deadline has the latest due date; two records have no legal clock.
        record.legal = (number != 3 && number != 5).then(|| sample_clock(at(2_000 + number)));
        record.person = (number % 2 == 0).then(|| person_hash("Ada@contoso.example"));
        store.insert(&record).await?;
        made.push(record);
    }
    let mut running = running(&made[1], at(90));
    running.legal = Some(sample_clock(at(2_010)));
    store.update(&running).await?;
    let ended = ended(&self::running(&made[2], at(90)), Outcome::Succeeded, at(80));
    store.update(&self::running(&made[2], at(90))).await?;
    store.update(&ended).await?;
    let all = Filter {
        limit: 10,
        ..Filter::default()
    };
    let urgent = Filter {
        order: Order::Deadline,
        ..all.clone()
    };
    let due = |due_before, person| Filter {
        order: Order::Due,
        due_before,
        person,
        ..all.clone()
    };
    let person = Some(person_hash(" ada@CONTOSO.example"));
    let mut last: Vec<u8> = if made[4].id < made[5].id {
        vec![4, 5]
    } else {
        vec![5, 4]
    };
    last.extend([3, 1, 0]);
    for (filter, expected) in [
        (
            Filter {
                status: Some(OPEN.to_owned()),
                ..all.clone()
            },
            vec![5, 4, 3, 1, 0],
        ),
        (
            Filter {
                created_from: Some(at(2)),
                ..all.clone()
            },
            vec![5, 4, 3, 2],
        ),
        (
            Filter {
                created_before: Some(at(2)),
                ..all.clone()
            },
            vec![1, 0],
        ),
        (
            Filter {
                created_from: Some(at(1)),
                created_before: Some(at(3)),
                ..all.clone()
            },
            vec![2, 1],
        ),
        (
            Filter {
                created_from: Some(at(3)),
                status: Some(OPEN.to_owned()),
                ..all.clone()
            },
            vec![5, 4, 3],
        ),
        (
            Filter {
                person: person.clone(),
                ..all.clone()
            },
            vec![4, 2, 0],
        ),
        (
            Filter {
                person: person.clone(),
                status: Some(OPEN.to_owned()),
                ..all.clone()
            },
            vec![4, 0],
        ),
        (
            Filter {
                person: Some(person_hash("Bob")),
                ..all.clone()
            },
            vec![],
        ),
        (urgent.clone(), last),
        (
            Filter {
                deadline_before: Some(at(800)),
                ..urgent.clone()
            },
            if made[4].id < made[5].id {
                vec![4, 5, 3]
            } else {
                vec![5, 4, 3]
            },
        ),
        (
            Filter {
                person: person.clone(),
                ..urgent.clone()
            },
            vec![4, 0],
        ),
        (due(None, None), vec![0, 4, 1]),
        (due(Some(at(2_010)), None), vec![0, 4]),
        (due(None, person), vec![0, 4]),
        (
            Filter {
                status: Some("running".to_owned()),
                ..urgent.clone()
            },
            vec![1],
        ),
    ] {
        for limit in [10, 1] {
            let mut filter = Filter {
                limit,
                ..filter.clone()
            };
            let (mut found, mut rounds) = (Vec::new(), 0);
            loop {
                let page = store.list(CLIENT, &filter).await?;
                found.extend(page.records.into_iter().map(|record| record.id));
                filter.cursor = page.next;
                rounds += 1;
                if filter.cursor.is_none() || rounds > 10 {
                    break;
                }
            }
            let expected: Vec<OperationId> = expected
                .iter()
                .map(|index| made[usize::from(*index)].id.clone())
                .collect();
            assert_eq!(found, expected, "{filter:?}");
        }
    }
    Ok(())
}

pub async fn an_unreadable_record_is_left_out_of_lists_and_counted(
    store: Arc<dyn Store>,
) -> Verdict {
    let mut readable = Vec::new();
    for number in 0..9 {
        let mut record = sample_record(&OperationId::random());
        record.created_at = at(number);
        if number % 3 == 0 {
            store.insert(&unreadable(&record)).await?;
            let refused = store.load(&record.id).await;
            assert!(
                matches!(&refused, Err(StoreError::Corrupt(id, _)) if *id == record.id.as_str()),
                "{refused:?}"
            );
        } else {
            store.insert(&record).await?;
            readable.insert(0, record);
        }
    }
    for status in [None, Some("accepted".to_owned())] {
        let mut filter = Filter {
            status,
            limit: 4,
            ..Filter::default()
        };
        let (mut listed, mut left_out) = (Vec::new(), 0);
        loop {
            let page = store.list(CLIENT, &filter).await?;
            listed.extend(page.records);
            left_out += page.unreadable;
            filter.cursor = page.next;
            if filter.cursor.is_none() {
                break;
            }
        }
        assert_eq!(listed, readable);
        assert!(left_out >= 3, "{left_out}");
    }
    Ok(())
}

/// A record is open until its completion is delivered or given up.
pub async fn open_records_are_counted_for_each_client(store: Arc<dyn Store>) -> Verdict {
    assert_eq!(store.count_open(CLIENT, 10).await?, 0);
    for number in 0..6 {
        let mut record = sample_record(&OperationId::random());
        if number == 5 {
            record.client = "another".to_owned();
        }
        if number % 2 == 0 {
            record.operation = "team.schedule".to_owned();
        }
        record.callback = (number == 1).then(sample_target);
        store.insert(&record).await?;
        match number {
            0 => drop(store.update(&running(&record, at(90))).await?),
            1 => drop(
                store
                    .update(&ended(&record, Outcome::Failed, at(90)))
                    .await?,
            ),
            2 => drop(
                store
                    .update(&closed(&record, Outcome::Failed, at(90)))
                    .await?,
            ),
            _ => {}
        }
    }
    assert_eq!(store.count_open(CLIENT, 10).await?, 4);
    assert_eq!(store.count_open(CLIENT, 3).await?, 3, "no more than asked");
    assert_eq!(store.count_open("another", 10).await?, 1);
    assert_eq!(store.count_open("", 10).await?, 0);
    Ok(())
}
