//! Makes the beginning of a receiver's answer fit for the history: on one line and without the secrets that we sent.
//!
//! Receivers repeat what they were sent, mostly in error pages: the URL, a token, a password. Each is redacted in every
//! spelling that a page may use; then everything else that looks like a secret or personal data is redacted too.

use std::cell::OnceCell;

use crate::outbound::target_url::CallbackUrl;
use crate::redact::scrub;

/// Maximum length of an excerpt in bytes.
const MAX_EXCERPT_BYTES: usize = 1024;
/// Maximum length of each half of a media type; the registered ones are shorter than 80 bytes.
const MAX_TYPE_PART_BYTES: usize = 80;
const REDACTED: &str = "[redacted]";
/// Minimum length in bytes of a part of a URL that is redacted; shorter parts are ordinary words, not secrets.
const MIN_SECRET_BYTES: usize = 8;

/// Returns what an answer may repeat of a callback URL, longest first: the URL, path and query, then their parts.
pub(super) fn secrets_of(url: &CallbackUrl) -> Vec<String> {
    let url = url.as_url();
    let path = url.path();
    let query = url.query().unwrap_or_default();
    let mut secrets = vec![
        url.as_str().to_owned(),
        format!("{path}?{query}"),
        query.to_owned(),
        path.to_owned(),
    ];
    let values = query.split('&').filter_map(|pair| pair.split('=').nth(1));
    secrets.extend(values.chain(path.split('/')).map(str::to_owned));
    secrets.retain(|secret| secret.len() >= MIN_SECRET_BYTES);
    secrets
}

/// The secrets that an answer may repeat.
pub(super) struct Secrets {
    plain: Vec<String>,
    /// Every spelling of each: a hundred texts, which most answers, being empty, do not need.
    spelled: OnceCell<Vec<String>>,
}

impl Secrets {
    pub(super) fn new(plain: Vec<String>) -> Self {
        Self {
            plain,
            spelled: OnceCell::new(),
        }
    }

    fn spelled(&self) -> &[String] {
        self.spelled.get_or_init(|| {
            let secrets = self.plain.iter().filter(|secret| !secret.is_empty());
            secrets.flat_map(|secret| spellings(secret)).collect()
        })
    }

    /// Reports whether no secret is in this text.
    pub(super) fn are_not_in(&self, text: &str) -> bool {
        self.redact(text, false) == text && scrub(text) == text
    }

    /// Returns the text without the secrets; where it `is_cut`, also without the beginning of one at its end.
    fn redact(&self, text: &str, is_cut: bool) -> String {
        if text.is_empty() {
            return String::new();
        }
        let mut found: Vec<(usize, usize)> = Vec::new();
        for spelling in self.spelled() {
            let places = text.match_indices(spelling.as_str());
            found.extend(places.map(|(start, _)| (start, start + spelling.len())));
            if is_cut && let Some(start) = beginning_at_end(text, spelling) {
                found.push((start, text.len()));
            }
        }
        found.sort_unstable();
        let mut redacted = String::with_capacity(text.len());
        let mut end = 0;
        for (start, until) in found {
            // Secrets may overlap; what one of them covers is redacted once.
            if start >= end {
                redacted.push_str(&text[end..start]);
                redacted.push_str(REDACTED);
            }
            end = end.max(until);
        }
        redacted.push_str(&text[end..]);
        redacted
    }
}

/// Returns where the longest beginning of `secret` starts at which `text` ends.
fn beginning_at_end(text: &str, secret: &str) -> Option<usize> {
    let longest = secret.len().min(text.len());
    let mut starts = text.len() - longest..text.len();
    starts.find(|start| {
        text.is_char_boundary(*start) && secret.as_bytes().starts_with(&text.as_bytes()[*start..])
    })
}

