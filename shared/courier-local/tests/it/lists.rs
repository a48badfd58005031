//! Lists of a file with many records, open and closed, and a file that the version before has used meanwhile.

use courier_core::operation::{CALLBACK_STATUSES, OperationId, Outcome, Record, STATUSES};
use courier_core::ports::{Filter, Page, Store, Write};
use courier_testkit::sample::{CLIENT, at, closed, ended, running, sample_record, sample_target};

use crate::workspace::Workspace;

/// Records of every status, with and without a callback; every third has a reference of its own.
async fn mixed(workspace: &Workspace, count: i64) -> Vec<Record> {
    let mut records = Vec::new();
    for number in 0..count {
        let mut first = sample_record(&OperationId::random());
        first.created_at = at(number / 3);
        first.callback = (number % 5 < 4).then(sample_target);
        if number % 3 == 0 {
            first.reference = Some(format!("RITM{number}"));
        }
        if number % 2 == 0 {
            first.operation = "goals.exportJob".to_owned();
        }
        let record = match number % 7 {
            0 | 1 => first,
            2 | 3 => running(&first, at(90)),
            4 => ended(&first, Outcome::Failed, at(number)),
            _ => closed(&first, Outcome::Succeeded, at(number)),
        };
        workspace.database.insert(&record).await.unwrap();
        records.push(record);
    }
    records.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    records
}

/// Returns the ids of all pages and the number of pages.
async fn all_pages(workspace: &Workspace, filter: &Filter) -> (Vec<OperationId>, usize) {
    let (mut filter, mut ids, mut pages) = (filter.clone(), Vec::new(), 0);
    loop {
        let Page { records, next, .. } = workspace.database.list(CLIENT, &filter).await.unwrap();
        ids.extend(records.into_iter().map(|record| record.id));
        pages += 1;
        match next {
            Some(cursor) => filter.cursor = Some(cursor),
            None => return (ids, pages),
        }
    }
}

#[tokio::test]
async fn every_filter_finds_all_that_match_in_order() {
    let workspace = Workspace::new();
    let records = mixed(&workspace, 210).await;
    let some = |text: &str| Some(text.to_owned());
    let statuses = STATUSES.map(some).into_iter().chain([None]);
    let callbacks = || CALLBACK_STATUSES.map(some).into_iter().chain([None]);
    let mut matched = 0;
    for status in statuses {
        for callback in callbacks() {
            for operation in [None, some("goals.exportJob"), some("unknown")] {
                for reference in [None, some("RITM0012345"), some("RITM42")] {
                    let filter = Filter {
                        status: status.clone(),
                        callback: callback.clone(),
                        operation: operation.clone(),
                        reference: reference.clone(),
                        limit: 7,
                        ..Filter::default()
                    };
                    let is_wanted = |record: &&Record| {
                        let same = |wish: &Option<String>, value: &str| {
                            wish.as_deref().is_none_or(|wish| wish == value)
                        };
                        same(&status, record.state.status())
                            && same(&operation, &record.operation)
                            && same(&reference, record.reference.as_deref().unwrap_or_default())
                            && callback
                                .as_deref()
                                .is_none_or(|wish| record.matches_callback(wish))
                    };
                    let wanted = records.iter().filter(is_wanted);
                    let wanted: Vec<_> = wanted.map(|record| record.id.clone()).collect();
                    matched += wanted.len();
                    let (found, _) = all_pages(&workspace, &filter).await;
                    assert_eq!(found, wanted, "{filter:?}");
                }
            }
        }
    }
    assert!(matched > 2000, "{matched}");
}

