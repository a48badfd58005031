//! What only this adapter promises: the message of a written record is there, one per operation, and costs no write.

use courier_core::operation::message::{Disposition, Message};
use courier_core::operation::{OperationId, Outcome, Record};
use courier_core::ports::{Queue, Store, StoreError, Write};
use courier_local::{Capacity, drain};
use courier_testkit::sample::{at, closed, ended, next, running, sample_record};

use crate::workspace::Workspace;

fn sample() -> Record {
    sample_record(&OperationId::random())
}

#[tokio::test]
async fn an_insert_queues_the_watchdog_without_a_commit_of_its_own() {
    let workspace = Workspace::new();
    let record = sample();
    workspace.database.insert(&record).await.unwrap();
    assert_eq!(workspace.database.commits(), 1);
    let received = workspace
        .database
        .receive(at(60), &Capacity::in_turn(10), at(180));
    let expected = Message::WatchdogV1 {
        operation_id: record.id,
    };
    assert_eq!(received[0].message, expected);
    assert_eq!(received.len(), 1);
}

#[tokio::test]
async fn a_refused_insert_leaves_the_message_alone() {
    let workspace = Workspace::new();
    let record = sample();
    workspace.database.insert(&record).await.unwrap();
    let mut replay = sample_record(&record.id);
    replay.due_at = Some(at(5));
    let write = workspace.database.insert(&replay).await.unwrap();
    assert_eq!(write, Write::Refused(Box::new(record)));
    assert_eq!(workspace.database.next_due(), Some(at(60)));
}

#[tokio::test]
async fn closing_removes_the_message_and_reopening_queues_one() {
    let Workspace { database, .. } = &Workspace::new();
    let first = sample();
    database.insert(&first).await.unwrap();
    let second = closed(&first, Outcome::Succeeded, at(10));
    database.update(&second).await.unwrap();
    assert_eq!(database.next_due(), None);

    let redelivery = ended(&second, Outcome::Succeeded, at(500));
    database.update(&redelivery).await.unwrap();
    assert_eq!(database.next_due(), Some(at(500)));
}

#[tokio::test]
async fn an_update_of_an_open_record_leaves_its_message_alone() {
    let Workspace { database, .. } = &Workspace::new();
    let first = sample();
    database.insert(&first).await.unwrap();
    let poll = Message::PollV1 {
        operation_id: first.id.clone(),
        epoch: 1,
        location: None,
        receives_before: 0,
    };
    database.send(&poll, at(20)).await.unwrap();
    let taken = database.receive(at(20), &Capacity::in_turn(1), at(140));
    database.update(&running(&first, at(900))).await.unwrap();
    assert_eq!(database.next_due(), Some(at(140)));
    database.postpone(&taken[0].receipt, at(70));
    let again = database.receive(at(70), &Capacity::in_turn(1), at(190));
    assert_eq!((&again[0].message, again[0].receives), (&poll, 2));
}

#[tokio::test]
async fn a_started_record_puts_its_poll_in_the_watchdogs_place_without_another_commit() {
    let Workspace { database, .. } = &Workspace::new();
    let first = sample();
    database.insert(&first).await.unwrap();
    let second = running(&first, at(30));
    database.update(&second).await.unwrap();
    assert_eq!(database.next_due(), Some(at(30)));
    let (poll, due) = Message::owed(&second).unwrap();
    database.send(&poll, due).await.unwrap();
    assert_eq!(database.commits(), 2);
    let received = database.receive(at(30), &Capacity::in_turn(9), at(150));
    assert_eq!((received.len(), &received[0].message), (1, &poll));
}

#[tokio::test]
async fn a_start_that_failed_leaves_its_end_to_the_watchdog() {
    let Workspace { database, .. } = &Workspace::new();
    let first = sample();
    database.insert(&first).await.unwrap();
    let before = database.next_due();
    let second = ended(&first, Outcome::Failed, at(5));
    database.update(&second).await.unwrap();
    assert_eq!(database.next_due(), before);
}

