//! Tests bad input at scale: every case of every corpus has the verdict that is written beside it, and nothing panics.
//!
//! README.md says where the cases come from. `functions/standalone/tests/it/input/corpora.rs` sends them over HTTP.

#![cfg(test)]

mod addresses;
mod cases;
mod reading;
mod requests;
mod signatures;
mod urls;

use std::collections::HashSet;

use crate::cases::{Case, cases};

/// Asserts that `verdict` returns the expected verdict on every case of `corpus`, and reports every line that differs.
///
/// The corpus must have at least `least` cases.
fn check(corpus: &str, least: usize, verdict: impl Fn(&Case) -> String) {
    let cases = cases(corpus);
    let mut known = HashSet::new();
    let mut wrong = Vec::new();
    for case in &cases {
        if !known.insert(&case.input) {
            wrong.push(format!(
                "line {}: repeats the input of an earlier line",
                case.line
            ));
        }
        let actual = brief(verdict(case));
        if actual != case.verdict {
            wrong.push(format!(
                "line {}: expected {:?}, got {actual:?}",
                case.line, case.verdict
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} mistakes in {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    assert!(cases.len() >= least, "only {} cases", cases.len());
}

/// Shortens a long value that was accepted to its beginning and its length.
fn brief(verdict: String) -> String {
    let value = ["taken ", "trusted "]
        .iter()
        .any(|accepted| verdict.starts_with(accepted));
    if value && verdict.len() > 160 {
        format!("{}… ({} bytes)", &verdict[..60], verdict.len())
    } else {
        verdict
    }
}

/// Strips the position from a rule, because serde_json decides which position it reports.
fn placeless(rule: &str) -> &str {
    [" at line ", " at byte "]
        .iter()
        .fold(rule, |rule, place| rule.split(place).next().unwrap())
}

#[test]
fn corpora_have_at_least_2000_cases_and_90_headers() {
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
        cases::SIGNATURES,
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
