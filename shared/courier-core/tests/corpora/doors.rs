//! The cases that are HTTP requests, with the answer that every HTTP interface must give to each.

use super::cases::{self, Case, cases};

const BODY_BYTES: usize = 64 * 1024;

/// A `POST /v1/operations` and the answer it must get.
pub(crate) struct Sent {
    pub(crate) name: String,
    /// The headers to send; no others of the same names are added.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// The status, followed by the problem type if the request is refused.
    pub(crate) answer: String,
}

/// Returns a request for each body of `json.tsv`; none is a valid operation, whatever its JSON.
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

/// Returns a request for each body of `bodies.tsv`.
pub(crate) fn bodies() -> Vec<Sent> {
    let sent = |case: Case| with_key("bodies.tsv", answer(&case), case);
    cases(cases::BODIES).into_iter().map(sent).collect()
}

/// Returns a request with `body` for each case of the headers, keys and trace contexts.
///
/// Cases that are not a header are left out, because no client can send them.
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

/// Returns the expected answer to a case: 202 if it is accepted, else the first two words of its verdict.
fn answer(case: &Case) -> String {
    if ["taken", "key", "kept", "ignored"]
        .iter()
        .any(|accepted| case.verdict.starts_with(accepted))
    {
        return "202".to_owned();
    }
    let words: Vec<&str> = case.verdict.split(' ').take(2).collect();
    words.join(" ")
}

/// Returns the headers of a head, in which each line is a name, a colon and a value.
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