#[tokio::test]
async fn an_update_queues_a_message_that_was_lost() {
    let Workspace { database, .. } = &Workspace::new();
    let first = sample();
    database.insert(&first).await.unwrap();
    let taken = database.receive(at(60), &Capacity::in_turn(1), at(180));
    database.delete(&taken[0].receipt);
    assert_eq!(database.next_due(), None);
    let second = running(&first, at(90));
    database.update(&second).await.unwrap();
    let received = database.receive(at(90), &Capacity::in_turn(1), at(210));
    assert_eq!(
        Some((received[0].message.clone(), at(90))),
        Message::owed(&second)
    );
}

/// After an outage of the disk a record may be written when its message is due already: the worker is then faster than the
/// step that has written it.
#[tokio::test]
async fn the_message_of_a_written_record_that_is_being_handled_is_not_received_a_second_time() {
    let Workspace { database, .. } = &Workspace::new();
    let first = sample();
    database.insert(&first).await.unwrap();
    let second = running(&first, at(90));
    database.update(&second).await.unwrap();
    let (message, due) = Message::owed(&second).unwrap();
    let one = Capacity::in_turn(1);
    let taken = database.receive(at(95), &one, at(215));
    assert_eq!(taken[0].message, message);
    database.send(&message, due).await.unwrap();
    assert!(database.receive(at(96), &one, at(216)).is_empty());
    // Once it waits again, or its step has died, it is received as before.
    assert_eq!(database.receive(at(215), &one, at(335)).len(), 1);
}

#[tokio::test]
async fn what_is_being_handled_is_not_settled_until_its_message_is_deleted_or_postponed() {
    let Workspace { database, .. } = &Workspace::new();
    let first = sample();
    database.insert(&first).await.unwrap();
    database.update(&running(&first, at(90))).await.unwrap();
    let one = Capacity::in_turn(1);
    let taken = database.receive(at(95), &one, at(215));
    assert_eq!(database.next_due(), Some(at(215)));
    assert_eq!(database.next_unsettled(), Some(at(90)));
    database.postpone(&taken[0].receipt, at(300));
    assert_eq!(database.next_unsettled(), Some(at(300)));
}

#[tokio::test]
async fn a_message_of_an_earlier_hop_does_not_replace_a_later_one() {
    let Workspace { database, .. } = &Workspace::new();
    let operation_id = OperationId::random();
    let poll = |epoch| Message::PollV1 {
        operation_id: operation_id.clone(),
        epoch,
        location: None,
        receives_before: 0,
    };
    let watchdog = Message::WatchdogV1 {
        operation_id: operation_id.clone(),
    };
    for (message, due, expected) in [
        (&watchdog, 10, at(10)),
        (&poll(1), 20, at(20)),
        (&watchdog, 15, at(20)),
        (&poll(2), 5, at(5)),
        (&poll(1), 1, at(5)),
        // The same message again, later, does not put it off.
        (&poll(2), 7, at(5)),
        (&poll(2), 3, at(3)),
    ] {
        database.send(message, at(due)).await.unwrap();
        let due = database.next_due();
        assert_eq!(due, Some(expected), "{message:?}");
    }
}

