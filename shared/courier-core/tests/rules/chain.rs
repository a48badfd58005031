//! The hash chain of a stored history: full, erased, of an earlier version, and changed by somebody else.

use courier_core::lifecycle::Event;
use courier_core::operation::{DeliveryOutcome, Outcome, Record, State};
use serde_json::json;

use crate::evidence::{changed, judged, observed, signed, stated, wrong};
use crate::{EXPORT, at, decided, ended, line, running};

#[test]
fn every_changed_byte_of_a_stored_entry_breaks_the_chain() {
    let record = observed();
    assert!(record.chained().is_ok());
    for index in 0..record.history.len() {
        let text = serde_json::to_string(&record.history[index]).unwrap();
        let mut read = 0;
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            let Ok(entry) = serde_json::from_slice(&bytes) else {
                continue;
            };
            let mut forged = record.clone();
            forged.history[index] = entry;
            assert!(
                forged.chained().is_err(),
                "entry {index}, byte {place} of {text}"
            );
            read += 1;
        }
        assert!(read > 50, "{read}");
    }
    let mut without = record.clone();
    without.history.remove(1);
    assert!(without.chained().is_err());
    let mut swapped = record;
    swapped.history.swap(0, 1);
    assert!(swapped.chained().is_err());
}

#[test]
fn a_full_history_shows_its_gap_and_can_still_be_verified() {
    let mut record = running(EXPORT);
    for second in 0..200 {
        let detail = format!("{second} in a row");
        record.remember(line(at(second), "running", "stumbled", Some(&detail)));
    }
    assert_eq!(record.history.len(), 150);
    let statement = stated(&record);
    let verdict = judged(&signed(&statement));
    assert!(verdict.holds(), "{verdict:?}");
    let gap = &statement["predicate"]["chain"]["gaps"][0];
    assert_eq!(
        (&gap["from"], &gap["to"], &gap["count"]),
        (&json!(21), &json!(70), &json!(50))
    );
    assert!(
        verdict
            .not_proven
            .iter()
            .any(|text| text.contains("50 entries from 21 to 70"))
    );
    for (field, value) in [("count", json!(49)), ("to", json!(69)), ("from", json!(20))] {
        let forged = changed(&statement, |s| {
            s["predicate"]["chain"]["gaps"][0][field] = value
        });
        wrong(&forged, "entry 71 does not follow");
    }
    let hidden = changed(&statement, |s| s["predicate"]["chain"]["gaps"] = json!([]));
    wrong(&hidden, "entry 71 does not follow");
    let mut dropped = record.clone();
    dropped.history.remove(30);
    assert!(dropped.chained().is_err());
    // The history drops the next entry, and what was known of the chain before stays true.
    let (before, _) = record.chained().unwrap().unwrap();
    record.remember(line(at(300), "running", "stumbled", None));
    let (after, links) = record.chained().unwrap().unwrap();
    assert_eq!(after.entries, before.entries + 1);
    assert_eq!(links[links.len() - 2].hash, before.head);
}

#[test]
fn entries_of_a_version_without_the_chain_are_chained_later_and_said_to_be() {
    let mut record = running(EXPORT);
    let old = |second| line(at(second), "running", "stumbled", None);
    record.history = vec![old(1), old(2)];
    let verdict = judged(&signed(&stated(&record)));
    assert!(verdict.holds(), "{verdict:?}");
    record.remember(old(3));
    // The version before ran once more.
    record.history.push(old(4));
    record.remember(old(5));
    let statement = stated(&record);
    assert_eq!(
        statement["predicate"]["chain"]["chainedLater"],
        json!([[1, 2], [4, 4]])
    );
    let verdict = judged(&signed(&statement));
    assert!(verdict.holds(), "{verdict:?}");
    assert!(
        verdict
            .not_proven
            .iter()
            .any(|text| text.contains("entries 1 to 2"))
    );
    // What such a version has stored is read, and an empty chain is not stored.
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    let fresh = serde_json::to_string(&running(EXPORT)).unwrap();
    assert!(!fresh.contains("chain") && !fresh.contains("digests"));
}

#[test]
fn an_erased_operation_is_verified_although_nobody_can_guess_what_it_has_said() {
    let mut record = ended(Outcome::Cancelled);
    record.history.clear();
    record.chain = None;
    record.remember(line(at(1), "running", "stumbled", Some("Erika Mustermann")));
    record.history[0].answer = Some("an answer is not in the chain".to_owned());
    record.state = State::Closed {
        outcome: Outcome::Cancelled,
        how: DeliveryOutcome::Delivered,
    };
    let (_, before) = record.chained().unwrap().unwrap();
    let erase = Event::Requested {
        by: "operator erika".to_owned(),
        event: Box::new(Event::Erased),
    };
    let erased = *decided(&record, &erase, at(5000)).write.unwrap();
    let (chain, after) = erased.chained().unwrap().unwrap();
    assert!(after.starts_with(&before), "no hash changes");
    assert_eq!((after.len(), chain.salt), (2, None));
    let stored = serde_json::to_string(&erased).unwrap();
    assert!(
        !stored.contains("Mustermann") && !stored.contains("last-call"),
        "{stored}"
    );
    let statement = stated(&erased);
    assert!(!statement.to_string().contains("rika"));
    let verdict = judged(&signed(&statement));
    assert!(verdict.holds(), "{verdict:?}");
    assert!(
        verdict
            .not_proven
            .iter()
            .any(|text| text.contains("was erased"))
    );
    let mut forged = erased;
    forged.history[0].digests = None;
    assert!(forged.chained().is_err());
}