/// Returns at most 1 KiB of the answer, redacted and with control characters escaped; `None` when it is empty.
///
/// `is_cut` says that more of the answer was not read. What is cut to 1 KiB has been redacted before.
pub(super) fn of(body: &[u8], secrets: &Secrets, is_cut: bool) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = match is_cut {
        // The last character may be cut in two; the replacement character would hide the beginning of a secret.
        true => text.trim_end_matches('\u{fffd}'),
        false => &text,
    };
    let scrubbed = scrub(&secrets.redact(text, is_cut));
    let end = scrubbed.floor_char_boundary(MAX_EXCERPT_BYTES);
    let mut line = String::with_capacity(end);
    for character in scrubbed[..end].chars() {
        if character.is_control() || is_invisible(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    (!line.is_empty()).then_some(line)
}

/// Returns the media type of an answer without its parameters, such as `text/html`; `None` if it is not like one.
///
/// A type that holds a secret is none either.
pub(super) fn media_type(header: &str, secrets: &Secrets) -> Option<String> {
    let essence = header.split(';').next().unwrap_or_default().trim();
    let is_token = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !part.is_empty() && part.len() <= MAX_TYPE_PART_BYTES && part.bytes().all(fits)
    };
    let (kind, subtype) = essence.split_once('/')?;
    (is_token(kind) && is_token(subtype) && secrets.are_not_in(essence))
        .then(|| essence.to_ascii_lowercase())
}

/// Returns the spellings that a page may give a secret.
///
/// They are: unchanged, percent-decoded, percent-encoded once more, with percent digits of either case, escaped for
/// HTML, and escaped for JSON as PHP writes it.
fn spellings(secret: &str) -> Vec<String> {
    let mut spellings = vec![
        secret.to_owned(),
        percent_digits(secret, str::to_ascii_lowercase),
        percent_digits(secret, str::to_ascii_uppercase),
        percent_decoded(secret),
    ];
    for index in 0..spellings.len() {
        let html = spellings[index]
            .replace('&', "&amp;")
            .replace('\'', "&#39;");
        let json = spellings[index].replace('/', "\\/");
        let encoded = url::form_urlencoded::byte_serialize(spellings[index].as_bytes()).collect();
        spellings.extend([html, json, encoded]);
    }
    spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    spellings.dedup();
    spellings
}

/// Applies `case` to the two digits behind each `%`.
fn percent_digits(text: &str, case: fn(&str) -> String) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (digits, rest) = part.split_at(part.floor_char_boundary(2));
        text + "%" + &case(digits) + rest
    })
}

fn percent_decoded(text: &str) -> String {
    let plus = text.replace('+', "%2B");
    let pairs = url::form_urlencoded::parse(plus.as_bytes());
    // The pairs are joined again with `&` and `=`, so that a whole query keeps its shape.
    let mut decoded = String::new();
    for (index, (name, value)) in pairs.enumerate() {
        if index > 0 {
            decoded.push('&');
        }
        decoded.push_str(&name);
        if !value.is_empty() {
            decoded.push('=');
            decoded.push_str(&value);
        }
    }
    decoded
}