/// A page is short then, and its cursor leads on: the work for one page is bounded.
#[tokio::test]
async fn what_is_behind_thousands_of_other_open_records_is_found_page_by_page_and_in_order() {
    let workspace = Workspace::new();
    let mut open = running(&sample_record(&OperationId::random()), at(90));
    let mut ended = closed(
        &sample_record(&OperationId::random()),
        Outcome::Failed,
        at(5),
    );
    for (record, second) in [(&mut open, -1), (&mut ended, -2)] {
        record.operation = "goals.exportJob".to_owned();
        record.created_at = at(second);
    }
    let many = sample_record(&OperationId::random());
    for record in [&open, &ended, &many] {
        workspace.database.insert(record).await.unwrap();
    }
    let copies = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 12000)
        INSERT INTO operations (id, client, operation, reference, status, created_at, due_at, revision, record, open)
        SELECT printf('op_%032x', n), client, operation, reference, status, created_at + n, due_at, 1, record, open
        FROM operations, numbers WHERE id = ?";
    let sqlite = workspace.sqlite();
    sqlite.execute(copies, [many.id.as_str()]).unwrap();
    for reference in [None, open.reference.clone()] {
        let filter = Filter {
            operation: Some(open.operation.clone()),
            reference,
            limit: 50,
            ..Filter::default()
        };
        let (found, pages) = all_pages(&workspace, &filter).await;
        let wanted = vec![open.id.clone(), ended.id.clone()];
        assert_eq!((found, pages), (wanted, 3), "{filter:?}");
    }
    let open = Store::count_open(&workspace.database, CLIENT, 50_000).await;
    assert_eq!(open.unwrap(), 12_002);
    let open = Store::count_open(&workspace.database, CLIENT, 10).await;
    assert_eq!(open.unwrap(), 10);
}

/// The version before knows nothing of the column `open`, and makes the indexes of lists that it misses.
#[tokio::test]
async fn what_the_version_before_wrote_meanwhile_is_in_the_right_lists() {
    let workspace = Workspace::new();
    let before = running(&sample_record(&OperationId::random()), at(90));
    workspace.database.insert(&before).await.unwrap();
    let closed_then = closed(&before, Outcome::Succeeded, at(5));
    let begun_then = sample_record(&OperationId::random());
    let sqlite = workspace.sqlite();
    let text = |record: &Record| serde_json::to_string(record).unwrap();
    sqlite
        .execute_batch("CREATE INDEX operations_by_group ON operations (client, operation, status)")
        .unwrap();
    sqlite
        .execute(
            "UPDATE operations SET status = 'succeeded', due_at = NULL, ended_at = 7, revision = revision + 1, record = ?2
            WHERE id = ?1",
            [before.id.as_str(), &text(&closed_then)],
        )
        .unwrap();
    sqlite
        .execute(
            "INSERT INTO operations (id, client, operation, status, created_at, due_at, revision, record)
            SELECT ?1, client, operation, 'accepted', 0, 9, 1, ?2 FROM operations",
            [begun_then.id.as_str(), &text(&begun_then)],
        )
        .unwrap();
    let workspace = workspace.reopened();
    for (status, wanted) in [("succeeded", &closed_then), ("accepted", &begun_then)] {
        let filter = Filter {
            status: Some(status.to_owned()),
            limit: 5,
            ..Filter::default()
        };
        let page = workspace.database.list(CLIENT, &filter).await.unwrap();
        assert_eq!(page.records, std::slice::from_ref(wanted));
    }
    let messages = workspace.messages();
    assert_eq!(messages, std::slice::from_ref(&begun_then.id));
    let open = Store::count_open(&workspace.database, CLIENT, 5).await;
    assert_eq!(open.unwrap(), 1);
    let due = workspace.database.overdue(at(0), 5).await.unwrap();
    assert_eq!(due.records, [begun_then]);
}

#[tokio::test]
async fn an_erased_record_leaves_the_list_of_its_reference() {
    let workspace = Workspace::new();
    let record = closed(
        &sample_record(&OperationId::random()),
        Outcome::Failed,
        at(5),
    );
    workspace.database.insert(&record).await.unwrap();
    let erased = Record {
        reference: None,
        ..courier_testkit::sample::next(&record)
    };
    let written = workspace.database.update(&erased).await.unwrap();
    assert_eq!(written, Write::Applied);
    let mut filter = Filter {
        reference: record.reference.clone(),
        limit: 5,
        ..Filter::default()
    };
    let page = workspace.database.list(CLIENT, &filter).await.unwrap();
    assert_eq!(page.records, []);
    filter.reference = None;
    let page = workspace.database.list(CLIENT, &filter).await.unwrap();
    assert_eq!(page.records, [erased]);
}
