//! Evidence: what is signed is found to be whole, and whatever somebody changes in it is found.

use courier_core::crypto::evidence_keys::SigningKey;
use courier_core::evidence::envelope::sign;
use courier_core::evidence::statement::{Observer, statement};
use courier_core::evidence::verdict::{Against, Verdict, verify};
use courier_core::lifecycle::Event;
use courier_core::operation::chain::Hashed;
use courier_core::operation::{DeliveryOutcome, Hash, Outcome, Record, State};
use serde_json::{Value, json};

use crate::{EXPORT, at, decided, ended, line, operation, running};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

/// An export with three entries, one of them with a text that nobody else may see.
fn observed() -> Record {
    let mut record = running(EXPORT);
    record.remember(line(at(1), "starting", "startClaimed", Some("attempt 1")));
    let mut noted = line(at(2), "running", "acknowledged", Some("Erika Mustermann"));
    noted.by = Some("operator erika".to_owned());
    noted.client_request_id = Some("0b6e2b0e-8c1f-4c1a-9a51-3a2f8f0a5f10".to_owned());
    noted.request_id = Some("7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned());
    record.remember(noted);
    let cancel = Event::Requested {
        by: "client tickets".to_owned(),
        event: Box::new(Event::Cancelled),
    };
    *decided(&record, &cancel, at(900)).write.unwrap()
}

fn stated(record: &Record) -> Value {
    let observer = Observer {
        deployment: "urn:graph-courier:d",
        operation: Some(operation(EXPORT)),
        now: at(5000),
    };
    statement(record, &observer).unwrap().unwrap()
}

fn signed(statement: &Value) -> String {
    sign(statement.to_string().as_bytes(), &key(1)).to_string()
}

fn judged(envelope: &str) -> Verdict {
    let keys = [key(1).public().clone()];
    let against = Against {
        keys: &keys,
        ..Against::default()
    };
    verify(envelope.as_bytes(), &against)
}

fn changed(statement: &Value, change: impl FnOnce(&mut Value)) -> Verdict {
    let mut statement = statement.clone();
    change(&mut statement);
    judged(&signed(&statement))
}

/// Checks that evidence is signed, and wrong in exactly this way.
fn wrong(verdict: &Verdict, word: &str) {
    assert!(verdict.is_signed && !verdict.holds(), "{verdict:?}");
    let found = verdict.wrong.iter().any(|fault| fault.contains(word));
    assert!(found, "{word} not in {verdict:?}");
}

#[test]
fn whole_evidence_holds_names_nobody_and_says_what_it_does_not_prove() {
    let record = observed();
    let statement = stated(&record);
    let verdict = judged(&signed(&statement));
    assert!(verdict.holds(), "{verdict:?}");
    assert!(
        verdict
            .not_proven
            .iter()
            .any(|text| text.contains("complete or correct"))
    );
    let text = statement.to_string();
    for hidden in [
        "rika",
        "Mustermann",
        "v1.sealed",
        "tickets.example",
        "last-answer",
    ] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    for shown in [
        "attempt 1",
        "cancelled_by_caller",
        "client tickets",
        "7c9e6679",
    ] {
        assert!(text.contains(shown), "{shown} not in {text}");
    }
    let unknown = verify(signed(&statement).as_bytes(), &Against::default());
    assert!(unknown.wrong.is_empty() && !unknown.holds(), "{unknown:?}");
}

#[test]
fn the_completion_of_an_operation_has_the_head_of_its_end() {
    let record = observed();
    let statement = stated(&record);
    let body = record.event.as_ref().unwrap().body.clone();
    let frozen: Value = serde_json::from_str(&body).unwrap();
    let head = frozen["data"]["evidence"]["head"].clone();
    assert_eq!(head, statement["predicate"]["chain"]["head"]);
    let mut later = record.clone();
    later.remember(line(at(950), "cancelled", "callbackAttempt", None));
    let wrapped = json!({ "envelope": [frozen] }).to_string();
    let other = body.replace("\"cancelled\"", "\"succeeded\"");
    let foreign = body.replace("sha256:", "sha256:0").replace("0\"}", "\"}");
    let keys = [key(1).public().clone()];
    for (completion, holds, word) in [
        (&body, true, "which has gone on since"),
        (&wrapped, true, "with this outcome"),
        (&other, false, "another outcome"),
        (&foreign, false, "head in the completion"),
        (&"{}".to_owned(), true, "names no head"),
    ] {
        let against = Against {
            keys: &keys,
            completion: Some(completion.as_bytes()),
            head: None,
        };
        let verdict = verify(signed(&stated(&later)).as_bytes(), &against);
        assert_eq!(verdict.holds(), holds, "{verdict:?}");
        assert!(format!("{verdict:?}").contains(word), "{word}: {verdict:?}");
    }
    let noted = Against {
        keys: &keys,
        head: Some(Hash::of(b"another chain")),
        completion: None,
    };
    wrong(
        &verify(signed(&statement).as_bytes(), &noted),
        "none of this chain's entries",
    );
}

#[test]
fn every_changed_byte_of_payload_and_signature_is_found() {
    let envelope: Value = serde_json::from_str(&signed(&stated(&observed()))).unwrap();
    for pointer in ["/payload", "/signatures/0/sig"] {
        let text = envelope
            .pointer(pointer)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            let mut forged = envelope.clone();
            *forged.pointer_mut(pointer).unwrap() = String::from_utf8(bytes).unwrap().into();
            assert!(!judged(&forged.to_string()).holds(), "{pointer} {index}");
        }
    }
}

