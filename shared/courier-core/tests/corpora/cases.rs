//! Reads the corpora. Each line is a case: `input`, `expected verdict` and `why`, with tabs between them.
//!
//! In an input, `\t`, `\n`, `\r`, `\\`, `\xHH` (a byte) and `\u{H…}` (a character) stand for what is not printable
//! ASCII, and `\(N*text)` for `text` N times. Lines that begin with `#` are comments.

pub(crate) const ADDRESSES: &str = include_str!("addresses.tsv");
pub(crate) const ANSWERS: &str = include_str!("answers.tsv");
pub(crate) const BODIES: &str = include_str!("bodies.tsv");
pub(crate) const HEADERS: &str = include_str!("headers.tsv");
pub(crate) const JSON: &str = include_str!("json.tsv");
pub(crate) const KEYS: &str = include_str!("keys.tsv");
pub(crate) const LOCATIONS: &str = include_str!("locations.tsv");
pub(crate) const MESSAGES: &str = include_str!("messages.tsv");
pub(crate) const RETRY_AFTER: &str = include_str!("retry_after.tsv");
pub(crate) const SAS: &str = include_str!("sas.tsv");
pub(crate) const SIGNATURES: &str = include_str!("signatures.tsv");
pub(crate) const SPELLINGS: &str = include_str!("spellings.tsv");
pub(crate) const TRACES: &str = include_str!("traces.tsv");
pub(crate) const URLS: &str = include_str!("urls.tsv");

pub(crate) struct Case {
    /// The number of the line in the corpus, from 1.
    pub(crate) line: usize,
    pub(crate) input: Vec<u8>,
    pub(crate) verdict: String,
}

impl Case {
    /// Returns the input as text, and panics if it is not UTF-8.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.input)
            .unwrap_or_else(|error| panic!("line {}: {error}", self.line))
    }
}

/// Returns every case of a corpus, and panics on a line that it cannot read.
pub(crate) fn cases(corpus: &str) -> Vec<Case> {
    let lines = corpus.lines().enumerate();
    let cases = lines.filter(|(_, line)| !line.starts_with('#'));
    cases.map(|(index, line)| case(index + 1, line)).collect()
}

fn case(line: usize, text: &str) -> Case {
    let fields: Vec<&str> = text.split('\t').collect();
    let [input, verdict, why] = fields.as_slice() else {
        panic!("line {line} has {} fields", fields.len());
    };
    assert!(
        !verdict.is_empty() && !why.is_empty(),
        "line {line} lacks a verdict or its reason"
    );
    let mut bytes = Vec::new();
    unescape(input, &mut bytes).unwrap_or_else(|| panic!("line {line} has a broken escape"));
    Case {
        line,
        input: bytes,
        verdict: (*verdict).to_owned(),
    }
}

fn unescape(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let kind = escape.chars().next()?;
        rest = &escape[kind.len_utf8()..];
        match kind {
            't' => bytes.push(b'\t'),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            '\\' => bytes.push(b'\\'),
            'x' => {
                bytes.push(u8::from_str_radix(rest.get(..2)?, 16).ok()?);
                rest = &rest[2..];
            }
            'u' => {
                let (digits, after) = rest.strip_prefix('{')?.split_once('}')?;
                let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            '(' => {
                let (repeated, after) = rest.split_once(')')?;
                let (times, part) = repeated.split_once('*')?;
                let mut once = Vec::new();
                unescape(part, &mut once)?;
                bytes.extend(once.repeat(times.parse().ok()?));
                rest = after;
            }
            _ => return None,
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(())
}
