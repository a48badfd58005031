//! The cases that are requests, with what a door must answer to each.

use super::cases::{self, Case, cases};

const BODY_BYTES: usize = 64 * 1024;

/// A `POST /v1/operations`.
pub(crate) struct Sent {
    pub(crate) name: String,
    /// These and no other of the same name.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// The status, and the problem of a refusal.
    pub(crate) answer: String,
}

/// Bodies that are no request, whatever their JSON.
pub(crate) fn json() -> Vec<Sent> {
    let sent = |case: Case| {
        let answer = match &*case.verdict {
            _ if case.input.len() > BODY_BYTES => "413 payload-too-large",
            "taken" => "400 invalid-request",
            _ => "400 bad-json",
        };
        with_key("json.tsv", answer.to_owned(), case)
    };
    cases(cases::JSON).into_iter().map(sent).collect()
}

/// Bodies of requests.
pub(crate) fn bodies() -> Vec<Sent> {
    let sent = |case: Case| with_key("bodies.tsv", answer(&case), case);
    cases(cases::BODIES).into_iter().map(sent).collect()
}

/// Heads of a request whose body is `body`. Lines that are no header are left out: nobody can send them.
pub(crate) fn heads(body: &[u8]) -> Vec<Sent> {
    let mut sent = Vec::new();
    for (corpus, file, name) in [
        (cases::HEADERS, "headers.tsv", ""),
        (cases::KEYS, "keys.tsv", "idempotency-key: "),
        (cases::TRACES, "traces.tsv", "traceparent: "),
    ] {
        for case in cases(corpus) {
            if case.verdict != "no header" {
                sent.push(Sent {
                    name: format!("{file}, line {}", case.line),
                    headers: lines(&[name.as_bytes(), &case.input].concat()),
                    body: body.to_vec(),
                    answer: answer(&case),
                });
            }
        }
    }
    sent
}

fn with_key(file: &str, answer: String, case: Case) -> Sent {
    let key = format!("{file} {}", case.line);
    Sent {
        name: format!("{file}, line {}", case.line),
        headers: vec![("idempotency-key".to_owned(), key.into_bytes())],
        body: case.input,
        answer,
    }
}

/// What a case must come to: the first two words of its verdict, or 202.
fn answer(case: &Case) -> String {
    if ["taken", "key", "kept", "ignored"]
        .iter()
        .any(|word| case.verdict.starts_with(word))
    {
        return "202".to_owned();
    }
    let words: Vec<&str> = case.verdict.split(' ').take(2).collect();
    words.join(" ")
}

/// The headers of a head: name, colon, value.
fn lines(head: &[u8]) -> Vec<(String, Vec<u8>)> {
    let split = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8(line[..colon].to_vec()).ok()?;
        Some((name, line[colon + 1..].trim_ascii().to_vec()))
    };
    head.split(|byte| *byte == b'\n')
        .map(|line| split(line).unwrap_or_else(|| panic!("{line:?} is no header")))
        .collect()
}