#[tokio::test]
async fn a_message_that_waits_is_received_and_waits_again_writes_nothing() {
    let Workspace { database, .. } = &Workspace::new();
    let record = sample();
    database.insert(&record).await.unwrap();
    let commits = database.commits();
    let message = Message::WatchdogV1 {
        operation_id: record.id.clone(),
    };
    database.send(&message, at(10)).await.unwrap();
    database.send(&message, at(10)).await.unwrap();
    let one = Capacity::in_turn(1);
    database.receive(at(10), &one, at(10));
    database.send(&message, at(10)).await.unwrap();
    let received = database.receive(at(10), &one, at(20));
    assert_eq!(received[0].receives, 1, "sent anew");
    database.postpone(&received[0].receipt, at(15));
    assert_eq!(database.receive(at(15), &one, at(20))[0].receives, 2);
    assert_eq!(database.commits(), commits);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_message_of_what_it_has_written() {
    let Workspace { database, .. } = &Workspace::new();
    let record = sample();
    let mut insert = Box::pin(database.insert(&record));
    // The first poll passes the write to the thread of the file. Nobody waits for its result.
    tokio::select! {
        biased;
        _ = &mut insert => panic!("the thread has not been asked yet"),
        () = std::future::ready(()) => {}
    }
    drop(insert);
    // This write comes after it, on the same thread.
    database.insert(&sample()).await.unwrap();
    assert_eq!(
        database.load(&record.id).await.unwrap(),
        Some(record.clone())
    );
    let received = database.receive(at(60), &Capacity::in_turn(9), at(180));
    let ids = received.iter().map(|one| one.message.operation_id());
    assert!(ids.collect::<Vec<_>>().contains(&&record.id));
}

/// What the next process receives for records of each state, and when.
#[tokio::test]
async fn the_next_process_goes_on_with_every_open_operation_when_it_is_due() {
    let workspace = Workspace::new();
    let accepted = sample();
    let followed = running(&sample(), at(90));
    let delivered = ended(&sample(), Outcome::Failed, at(30));
    let done = closed(&sample(), Outcome::Succeeded, at(10));
    for record in [&accepted, &followed, &delivered, &done] {
        workspace.database.insert(record).await.unwrap();
    }
    let broken = sample();
    workspace.database.insert(&broken).await.unwrap();
    let sql = "UPDATE operations SET record = '{}' WHERE id = ?";
    workspace
        .sqlite()
        .execute(sql, [broken.id.as_str()])
        .unwrap();
    let Workspace { database, .. } = &workspace.reopened();
    for (record, due) in [
        (&accepted, at(0)),
        (&delivered, at(30)),
        (&followed, at(90)),
    ] {
        assert_eq!(database.next_due(), Some(due));
        let received = database.receive(due, &Capacity::in_turn(9), at(1000));
        assert_eq!(received.len(), 1, "{due}");
        let expected = Message::resuming(record).unwrap();
        assert_eq!((received[0].message.clone(), due), expected);
        database.delete(&received[0].receipt);
    }
    assert_eq!(
        database.next_due(),
        None,
        "neither the closed nor the broken one"
    );
}

#[tokio::test]
async fn an_unreadable_record_is_named_and_not_quoted() {
    let workspace = Workspace::new();
    let database = &workspace.database;
    let (broken, sound) = (sample(), sample());
    for record in [&broken, &sound] {
        database.insert(record).await.unwrap();
    }
    let sql = r#"UPDATE operations SET record = '{"id":"canary-secret"}' WHERE id = ?"#;
    workspace
        .sqlite()
        .execute(sql, [broken.id.as_str()])
        .unwrap();
    for failed in [
        database.load(&broken.id).await.map(|_| ()),
        database.update(&next(&next(&broken))).await.map(|_| ()),
    ] {
        let error = failed.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(id, _) if id == broken.id.as_str()));
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
    let overdue = database.overdue(at(100), 2).await.unwrap();
    assert_eq!(overdue.records, [sound], "the sweeper goes on");
    assert_eq!(overdue.unreadable, [broken.id.as_str()]);
}

#[tokio::test]
async fn drain_runs_what_is_due_and_does_as_the_step_says() {
    let Workspace { database, .. } = &Workspace::new();
    let (done, waits) = (sample(), sample());
    for record in [&done, &waits] {
        database.insert(record).await.unwrap();
    }
    let step = |message: Message, receives| {
        assert_eq!(receives, 1);
        let done = message.operation_id() == &done.id;
        std::future::ready(if done {
            Disposition::Delete
        } else {
            Disposition::WaitUntil(at(100))
        })
    };
    assert_eq!(drain(database, at(59), 10, step).await, 0);
    assert_eq!(drain(database, at(60), 10, step).await, 2);
    assert_eq!(drain(database, at(60), 10, step).await, 0);
    assert_eq!(database.next_due(), Some(at(100)));
}