#[test]
fn an_unknown_key_another_type_and_a_second_signature_are_told_apart() {
    let envelope: Value = serde_json::from_str(&signed(&stated(&observed()))).unwrap();
    let payload = stated(&observed()).to_string();
    let by_other = sign(payload.as_bytes(), &key(2));
    let unknown = judged(&by_other.to_string());
    assert!(
        !unknown.is_signed && !unknown.wrong.is_empty(),
        "{unknown:?}"
    );
    let mut two = by_other.clone();
    let first = envelope["signatures"][0].clone();
    two["signatures"].as_array_mut().unwrap().push(first);
    assert!(judged(&two.to_string()).holds());
    // After a rotation the old key is still published, and what it signed is still verified.
    let ring = [key(2).public().clone(), key(1).public().clone()];
    let against = Against {
        keys: &ring,
        ..Against::default()
    };
    assert!(verify(envelope.to_string().as_bytes(), &against).holds());
    let mut other_type = envelope.clone();
    other_type["payloadType"] = "application/json".into();
    assert!(!judged(&other_type.to_string()).holds());
    assert!(!judged("{}").holds() && !judged("").holds());
}

/// The right key has signed each of these, so that only the chain shows what was done to it.
#[test]
fn an_entry_that_was_edited_removed_added_or_moved_is_found_even_when_signed() {
    let statement = stated(&observed());
    fn history(statement: &mut Value) -> &mut Vec<Value> {
        statement["predicate"]["history"].as_array_mut().unwrap()
    }
    let edited = changed(&statement, |s| {
        history(s)[1]["hashed"]["at"] = "2026-01-01T00:00:00.000Z".into()
    });
    wrong(&edited, "entry 2 does not have the hash");
    let removed = changed(&statement, |s| drop(history(s).remove(1)));
    wrong(&removed, "entry 3 does not follow");
    let first = changed(&statement, |s| drop(history(s).remove(0)));
    wrong(&first, "entry 2 does not follow");
    let cut = changed(&statement, |s| drop(history(s).pop()));
    wrong(&cut, "not the head");
    let moved = changed(&statement, |s| history(s).swap(0, 1));
    wrong(&moved, "does not follow");
    let doubled = changed(&statement, |s| {
        let last = history(s)[2].clone();
        history(s).push(last);
    });
    wrong(&doubled, "does not follow");
    let told = changed(&statement, |s| {
        history(s)[0]["disclosed"]["detail"]["detail"] = "attempt 9".into();
    });
    wrong(&told, "discloses");
    let ids = changed(&statement, |s| {
        history(s)[1]["disclosed"]["call"]["requestId"] = "00".into();
    });
    wrong(&ids, "discloses");
    let status = changed(&statement, |s| {
        s["predicate"]["operation"]["status"] = "succeeded".into()
    });
    wrong(&status, "does not match its history");
    let head = changed(&statement, |s| {
        s["subject"][0]["digest"]["sha256"] = "0".repeat(64).into()
    });
    wrong(&head, "not the head");
    let name = format!("urn:graph-courier:operation:op_{}", "0".repeat(32));
    let subject = changed(&statement, |s| s["subject"][0]["name"] = name.into());
    wrong(&subject, "one of another operation");
    let gap = changed(&statement, |s| {
        let hash = s["predicate"]["chain"]["head"].clone();
        let gap = json!({ "from": 3, "to": 3, "count": 1, "before": hash, "last": hash });
        s["predicate"]["chain"]["gaps"] = json!([gap]);
    });
    wrong(&gap, "names a gap");
    let kind = changed(&statement, |s| s["predicateType"] = "urn:other".into());
    wrong(&kind, "predicateType");
}

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

/// Each text of the page stands above its hash.
#[test]
fn the_pages_worked_example_is_what_is_hashed() {
    let page = include_str!("../../../../docs/evidence.md");
    let example = page.split("```text\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let lines: Vec<&str> = example.lines().filter(|line| !line.is_empty()).collect();
    let mut entries = 0;
    for pair in lines.chunks(2) {
        assert_eq!(
            Hash::of(pair[0].as_bytes()).to_string(),
            pair[1],
            "{}",
            pair[0]
        );
        if let Ok(hashed) = serde_json::from_str::<Hashed>(pair[0]) {
            assert_eq!(serde_json::to_string(&hashed).unwrap(), pair[0]);
            entries += 1;
        }
    }
    assert_eq!((entries, lines.len()), (2, 6));
}
