//! Bad input at scale: every case of every corpus has the verdict that is written beside it, and nothing panics.
//!
//! README.md says where the cases come from. `functions/standalone/tests/it/corpora.rs` sends them through a listener.

#![cfg(test)]

mod addresses;
mod cases;
mod reading;
mod requests;
mod urls;

use std::collections::HashSet;

use crate::cases::{Case, cases};

/// Compares the verdict on every case of `corpus`, which has `least` cases or more, and tells every line that differs.
fn check(corpus: &str, least: usize, verdict: impl Fn(&Case) -> String) {
    let cases = cases(corpus);
    let mut known = HashSet::new();
    let mut wrong = Vec::new();
    for case in &cases {
        if !known.insert(&case.input) {
            wrong.push(format!("line {}: is there twice", case.line));
        }
        let told = brief(verdict(case));
        if told != case.verdict {
            wrong.push(format!(
                "line {}: {:?}, is {told:?}",
                case.line, case.verdict
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    assert!(cases.len() >= least, "only {} cases", cases.len());
}

/// The beginning of a long value that was taken, and its length.
fn brief(verdict: String) -> String {
    let value = ["taken ", "trusted "]
        .iter()
        .any(|word| verdict.starts_with(word));
    if value && verdict.len() > 160 {
        format!("{}… ({} bytes)", &verdict[..60], verdict.len())
    } else {
        verdict
    }
}

/// Where in the text a rule is broken is serde_json's affair.
fn placeless(rule: &str) -> &str {
    [" at line ", " at byte "]
        .iter()
        .fold(rule, |rule, place| rule.split(place).next().unwrap())
}

#[test]
fn there_are_two_thousand_cases_or_more() {
    let corpora = [
        cases::ADDRESSES,
        cases::ANSWERS,
        cases::BODIES,
        cases::HEADERS,
        cases::JSON,
        cases::KEYS,
        cases::LOCATIONS,
        cases::MESSAGES,
        cases::RETRY_AFTER,
        cases::SAS,
        cases::SPELLINGS,
        cases::TRACES,
        cases::URLS,
    ];
    let count: usize = corpora.iter().map(|corpus| cases(corpus).len()).sum();
    assert!(count >= 2_000, "only {count}");
    let all = [cases::HEADERS, cases::KEYS, cases::TRACES];
    let headers: usize = all.iter().map(|corpus| cases(corpus).len()).sum();
    assert!(headers >= 90, "only {headers}");
}