/// Reports whether a character changes the reading direction or cannot be seen.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::address::Allowed;
    use crate::outbound::target_url;

    fn excerpt(body: &str, secrets: &[&str]) -> Option<String> {
        of(body.as_bytes(), &known(secrets), false)
    }

    fn known(secrets: &[&str]) -> Secrets {
        let secrets: Vec<String> = secrets.iter().map(|&secret| secret.to_owned()).collect();
        Secrets::new(secrets)
    }

    #[test]
    fn control_characters_are_escaped_and_other_text_is_unchanged() {
        assert_eq!(excerpt("", &[]), None);
        assert_eq!(excerpt("no", &[]).as_deref(), Some("no"));
        let written = excerpt("a\r\n\tb\u{1b}[31mc\u{0}\u{202e}é", &[]).unwrap();
        assert_eq!(written, "a\\r\\n\\tb\\u{1b}[31mc\\u{0}\\u{202e}é");
        assert_eq!(
            of(b"\xff\xfe!", &known(&[]), false).as_deref(),
            Some("\u{fffd}\u{fffd}!")
        );
    }

    #[test]
    fn long_answer_is_cut_to_one_kibibyte_between_characters() {
        let long = excerpt(&"é".repeat(2000), &[]).unwrap();
        assert_eq!(long.len(), 1024);
        let odd = excerpt(&format!("a{}", "é".repeat(2000)), &[]).unwrap();
        assert_eq!(odd.len(), 1023);
    }

    #[test]
    fn parts_of_the_callback_url_are_redacted_in_every_spelling() {
        let origins = ["https://hooks.example".to_owned()];
        let text = "https://hooks.example/flows/canary-canary-path?v=1&sig=canary%2Bcanary%2F=&k=canaryPlain";
        let url = target_url::parse(text, &origins, &Allowed::default()).unwrap();
        let secrets = Secrets::new(secrets_of(&url));
        for page in [
            format!("Cannot POST {text}"),
            "Cannot POST /flows/canary-canary-path".to_owned(),
            "no route for /flows/canary-canary-path?v=1&amp;sig=canary%2Bcanary%2F=&amp;k=canaryPlain".to_owned(),
            r#"{"path":"\/flows\/canary-canary-path"}"#.to_owned(),
            "value canary+canary/= is wrong".to_owned(),
            "value canary%252Bcanary%252F is wrong".to_owned(),
            "value canary%2bcanary%2f= is wrong".to_owned(),
            "value canary%252bcanary%252f is wrong".to_owned(),
            "<b>canaryPlain</b>, and flow canary-canary-path".to_owned(),
        ] {
            let written = of(page.as_bytes(), &secrets, false).unwrap();
            assert!(!written.contains("canary"), "{page}\n{written}");
        }
        let harmless = of(b"flows v 1: not found", &secrets, false).unwrap();
        assert_eq!(harmless, "flows v 1: not found");
    }

    #[test]
    fn other_secrets_and_personal_data_are_redacted() {
        let page = "Bearer abcdefghijklmnopqrstuvwxyz for person@contoso.example, token=canary";
        let written = excerpt(page, &[]).unwrap();
        for gone in ["abcdefghijklmnop", "person@", "canary"] {
            assert!(!written.contains(gone), "{written}");
        }
        assert_eq!(
            excerpt("pass: s3cret", &["s3cret"]).unwrap(),
            "pass: [redacted]"
        );
    }

    /// A long token that is repeated leaves little of an answer when it is redacted, so the end of what was read counts.
    #[test]
    fn a_secret_that_is_cut_where_reading_ended_leaves_nothing() {
        let token: String = (0..300).map(|number| format!("k{number:04}")).collect();
        let page = format!("got {token}, {token} and {token}");
        for read in [
            0,
            3,
            5,
            40,
            1503,
            1504,
            1510,
            3000,
            3100,
            4400,
            page.len() - 1,
        ] {
            let written = of(&page.as_bytes()[..read], &known(&[&token]), true);
            let written = written.unwrap_or_default();
            assert!(!written.contains("k0000"), "{read}: {written}");
            assert!(written.len() < 60, "{read}: {written}");
        }
        let cut = of(
            "münchen=ö".as_bytes().split_last().unwrap().1,
            &known(&["=öx"]),
            true,
        );
        assert_eq!(cut.as_deref(), Some("münchen[redacted]"));
    }

    #[test]
    fn secrets_that_overlap_are_redacted_together() {
        let written = excerpt("<abcdefgh12345678>", &["abcdefgh1234", "gh12345678"]).unwrap();
        assert_eq!(written, "<[redacted]>");
        let written = excerpt("<abcdefgh12345678>", &["gh12", "abcdefgh12345678"]).unwrap();
        assert_eq!(written, "<[redacted]>");
    }

    #[test]
    fn a_media_type_is_kept_without_parameters_and_without_secrets() {
        let secrets = known(&["canary-token"]);
        let kept = |header: &str| media_type(header, &secrets);
        assert_eq!(
            kept("Text/HTML; charset=utf-8").as_deref(),
            Some("text/html")
        );
        let problem = "application/problem+json";
        assert_eq!(kept(problem).as_deref(), Some(problem));
        let long = format!("text/{}", "x".repeat(81));
        for header in [
            "",
            "text",
            "text/",
            "/html",
            "text/ht ml",
            "text/canary-token",
            &long,
        ] {
            assert_eq!(kept(header), None, "{header}");
        }
    }
}
