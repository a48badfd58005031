//! Evidence: what is signed is found to be whole, and whatever somebody changes in it is found.

use courier_core::crypto::evidence_keys::SigningKey;
use courier_core::evidence::envelope::sign;
use courier_core::evidence::statement::{Observer, statement};
use courier_core::evidence::verdict::{Against, Verdict, verify};
use courier_core::lifecycle::Event;
use courier_core::operation::chain::Hashed;
use courier_core::operation::{Hash, Record};
use serde_json::{Value, json};

use crate::{EXPORT, at, decided, line, operation, running};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

/// An export with three entries, one of them with a text that nobody else may see.
pub(crate) fn observed() -> Record {
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

pub(crate) fn stated(record: &Record) -> Value {
    let observer = Observer {
        deployment: "urn:graph-courier:d",
        operation: Some(operation(EXPORT)),
        now: at(5000),
    };
    statement(record, &observer).unwrap().unwrap()
}

pub(crate) fn signed(statement: &Value) -> String {
    sign(statement.to_string().as_bytes(), &key(1)).to_string()
}

pub(crate) fn judged(envelope: &str) -> Verdict {
    let keys = [key(1).public().clone()];
    let against = Against {
        keys: &keys,
        ..Against::default()
    };
    verify(envelope.as_bytes(), &against)
}

pub(crate) fn changed(statement: &Value, change: impl FnOnce(&mut Value)) -> Verdict {
    let mut statement = statement.clone();
    change(&mut statement);
    judged(&signed(&statement))
}

/// Checks that evidence is signed, and wrong in exactly this way.
pub(crate) fn wrong(verdict: &Verdict, word: &str) {
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
